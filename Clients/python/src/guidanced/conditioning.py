"""Parameters and results of ``condition``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from .arguments import Texts, numbers, shown, strings
from .errors import ArgumentError, ArgumentTypeError, MalformedReply
from .results import Conditioning, ConditioningSegment, FloatArray
from .wire import Reply


Strength = Union[float, Mapping[str, float]]
"""Of a LoRA: for all text encoders, or for each by its role."""


def conditioning_params(
    prompts: Sequence[str],
    recipe: str | None = None,
    *,
    negative: Union[Texts, None] = None,
    clip_skip: Union[int, Mapping[str, int], None] = None,
    negative_clip_skip: Union[int, Mapping[str, int], None] = None,
    syntax: str | None = None,
    emphasis: str | None = None,
    long_prompts: str | None = None,
    negative_policy: str | None = None,
    prompts_2: Union[Texts, None] = None,
    negative_2: Union[Texts, None] = None,
    steps: int | None = None,
    hidden_width: int | None = None,
    loras: Union[Mapping[str, Strength], None] = None,
    strict_loras: bool | None = None,
) -> dict[str, Any]:
    """The parameters of ``condition`` by the wire's names, without those that were left open."""
    params: dict[str, Any] = {
        "prompts": list(prompts),
        "recipe": recipe,
        "negative_prompts": _listed(negative, "negative"),
        **_skip("clip_skip", clip_skip),
        **_skip("negative_clip_skip", negative_clip_skip),
        "syntax": syntax,
        "emphasis": emphasis,
        "long_prompts": long_prompts,
        "negative_policy": negative_policy,
        "prompts_2": _listed(prompts_2, "prompts_2"),
        "negative_prompts_2": _listed(negative_2, "negative_2"),
        "steps": steps,
        "hidden_width": hidden_width,
        "loras": None if loras is None else _loras(loras),
        "strict_loras": strict_loras,
    }
    return {key: value for key, value in params.items() if value is not None}


def _listed(texts: Union[Texts, None], name: str) -> list[str] | None:
    return None if texts is None else list(strings(texts, name))


def _skip(name: str, value: Union[int, Mapping[str, int], None]) -> dict[str, Any]:
    """One number for all encoders, or one for each by its role."""
    return {name + "s": dict(value)} if isinstance(value, Mapping) else {name: value}


def _loras(loras: Mapping[str, Strength]) -> list[dict[str, Any]]:
    if not isinstance(loras, Mapping):
        raise ArgumentTypeError(f"loras: expected strengths by name, found {shown(loras)}")
    if not loras:
        return []
    names = strings(tuple(loras), "loras")
    found: list[dict[str, Any]] = []
    for name, value in zip(names, loras.values()):
        if isinstance(value, Mapping):
            roles = strings(tuple(value), f"loras[{name!r}]") if value else ()
            own = dict(zip(roles, numbers(value.values(), f"loras[{name!r}]")))
            found.append({"name": name, "strengths": own})
        else:
            found.append({"name": name, "strength": numbers([value], "loras")[0]})
    return found


TEXT_ARGUMENTS = tuple(conditioning_params.__kwdefaults__ or ())
"""What ``prepare`` takes with a recipe besides the prompts, by ``condition``'s names."""


