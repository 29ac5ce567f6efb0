"""What samplers are conditioned on: by texts, and by images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np

from ..arguments import Texts, numbers, strings
from ..conditioning import Conditioned, conditioning_params, joined
from ..errors import ArgumentError, TooLarge
from ..images import Images, list_images, whole_batch
from ..limits import CONDITIONED, Limits
from ..results import Conditioning, Handle, ImageConditioning
from ..wire import Reply
from .asking import Ask, Plan, Session, checked
from .handles import with_handle
from .over_images import Wording, over_images
from .texts import encoded_size

_LISTS = ("prompts", "negative_prompts", "prompts_2", "negative_prompts_2")
"""Parameters with one entry for all prompts, or one a prompt."""


def condition(
    session: Session,
    prompts: Union[Texts, Handle],
    texts: Mapping[str, Any],
    sizes: Mapping[str, Any],
    model: str | None,
) -> Plan[Conditioning]:
    """The vectors for all prompts.

    Args:
        texts: what a handle has in it already.
        sizes: what it has not.
    """
    sizes = {key: value for key, value in sizes.items() if value is not None}
    if isinstance(prompts, Handle):
        if prompts.conditioning is None:
            raise ArgumentError("prompts: the handle was prepared without a recipe")
        for name, value in texts.items():
            if value is not None:
                raise ArgumentError(
                    f"{name}: of no use with a handle, which has it from when it was prepared"
                )
        chosen = prompts.model if model is None else model
        ask = Ask("condition", sizes, model=chosen)
        return joined([Conditioned.of((yield from with_handle(session, ask, prompts)))])
    listed = strings(prompts, "prompts")
    params = {**conditioning_params(listed, **texts), **sizes}
    for name in _LISTS[1:]:
        given = params.get(name, [])
        if len(given) > 1 and len(given) != len(listed):
            raise ArgumentError(
                f"{name}: expected one for all prompts or one for each of {len(listed)}, found "
                f"{len(given)}"
            )
    limits = yield from session.limits(0)
    pending = [range(start, end) for start, end in _stretches(params, limits)][::-1]
    found: list[Conditioned] = []
    while pending:
        part = pending.pop()
        try:
            reply = (yield Ask("condition", _slice(params, part), model=model)).reply
        except TooLarge as problem:
            about_one = problem.field is not None and problem.field.endswith("]")
            if len(part) == 1 or about_one:
                raise
            middle = len(part) // 2
            pending += [part[middle:], part[:middle]]
        else:
            found.append(Conditioned.of(reply, part[0]))
    return joined(found)


def _stretches(params: Mapping[str, Any], limits: Limits) -> list[tuple[int, int]]:
    """Where to cut the prompts so that each request's header has room for its texts."""
    count = len(params["prompts"])
    common = sum(
        encoded_size(text) for name in _LISTS for text in params.get(name, ()) if len(params[name]) == 1
    )
    cuts = [0]
    size = common
    for index in range(count):
        each = sum(
            encoded_size(params[name][index]) + 1 for name in _LISTS if len(params.get(name, ())) > 1
        )
        is_full = index - cuts[-1] >= CONDITIONED or size + each > limits.header_room
        if is_full and index > cuts[-1]:
            cuts.append(index)
            size = common
        size += each
    return list(zip(cuts, [*cuts[1:], count]))


def _slice(params: Mapping[str, Any], part: range) -> dict[str, Any]:
    """The parameters of a request with some of the prompts."""
    cut = dict(params)
    for name in _LISTS:
        if len(params.get(name, ())) > 1:
            cut[name] = params[name][part.start : part.stop]
    return cut


def condition_image(
    session: Session,
    images: Union[Images, None],
    *,
    recipe: str | None,
    mix: bool,
    weights: Union[Sequence[float], None],
    prompts: Union[Texts, None],
    long_prompts: str | None,
    model: str | None,
    strict: bool,
) -> Plan[ImageConditioning]:
    """A row an image, or with ``mix`` one row of all."""
    params: dict[str, Any] = {"recipe": recipe, "mix": mix, "long_prompts": long_prompts}
    params = {key: value for key, value in params.items() if value is not None}
    if weights is not None:
        params["weights"] = numbers(weights, "weights")
    if prompts is not None:
        params["prompts"] = list(strings(prompts, "prompts"))
    if images is None:
        return _image_conditioning((yield Ask("condition_image", params, model=model)).reply)
    listed = list_images(images)
    if mix:
        # One row of all images: they go in one request, and none may be missing in it.
        batch = whole_batch(listed, (yield from session.limits(0)))
        reply = (yield Ask("condition_image", params, batch.inputs(), model)).reply
        return _image_conditioning(reply)
    outcome = yield from over_images(session, "condition_image", listed, params, Wording(), model)
    shapes = {
        name: part.reply.outputs[name].shape
        for part in outcome.parts
        for name in _OUTPUTS
        if name in part.reply.outputs
    }
    rows = {name: outcome.rows(name, (None,) * (len(shape) - 1)) for name, shape in shapes.items()}
    result = ImageConditioning(
        **{name: rows.get(name) for name in _OUTPUTS},
        items=outcome.items,
        fingerprint=outcome.fingerprint,
    )
    return checked(result, outcome.items, strict)


_OUTPUTS = (
    "image_embeddings",
    "negative_image_embeddings",
    "hidden_states",
    "negative_hidden_states",
)


def _image_conditioning(reply: Reply) -> ImageConditioning:
    parts = {
        name: np.asarray(reply.outputs[name], np.float32) if name in reply.outputs else None
        for name in _OUTPUTS
    }
    return ImageConditioning(**parts, items=reply.items, fingerprint=reply.fingerprint)
