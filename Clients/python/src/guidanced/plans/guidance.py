"""Gradients with respect to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from ..arguments import Texts, numbers
from ..errors import ArgumentError, MalformedReply
from ..images import Images, Listed, list_images
from ..pieces import Shape
from ..results import FloatArray, Gradient, Handle
from .asking import Plan, Session, checked
from .over_images import Outcome, Part, over_images, prompts_of


def gradient(
    session: Session,
    images: Images,
    prompts: Union[Texts, Handle],
    *,
    weights: Union[Sequence[float], None],
    loss: str,
    pairwise: bool,
    cutouts: Any,
    regularizers: Any,
    seed: Any,
    wrt: str,
    long_prompts: str | None,
    model: str | None,
    strict: bool,
) -> Plan[Gradient]:
    """The gradient of each image's loss, in the shape of the caller's images."""
    for name, value, served in (
        ("cutouts", cutouts, None),
        ("regularizers", regularizers, None),
        ("seed", seed, 0),
        ("wrt", wrt, "pixels"),
    ):
        if value is not served and not (type(value) is type(served) and value == served):
            raise ArgumentError(
                f"{name}: only {served!r} is served by this version, which gives plain gradients with "
                f"respect to pixels; found {value!r:.60}"
            )
    listed = list_images(images)
    params: dict[str, Any] = {"loss": loss, "pairwise": pairwise}
    if weights is not None:
        params["weights"] = numbers(weights, "weights")
    wording, _ = prompts_of(
        prompts, params, images=listed.count, pairwise=pairwise, long_prompts=long_prompts
    )
    outcome = yield from over_images(
        session, "gradient", listed, params, wording, model, reply_bytes=12
    )
    result = Gradient(
        _gradients(outcome, listed),
        outcome.rows("loss", ()),
        outcome.rows("score", ()),
        outcome.items,
        outcome.fingerprint,
    )
    return checked(result, outcome.items, strict)


def _gradients(outcome: Outcome, listed: Listed) -> Union[FloatArray, list[FloatArray]]:
    """The gradients in the shape of the caller's images."""
    if len(outcome.parts) == 1 and listed.single and listed.shapes[0].batched:
        whole = outcome.parts[0].reply.outputs.get("gradient")
        if whole is not None and whole.shape == listed.shapes[0].gradient:
            return np.asarray(whole, dtype=np.float32)
    rows: list[FloatArray | None] = [None] * outcome.count
    for part in outcome.parts:
        for index, row in zip(part.indices, _rows(part)):
            rows[index] = row
    shaped: list[FloatArray] = []
    start = 0
    for shape in listed.shapes:
        shaped.append(_gradient_of(rows[start : start + shape.count], shape))
        start += shape.count
    return shaped[0] if listed.single else shaped


def _rows(part: Part) -> list[FloatArray | None]:
    """One [3, H, W] an item; ``None`` where the reply has none."""
    outputs, count = part.reply.outputs, len(part.indices)
    together: NDArray[Any] | None = outputs.get("gradient")
    if together is not None:
        if together.ndim != 4 or together.shape[:2] != (count, 3):
            raise MalformedReply(
                f"output 'gradient': expected [{count}, 3, H, W], found {list(together.shape)}"
            )
        return list(np.asarray(together, dtype=np.float32))
    rows: list[FloatArray | None] = []
    for place in range(count):
        row = outputs.get(f"gradient.{place}")
        if row is not None and (row.ndim != 3 or row.shape[0] != 3):
            raise MalformedReply(
                f"output 'gradient.{place}': expected [3, H, W], found {list(row.shape)}"
            )
        rows.append(None if row is None else np.asarray(row, dtype=np.float32))
    failed = {failure.index for failure in part.reply.items}
    missing = [place for place, row in enumerate(rows) if row is None and place not in failed]
    if missing:
        raise MalformedReply(f"no output 'gradient' nor 'gradient.{missing[0]}'")
    return rows


def _gradient_of(rows: Sequence[FloatArray | None], shape: Shape) -> FloatArray:
    if shape.gradient is None:  # a file: the daemon knows its size, unless it could not be decoded
        if shape.batched:
            return np.zeros((shape.count, 3, 0, 0), dtype=np.float32)
        return rows[0] if rows[0] is not None else np.zeros((3, 0, 0), dtype=np.float32)
    single = shape.gradient[-3:]
    filled = [
        row if row is not None and row.shape == single else _unless(row, single) for row in rows
    ]
    return np.stack(filled) if shape.batched else filled[0]


def _unless(row: FloatArray | None, shape: tuple[int, ...]) -> FloatArray:
    """NaN for an item that failed; a gradient of another size than its image is a fault."""
    if row is not None and not np.isnan(row).all():
        raise MalformedReply(f"a gradient: expected {list(shape)}, found {list(row.shape)}")
    return np.full(shape, np.nan, dtype=np.float32)
