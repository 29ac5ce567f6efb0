"""Prompts that the daemon keeps encoded, on every endpoint where they are used."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Union

from ..arguments import Texts, numbers, strings
from ..conditioning import TEXT_ARGUMENTS, conditioning_params
from ..errors import (
    ArgumentError,
    ArgumentTypeError,
    BadRequest,
    Error,
    MalformedReply,
    Overloaded,
    ShuttingDown,
    Timeout,
    Unavailable,
)
from ..results import Handle
from ..wire import Reply
from .asking import Ask, Plan, Session


def prepare(
    session: Session,
    prompts: Texts,
    *,
    weights: Union[Sequence[float], None],
    metric: str,
    recipe: str | None,
    long_prompts: str | None,
    model: str | None,
    conditioning: Mapping[str, Any],
) -> Plan[Handle]:
    """Encodes prompts on one daemon, for a handle that follows to the others."""
    listed = strings(prompts, "prompts")
    for name in conditioning:
        if name not in TEXT_ARGUMENTS:
            raise ArgumentTypeError(f"prepare() has no argument {name!r}")
        if recipe is None:
            raise ArgumentTypeError(f"{name}: needs a recipe")
    if recipe is not None:
        for name, is_given in (("weights", weights is not None), ("metric", metric != "cosine")):
            if is_given:
                raise ArgumentError(f"{name}: of no use with a recipe")
        params = conditioning_params(listed, recipe, long_prompts=long_prompts, **conditioning)
    else:
        params = {"prompts": list(listed), "metric": metric}
        if long_prompts is not None:
            params["long_prompts"] = long_prompts
        if weights is not None:
            params["weights"] = numbers(weights, "weights")
    handle = Handle(
        secrets.token_hex(8),
        listed,
        tuple(params["weights"]) if recipe is None and weights is not None else None,
        metric,
        session.model if model is None else model,
        params if recipe is not None else None,
        params=params,
    )
    yield from keep(session, handle)
    return handle


def keep(session: Session, handle: Handle) -> Plan[None]:
    """Prepares a handle on one daemon; from then on it may be used on all."""
    answer = yield Ask("prepare", handle.params, model=handle.model)
    with session.lock:
        session.prepared[handle.id] = {answer.address: _handle_of(answer.reply)}
    handle.result.update(answer.reply.result)


def release(session: Session, handle: Handle) -> Plan[None]:
    """Lets the daemons forget a handle; one that is gone already is no error."""
    if not isinstance(handle, Handle):
        raise ArgumentTypeError(f"handle: expected a Handle, found {type(handle).__name__}")
    with session.lock:
        places = session.prepared.pop(handle.id, {})
    for address, identifier in places.items():
        try:
            yield Ask("release", {"handle": identifier}, address=address)
        except BadRequest as problem:
            if not _is_about_handle(problem):
                raise


def with_handle(session: Session, ask: Ask, handle: Handle) -> Plan[Reply]:
    """A request with a prepared handle, at an endpoint that has it or can prepare it."""
    with session.lock:
        if handle.id not in session.prepared:
            raise ArgumentError("the handle was released, or belongs to another client")
    end = time.monotonic() + session.timeout
    addresses = session.in_turn()
    for place, address in enumerate(addresses):
        try:
            return (yield from _at(session, replace(ask, address=address, end=end), handle))
        except (Unavailable, Timeout, Overloaded, ShuttingDown):
            if place == len(addresses) - 1:
                raise
    raise AssertionError("unreachable: the last address returns or raises")


def _at(session: Session, ask: Ask, handle: Handle) -> Plan[Reply]:
    identifier = yield from _prepared_at(session, ask, handle, anew=False)
    try:
        return (yield _with(ask, identifier)).reply
    except BadRequest as problem:
        if not _is_about_handle(problem):
            raise
    # The daemon was started anew, or dropped the handle: once more with a fresh one.
    identifier = yield from _prepared_at(session, ask, handle, anew=True)
    return (yield _with(ask, identifier)).reply


def _with(ask: Ask, identifier: str) -> Ask:
    return replace(ask, params={**ask.params, "handle": identifier})


def _prepared_at(session: Session, ask: Ask, handle: Handle, anew: bool) -> Plan[str]:
    address = ask.address
    if address is None:
        raise AssertionError("a handle is used at an address")
    with session.lock:
        known = session.prepared.get(handle.id, {}).get(address)
    if known is not None and not anew:
        return known
    answer = yield Ask(
        "prepare", handle.params, model=handle.model, address=address, end=ask.end
    )
    identifier = _handle_of(answer.reply)
    with session.lock:
        # Released by another thread meanwhile: then the daemon forgets it by itself in time.
        if handle.id in session.prepared:
            session.prepared[handle.id][address] = identifier
    return identifier


def _handle_of(reply: Reply) -> str:
    identifier = reply.result.get("handle")
    if not isinstance(identifier, str):
        raise MalformedReply("result.handle is no string")
    return identifier


def _is_about_handle(problem: Error) -> bool:
    return problem.field is not None and problem.field.split(".")[-1] == "handle"
