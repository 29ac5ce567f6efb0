"""Sends any number of images to an operation, in as many requests as the daemon's limits ask for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Union

import numpy as np

from ..arguments import Texts, strings
from ..errors import (
    ArgumentError,
    BadImage,
    BadTensor,
    Error,
    ItemFailure,
    MalformedReply,
    RequestTooLarge,
    TooLarge,
)
from ..images import Batch, Listed, batches
from ..results import FloatArray, Handle
from ..wire import Reply
from .asking import Ask, Plan, Session
from .handles import keep, release, with_handle


@dataclass(frozen=True)
class Wording:
    """The texts of a call, by the wire's names, or a handle in their place.

    Attributes:
        texts: what ``prepare`` and the operation both take.
        how: what only ``prepare`` needs to know besides (the metric).
        pairs: the prompts of which image i has the i-th alone.
    """

    texts: Mapping[str, Any] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)
    handle: Handle | None = None
    pairs: tuple[str, ...] | None = None


def prompts_of(
    prompts: Union[Texts, Handle],
    params: Mapping[str, Any],
    *,
    name: str = "prompts",
    images: int,
    pairwise: bool = False,
    long_prompts: str | None = None,
) -> tuple[Wording, int]:
    """The wording of a call, and how many prompts it has.

    Raises ArgumentError when they cannot be paired with the images.
    """
    if isinstance(prompts, Handle):
        if prompts.conditioning is not None:
            raise ArgumentError(f"{name}: the handle was prepared for condition")
        if long_prompts is not None:
            raise ArgumentError("long_prompts: of no use with a handle, whose prompts are encoded")
        listed = prompts.prompts
    else:
        listed = strings(prompts, name)
    if name == "prompt" and len(listed) != 1:
        raise ArgumentError(f"prompt: expected one, found {len(listed)}")
    if pairwise and len(listed) != images:
        raise ArgumentError(
            f"pairwise: expected one prompt an image, found {images} images and "
            f"{len(listed)} prompts"
        )
    pairs = listed if pairwise else None
    if isinstance(prompts, Handle):
        return Wording(handle=prompts, pairs=pairs), len(listed)
    texts: dict[str, Any] = {name: listed[0] if name == "prompt" else list(listed)}
    if long_prompts is not None:
        texts["long_prompts"] = long_prompts
    how = {"metric": params["metric"]} if "metric" in params else {}
    return Wording(texts, how, pairs=pairs), len(listed)


@dataclass
class Part:
    """One reply, and the numbers of its items in the call."""

    indices: Sequence[int]
    reply: Reply


@dataclass
class Outcome:
    """All replies to a call, in order, and the items that failed on either side."""

    count: int
    parts: list[Part] = field(default_factory=list)
    failures: list[ItemFailure] = field(default_factory=list)

    def take(self, indices: Sequence[int], reply: Reply) -> None:
        """Adds a reply, its items renumbered as the caller's."""
        for failure in reply.items:
            if failure.index >= len(indices):
                raise MalformedReply(
                    f"an item has the index {failure.index}, of {len(indices)} images"
                )
            self.failures.append(ItemFailure(indices[failure.index], failure.error))
        self.parts.append(Part(indices, reply))

    @property
    def items(self) -> tuple[ItemFailure, ...]:
        """The failures, by index."""
        return tuple(sorted(self.failures, key=lambda failure: failure.index))

    @property
    def fingerprint(self) -> str | None:
        """The weights that answered; ``None`` where different ones did."""
        found = {part.reply.fingerprint for part in self.parts}
        return found.pop() if len(found) == 1 else None

    def rows(self, name: str, shape: tuple[int | None, ...], width: int = 0) -> FloatArray:
        """An output of all parts together, NaN where there is none.

        Args:
            shape: what follows the number of items; ``None`` stands for any size, of which ``width``
                is used when there is no reply at all.
        """
        if len(self.parts) == 1 and len(self.parts[0].indices) == self.count:
            return output(self.parts[0].reply, name, (self.count, *shape))
        whole: FloatArray | None = None
        for part in self.parts:
            values = output(part.reply, name, (len(part.indices), *shape))
            if whole is None:
                whole = np.full((self.count, *values.shape[1:]), np.nan, dtype=np.float32)
            if values.shape[1:] != whole.shape[1:]:
                raise MalformedReply(
                    f"output {name!r}: {list(values.shape[1:])} after {list(whole.shape[1:])} in one "
                    "call; the endpoints serve different models"
                )
            whole[list(part.indices)] = values
        if whole is None:
            sides = [width if side is None else side for side in shape]
            whole = np.full((self.count, *sides), np.nan, dtype=np.float32)
        return whole


