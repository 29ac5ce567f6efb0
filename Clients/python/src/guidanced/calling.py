"""What the client of threads and the one of coroutines have in common: all but the waiting."""

from __future__ import annotations

import math
import secrets
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from .arguments import PRIORITIES, seconds, strings, whole
from .errors import ArgumentTypeError, DaemonWarning, Timeout
from .plans import Ask, Session
from .wire import LONGEST_DEADLINE_MS, Frame, Reply, encode_request

#: Operations that compute nothing.
_WITHOUT_PRECISION = frozenset(
    ["hello", "ping", "models", "health", "status", "release", "load", "unload", "cancel", "drain"]
)


@dataclass(frozen=True)
class Settings:
    """How a client was made; checked. ``timeout`` and ``connect_timeout`` may be infinite."""

    endpoints: tuple[str, ...]
    control: tuple[str, ...] | None
    timeout: float
    connect_timeout: float
    retries: int
    model: str | None
    precision: str | None

    @classmethod
    def of(
        cls,
        endpoints: Union[str, Sequence[str]],
        control: Union[str, Sequence[str], None],
        timeout: float | None,
        connect_timeout: float | None,
        retries: int,
        model: str | None,
        precision: str | None,
    ) -> Settings:
        """Checks a client's arguments; raises ArgumentError."""
        for name, value in (("model", model), ("precision", precision)):
            if value is not None and not isinstance(value, str):
                raise ArgumentTypeError(f"{name}: expected a string, found {value!r:.60}")
        return cls(
            strings(endpoints, "endpoints"),
            None if control is None else strings(control, "control"),
            seconds(timeout, "timeout"),
            seconds(connect_timeout, "connect_timeout"),
            whole(retries, "retries", range(1_000_000)),
            model,
            precision,
        )

    def session(
        self, in_turn: Callable[[], list[str]], prepared: Mapping[str, Mapping[str, str]] | None
    ) -> Session:
        """What a client with these settings begins with."""
        return Session(in_turn, self.timeout, self.model, prepared)


class Calling:
    """One call of a client's method: the requests that it is made of, and the time that it has.

    Args:
        priority: of all its requests.
        deadline: seconds for all of them together, besides the client's timeout for each.
        timeout: seconds for each, instead of the client's.
    """

    def __init__(
        self,
        settings: Settings,
        priority: int,
        deadline: float | None,
        timeout: float | None = None,
        on_partial: Callable[[Reply], None] | None = None,
    ) -> None:
        self._settings = settings
        self._priority = whole(priority, "priority", PRIORITIES)
        self._timeout = settings.timeout if timeout is None else seconds(timeout, "timeout")
        self._end = time.monotonic() + seconds(deadline, "deadline")
        self.on_partial = on_partial
        self._warned: set[str] = set()

    def time_for(self, ask: Ask) -> float:
        """Seconds that a request may take; raises Timeout when there are none left."""
        end = min(self._end, math.inf if ask.end is None else ask.end)
        left = min(self._timeout, end - time.monotonic())
        if left <= 0:
            raise Timeout(f"no time left for {ask.op}")
        return left

    def message(self, ask: Ask) -> tuple[str, Callable[[float], list[Frame]]]:
        """A request's id, and what makes its message, given the seconds that are left."""
        identifier = secrets.token_hex(8)
        params = ask.params
        if self._settings.precision is not None and ask.op not in _WITHOUT_PRECISION:
            params = {"precision": self._settings.precision, **params}

        def frames(left: float) -> list[Frame]:
            return encode_request(
                identifier,
                ask.op,
                params,
                ask.inputs,
                model=self._settings.model if ask.model is None else ask.model,
                deadline_ms=_milliseconds(left),
                priority=self._priority or None,
            )

        return identifier, frames

    def accept(self, reply: Reply, depth: int) -> Reply:
        """The reply, its warnings given once a call, or the error in it raised.

        Args:
            depth: frames between this and the caller of the client.
        """
        if reply.error is not None:
            raise reply.error
        for text in reply.warnings:
            if text not in self._warned:
                self._warned.add(text)
                warnings.warn(text, DaemonWarning, stacklevel=depth)
        return reply


def _milliseconds(left: float) -> int | None:
    """The deadline to tell the daemon: none when there is none."""
    if left == math.inf:
        return None
    return min(max(1, int(left * 1000)), LONGEST_DEADLINE_MS)


def raw_ask(
    op: str, params: Mapping[str, Any] | None, inputs: Sequence[Any], model: str | None
) -> Ask:
    """Any operation of the protocol."""
    return Ask(op, params or {}, tuple(inputs), model)
