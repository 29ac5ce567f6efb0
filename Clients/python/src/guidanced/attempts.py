"""Retries and failover: how one request reaches one of several daemons.

``attempts`` is a generator that decides and does not wait: it yields what has to be waited for, and
is resumed with what came of it. The blocking transport and the one of coroutines drive the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Union

from .connection import Link, LinkLost, Pool, Silence
from .errors import Closed, Error, Overloaded, ShuttingDown, Timeout, Unavailable
from .wire import Frame, Reply

SLICE = 0.1
"""Seconds between looks at whether the link is up and the client open, while waiting."""


@dataclass(frozen=True)
class WaitUntilUp(Generic[Link]):
    """Wait for a connection's link; resumed with whether it is up."""

    connection: Link
    seconds: float


@dataclass(frozen=True)
class Exchange(Generic[Link]):
    """Send a request and wait for its final reply, with which it is resumed.

    Silence at ``until``, LinkLost and other errors are thrown into the generator.
    """

    connection: Link
    frames: Sequence[Frame]
    until: float


@dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


Step = Union[WaitUntilUp[Link], Exchange[Link], Pause]
Steps = Generator[Step[Link], Any, tuple[Reply, str]]


@dataclass(frozen=True)
class Call:
    """One request, however often it is sent.

    Attributes:
        identifier: the request's id, the same at every attempt.
        frames: makes the message, given the seconds that are left.
        deadline: when to give up, by the monotonic clock; may be infinite.
        connect_timeout: seconds without any endpoint being up after which to give up.
        retries: how often a request is sent again after silence, a lost link, or a daemon that is
            overloaded or shutting down.
        address: the one endpoint to use.
        on_partial: is called with each partial reply.
    """

    identifier: str
    frames: Callable[[float], Sequence[Frame]]
    deadline: float
    connect_timeout: float
    retries: int
    address: str | None = None
    on_partial: Callable[[Reply], None] | None = None


def attempts(pool: Pool[Link], call: Call) -> Steps[Link]:
    """One request to its final reply, and the address that gave it.

    Raises Timeout, Unavailable, Overloaded, ShuttingDown, MalformedReply or Closed. Other errors of
    the daemon are in the reply.
    """
    alone = call.address is not None or len(pool.addresses) == 1
    trouble: Error = Timeout("no time for an attempt")
    held: Link | None = None
    try:
        for left in range(call.retries + 1, 0, -1):
            # Until it is given back, a connection is closed on every way out: a late reply may
            # still come to its socket.
            held = yield from _connect(pool, call, held)
            endpoint = pool.endpoint(held.endpoint)
            now = time.monotonic()
            remaining = call.deadline - now
            if remaining <= 0:
                raise Timeout(f"no time left when {endpoint.address} was reached")
            try:
                reply: Reply = yield Exchange(held, call.frames(remaining), now + remaining / left)
            except Silence:
                trouble = Timeout(f"no reply from {endpoint.address} within the timeout")
                endpoint.avoid(1.0)
                if not alone:
                    held.close()
                    held = None
                # With one endpoint the link is up, so the repetition goes the same way: the daemon
                # joins it to the request that it may still be working on.
                continue
            except LinkLost:
                trouble = Unavailable(f"the connection to {endpoint.address} was lost")
                wait = 0.02
                held.reopen()
                if not alone:
                    pool.give_back(held)
                    held = None
            except Exception:
                raise
            except BaseException:
                # Interrupted, or its task was cancelled.
                held.cancel(call.identifier)
                raise
            else:
                pool.give_back(held)
                held = None
                if not isinstance(reply.error, (Overloaded, ShuttingDown)):
                    return reply, endpoint.address
                trouble = reply.error
                wait = 0.05 if trouble.retry_after is None else trouble.retry_after
            endpoint.avoid(wait)
            if alone and left > 1:
                if time.monotonic() + wait >= call.deadline:
                    break
                yield Pause(wait)
        raise trouble
    finally:
        if held is not None:
            held.close()


def _connect(
    pool: Pool[Link], call: Call, held: Link | None
) -> Generator[Step[Link], Any, Link]:
    """A connection whose link is up: ``held`` if it is given, else one of the endpoints in turn.

    Raises Unavailable, or Closed.
    """
    limit = min(call.deadline, time.monotonic() + call.connect_timeout)
    waiting: dict[str, Link] = {held.endpoint: held} if held else {}
    pinned = held.endpoint if held else call.address
    addresses = pool.in_turn() if pinned is None else [pinned]
    try:
        while True:
            for candidate in addresses:
                connection = waiting.pop(candidate, None) or pool.take(candidate)
                waiting[candidate] = connection
                patience = min(SLICE, max(0.0, limit - time.monotonic()))
                is_up: bool = yield WaitUntilUp(connection, patience)
                if is_up:
                    return waiting.pop(candidate)
                pool.endpoint(candidate).avoid(1.0)
            if not pool.is_open:
                raise Closed("the client was closed during the call")
            if time.monotonic() >= limit:
                raise Unavailable(f"no daemon answers at {', '.join(addresses)}")
    finally:
        for connection in waiting.values():
            if connection is not held:
                pool.give_back(connection)