def over_images(
    session: Session,
    op: str,
    listed: Listed,
    params: Mapping[str, Any],
    wording: Wording,
    model: str | None,
    reply_bytes: int = 0,
) -> Plan[Outcome]:
    """The replies of an operation to all images, ``reply_bytes`` for each of their pixels.

    Texts of several requests are encoded once, by ``prepare``. A request that the daemon finds too
    large is sent in halves; a single image that fails its request fails alone.
    """
    limits = yield from session.limits(listed.count)
    outcome = Outcome(listed.count)
    request = _Request(session, op, params, wording, model)
    try:
        for batch, is_only in _with_foresight(batches(listed, limits, reply_bytes), outcome):
            if not is_only:
                yield from request.encode_texts()
            yield from _send(request, batch, outcome)
    except Error:
        yield from request.forget_texts()
        raise
    yield from request.forget_texts()
    return outcome


def _with_foresight(
    found: Iterator[Batch | ItemFailure], outcome: Outcome
) -> Iterator[tuple[Batch, bool]]:
    """Each batch, and whether it is the call's only one; failures go straight to the outcome."""
    first: Batch | None = None
    is_one_of_several = False
    for entry in found:
        if isinstance(entry, ItemFailure):
            outcome.failures.append(entry)
        elif is_one_of_several:
            yield entry, False
        elif first is None:
            first = entry
        else:
            is_one_of_several = True
            yield first, False
            first = None
            yield entry, False
    if first is not None:
        yield first, True


def _send(request: _Request, batch: Batch, outcome: Outcome) -> Plan[None]:
    pending = [batch]
    while pending:
        batch = pending.pop()
        try:
            reply = yield from request.send(batch)
        except (BadImage, BadTensor, TooLarge) as problem:
            if not _is_about_inputs(problem):
                raise
            if len(batch.indices) == 1:
                outcome.failures.append(ItemFailure(batch.indices[0], problem))
            elif isinstance(problem, TooLarge):
                yield from request.encode_texts()
                pending += reversed(batch.halves())
            else:
                raise
        else:
            outcome.take(batch.indices, reply)


def _is_about_inputs(problem: Error) -> bool:
    if isinstance(problem, RequestTooLarge):
        return False  # images were counted before; it is the texts
    if isinstance(problem, TooLarge):
        return problem.field is None or problem.field.startswith("inputs")
    return True


class _Request:
    """What the requests of one call have in common."""

    def __init__(
        self,
        session: Session,
        op: str,
        params: Mapping[str, Any],
        wording: Wording,
        model: str | None,
    ) -> None:
        self._session = session
        self._op = op
        self._params = params
        self._wording = wording
        self._model = model
        self._encoded: Handle | None = None

    def send(self, batch: Batch) -> Plan[Reply]:
        """One request."""
        wording = self._wording
        ask = Ask(self._op, self._params, batch.inputs(), self._model)
        handle = self._encoded or wording.handle
        if wording.pairs is not None and len(batch.indices) != len(wording.pairs):
            texts = {**wording.texts, "prompts": [wording.pairs[i] for i in batch.indices]}
        elif handle is not None:
            model = handle.model if self._model is None else self._model
            return (yield from with_handle(self._session, replace(ask, model=model), handle))
        else:
            texts = dict(wording.texts)
        return (yield replace(ask, params={**self._params, **texts})).reply

    def encode_texts(self) -> Plan[None]:
        """Has the texts encoded once for all further requests."""
        wording = self._wording
        if self._encoded or wording.handle or wording.pairs is not None or not wording.texts:
            return
        handle = Handle(
            secrets.token_hex(8),
            (),
            model=self._session.model if self._model is None else self._model,
            params={**wording.texts, **wording.how},
        )
        yield from keep(self._session, handle)
        self._encoded = handle

    def forget_texts(self) -> Plan[None]:
        """Gives the handle of ``encode_texts`` back."""
        if self._encoded is None:
            return
        handle, self._encoded = self._encoded, None
        try:
            yield from release(self._session, handle)
        except Error:
            pass  # in time the daemon forgets it by itself


def output(reply: Reply, name: str, shape: tuple[int | None, ...]) -> FloatArray:
    """An output as float32, its shape checked; ``None`` in ``shape`` stands for any size."""
    array = reply.outputs.get(name)
    if array is None:
        raise MalformedReply(f"{reply.op}: no output {name!r}, only {sorted(reply.outputs)}")
    if array.ndim != len(shape) or any(
        expected not in (None, found) for expected, found in zip(shape, array.shape)
    ):
        wanted = [side if side is not None else "any" for side in shape]
        raise MalformedReply(f"output {name!r}: expected {wanted}, found {list(array.shape)}")
    return np.asarray(array, dtype=np.float32)


def embedding_width(session: Session, model: str | None, side: str) -> Plan[int]:
    """How long embeddings of ``"text"`` or ``"vision"`` are; 0 where the daemon does not say.

    For a call of which nothing was left to send.
    """
    wanted = session.model if model is None else model
    try:
        result = (yield Ask("models")).reply.result
        if wanted in (None, "default"):
            wanted = result.get("default_model")
        for entry in result["models"]:
            if entry["name"] == wanted:
                return int(entry[side]["embedding_width"])
    except (Error, KeyError, TypeError, ValueError):
        pass
    return 0
