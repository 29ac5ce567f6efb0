"""Parameters and results of ``condition``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np

from .errors import MalformedReply
from .results import Conditioning, ConditioningSegment, FloatArray
from .wire import Reply

Listed = Union[str, Sequence[str], None]


def conditioning_params(
    prompts: Sequence[str],
    recipe: str,
    *,
    negative: Listed = None,
    clip_skip: int | None = None,
    syntax: str = "plain",
    long_prompts: str = "error",
    negative_policy: str | None = None,
    prompts_2: Listed = None,
    negative_2: Listed = None,
    steps: int | None = None,
    hidden_width: int | None = None,
    loras: Union[Mapping[str, float], None] = None,
) -> dict[str, Any]:
    """The parameters of ``condition`` by the wire's names, without those that were left open."""
    params: dict[str, Any] = {
        "prompts": list(prompts),
        "recipe": recipe,
        "negative_prompts": _listed(negative),
        "clip_skip": clip_skip,
        "syntax": syntax,
        "long_prompts": long_prompts,
        "negative_policy": negative_policy,
        "prompts_2": _listed(prompts_2),
        "negative_prompts_2": _listed(negative_2),
        "steps": steps,
        "hidden_width": hidden_width,
        "loras": None
        if loras is None
        else [{"name": name, "strength": float(strength)} for name, strength in loras.items()],
    }
    return {key: value for key, value in params.items() if value is not None}


def _listed(texts: Listed) -> list[str] | None:
    if texts is None:
        return None
    return [texts] if isinstance(texts, str) else list(texts)


def conditioning_of(reply: Reply) -> Conditioning:
    """The reply to ``condition``, its outputs checked against each other."""
    ends = _ends(reply)
    segments = tuple(
        ConditioningSegment(
            end,
            *(
                _output(reply, name + ("" if len(ends) == 1 else f".{number}"), axes)
                for name, axes in (
                    ("hidden_states", 3),
                    ("pooled", 2),
                    ("negative_hidden_states", 3),
                    ("negative_pooled", 2),
                )
            ),
        )
        for number, end in enumerate(ends)
    )
    first = segments[0]
    if first.hidden_states is None and first.pooled is None:
        raise MalformedReply(f"condition: neither hidden states nor pooled in {sorted(reply.outputs)}")
    return Conditioning(
        first.hidden_states,
        first.pooled,
        first.negative_hidden_states,
        first.negative_pooled,
        reply.result,
        _output(reply, "time_ids", 2),
        _output(reply, "negative_time_ids", 2),
        segments,
        reply.fingerprint,
    )


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