def text_params(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Of all of ``condition``'s arguments those that a handle has in it already."""
    return {name: arguments[name] for name in ("recipe", *TEXT_ARGUMENTS)}


def size_params(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Of all of ``condition``'s arguments those that each request states, by the wire's names."""
    crop_top, crop_left = _pair(arguments["crop"], "crop")
    original_width, original_height = _pair(arguments["original_size"], "original_size")
    return {
        "width": arguments["width"],
        "height": arguments["height"],
        "crop_top": crop_top,
        "crop_left": crop_left,
        "original_width": original_width,
        "original_height": original_height,
        "aesthetic_score": arguments["aesthetic_score"],
        "negative_aesthetic_score": arguments["negative_aesthetic_score"],
        "datatype": arguments["datatype"],
    }


def _pair(value: Any, name: str) -> tuple[Any, Any]:
    if value is None:
        return None, None
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ArgumentTypeError(f"{name}: expected two numbers, found {shown(value)}")
    return value[0], value[1]


@dataclass(frozen=True)
class Conditioned:
    """One reply to ``condition``, its outputs checked against each other.

    ``first`` is the number of its first prompt in the call.
    """

    first: int
    segments: tuple[ConditioningSegment, ...]
    report: dict[str, Any]
    time_ids: FloatArray | None
    negative_time_ids: FloatArray | None
    fingerprint: str | None

    @classmethod
    def of(cls, reply: Reply, first: int = 0) -> Conditioned:
        """Reads a reply; raises MalformedReply."""
        ends = _ends(reply)
        segments = tuple(
            ConditioningSegment(
                end,
                *(
                    _output(reply, name + ("" if len(ends) == 1 else f".{number}"), axes)
                    for name, axes in _VECTORS.items()
                ),
            )
            for number, end in enumerate(ends)
        )
        if segments[0].hidden_states is None and segments[0].pooled is None:
            raise MalformedReply(
                f"condition: neither hidden states nor pooled in {sorted(reply.outputs)}"
            )
        return cls(
            first,
            segments,
            reply.result,
            _output(reply, "time_ids", 2),
            _output(reply, "negative_time_ids", 2),
            reply.fingerprint,
        )


_VECTORS = {"hidden_states": 3, "pooled": 2, "negative_hidden_states": 3, "negative_pooled": 2}
"""The outputs of a segment and their axes."""


def joined(parts: Sequence[Conditioned]) -> Conditioning:
    """The result of a call, of one reply or of several to stretches of its prompts.

    Raises ArgumentError when the stretches cannot stand in one array: prompts of many rows beside
    shorter ones, and schedules that end at different steps.
    """
    first = parts[0]
    segments = first.segments
    if len(parts) > 1:
        segments = tuple(
            _segment(end, [part.segments[number] for part in parts])
            for number, end in enumerate(_common_ends(parts))
        )
    now = segments[0]
    return Conditioning(
        now.hidden_states,
        now.pooled,
        now.negative_hidden_states,
        now.negative_pooled,
        first.report if len(parts) == 1 else _report(parts),
        _stacked("time_ids", [part.time_ids for part in parts]),
        _stacked("negative_time_ids", [part.negative_time_ids for part in parts]),
        segments,
        first.fingerprint if len({part.fingerprint for part in parts}) == 1 else None,
    )


def _common_ends(parts: Sequence[Conditioned]) -> list[int | None]:
    ends = [[segment.until_step for segment in part.segments] for part in parts]
    if any(other != ends[0] for other in ends):
        raise ArgumentError(
            "prompts: too many for one request, and their schedules end at different steps; "
            "condition those with the same schedule together"
        )
    return ends[0]


def _segment(end: int | None, parts: Sequence[ConditioningSegment]) -> ConditioningSegment:
    return ConditioningSegment(
        end, *(_stacked(name, [getattr(part, name) for part in parts]) for name in _VECTORS)
    )


def _stacked(name: str, arrays: Sequence[FloatArray | None]) -> FloatArray | None:
    found = [array for array in arrays if array is not None]
    if not found:
        return None
    if len(found) < len(arrays) or len({array.shape[1:] for array in found}) > 1:
        raise ArgumentError(
            f"prompts: too many for one request, and their {name} differ in size "
            f"({sorted({array.shape[1:] for array in found})}); condition long prompts apart"
        )
    return found[0] if len(found) == 1 else np.concatenate(found)


_NUMBERED = ("rows", "negative_rows", "loras")
"""Lists of a report whose entries say which prompt they belong to."""


def _report(parts: Sequence[Conditioned]) -> dict[str, Any]:
    """The accounts of all parts as one: lists joined, prompts renumbered, counts added."""
    whole = dict(parts[0].report)
    for part in parts[1:]:
        for name, value in part.report.items():
            known = whole.get(name)
            if name in _NUMBERED and isinstance(value, list):
                value = [
                    {**row, "prompt": row["prompt"] + part.first}
                    if isinstance(row, dict) and isinstance(row.get("prompt"), int)
                    else row
                    for row in value
                ]
            if name == "loras" and isinstance(value, list):
                # Those of the request are in force for every part, and named once.
                value = [row for row in value if not isinstance(row, dict) or "prompt" in row]
            if name in (*_NUMBERED, "prompts", "negative_prompts"):
                if isinstance(known, list) and isinstance(value, list):
                    whole[name] = known + value
            elif name == "cache" and isinstance(known, dict) and isinstance(value, dict):
                whole[name] = {
                    key: known.get(key, 0) + value.get(key, 0) for key in {**known, **value}
                }
    return whole


def _ends(reply: Reply) -> list[int | None]:
    """Where segments of steps end; one that never does for prompts without a schedule."""
    listed = reply.result.get("segments")
    if listed is None:
        return [None]
    if not isinstance(listed, list) or not listed:
        raise MalformedReply("result.segments is no list with an entry")
    ends: list[int | None] = []
    for entry in listed:
        end = entry.get("until_step") if isinstance(entry, dict) else None
        if not isinstance(end, int):
            raise MalformedReply(f"result.segments holds {entry!r:.80}")
        ends.append(end)
    return ends


def _output(reply: Reply, name: str, axes: int) -> FloatArray | None:
    array = reply.outputs.get(name)
    if array is None:
        return None
    if array.ndim != axes:
        raise MalformedReply(f"output {name!r}: expected {axes} axes, found {list(array.shape)}")
    return np.asarray(array, dtype=np.float32)
