"""Requests and replies of a plan, and what a client knows from one call to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import Closed, Error, ItemError, ItemFailure, Timeout, Unavailable
from ..limits import FEWEST_IMAGES, Limits
from ..wire import Input, Reply

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        address: the one endpoint that may answer it.
        end: when the request must be answered, by the monotonic clock, if that is before the
            client's own timeout.
        is_control: whether it goes to the control endpoint, if the client has one.
    """

    op: str
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Input] = ()
    model: str | None = None
    address: str | None = None
    end: float | None = None
    is_control: bool = False


@dataclass(frozen=True)
class Answer:
    """A final reply without an error, and the endpoint that it came from."""

    reply: Reply
    address: str


Plan = Generator[Ask, Answer, Result]


def asking(ask: Ask) -> Plan[Reply]:
    """A plan of one request."""
    return (yield ask).reply


class Session:
    """What a client knows from one call to the next.

    Attributes:
        in_turn: all endpoints, the one whose turn it is first.
        timeout: seconds that one request may take.
        prepared: where handles were prepared: {handle's id: {address: the daemon's handle}}.
        lock: held while ``prepared`` or the limits change.
    """

    def __init__(
        self,
        in_turn: Callable[[], list[str]],
        timeout: float,
        model: str | None,
        prepared: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.in_turn = in_turn
        self.timeout = timeout
        self.model = model
        self.prepared = {key: dict(places) for key, places in (prepared or {}).items()}
        self.lock = threading.Lock()
        self._hello: Mapping[str, Any] | None = None
        self._status: Mapping[str, Any] | None = None

    def limits(self, items: int) -> Plan[Limits]:
        """What one request may hold; asks the daemon before the first large call.

        A daemon that refuses to say has the protocol's defaults.
        """
        if self._hello is None:
            self._hello = yield from _told("hello")
        if items > FEWEST_IMAGES and self._status is None:
            self._status = yield from _told("status")
        return Limits.of(self._hello, self._status)


def _told(op: str) -> Plan[Mapping[str, Any]]:
    try:
        return (yield Ask(op)).reply.result
    except (Unavailable, Timeout, Closed):
        raise
    except Error:
        return {}


def checked(result: Result, items: Sequence[ItemFailure], strict: bool) -> Result:
    """The result, or ItemError when it must be whole and is not."""
    if strict and items:
        error = ItemError(items, result)
        raise error from items[0].error
    return result
