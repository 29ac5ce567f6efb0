"""Sockets that block: requests of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from .attempts import SLICE, Call, Exchange, Pause, Step, attempts
from .connection import Connection, LinkLost, Pool, Silence
from .errors import Closed
from .wire import Frame, Reply


class Transport:
    """Sends requests to the first of several endpoints that takes them.

    Args:
        addresses: at least one; calls start at each in turn.
        connect_timeout: seconds without any endpoint being up after which a call gives up.
        retries: how often a request is sent again.
    """

    def __init__(self, addresses: Sequence[str], connect_timeout: float, retries: int) -> None:
        self.addresses = tuple(addresses)
        self._connect_timeout = connect_timeout
        self._retries = retries
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._context: zmq.Context[Any] = zmq.Context()
        context = self._context
        self._pool = Pool(self.addresses, lambda address: Connection(context, address))
        self._running = 0

    def in_turn(self) -> list[str]:
        """All addresses, the one whose turn it is first."""
        return self._pool.in_turn()

    def call(
        self,
        identifier: str,
        frames: Callable[[float], Sequence[Frame]],
        timeout: float,
        *,
        address: str | None = None,
        on_partial: Callable[[Reply], None] | None = None,
    ) -> tuple[Reply, str]:
        """One request to its final reply, and the address that gave it; see ``attempts``.

        Args:
            identifier: the request's id.
            frames: makes the message, given the seconds that are left.
            timeout: seconds; may be infinite.
            address: the one endpoint to use.
        """
        if self._pool.is_foreign:
            # After a fork the parent keeps its sockets; the child opens its own.
            self._start()
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            self._running += 1
        call = Call(
            identifier,
            frames,
            time.monotonic() + timeout,
            self._connect_timeout,
            self._retries,
            address,
            on_partial,
        )
        try:
            return self._drive(call)
        finally:
            with self._lock:
                self._running -= 1
                last = self._closed and self._running == 0
            if last:
                self._context.term()

    def close(self) -> None:
        """Closes the sockets; calls that other threads have running end with Closed."""
        if self._pool.is_foreign:
            self._closed = True
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            last = self._running == 0
        self._pool.close()
        if last:
            self._context.term()

    def _drive(self, call: Call) -> tuple[Reply, str]:
        steps = attempts(self._pool, call)
        try:
            step = next(steps)
            while True:
                try:
                    done = self._do(step, call)
                except BaseException as problem:
                    step = steps.throw(problem)
                else:
                    step = steps.send(done)
        except StopIteration as end:
            reply: tuple[Reply, str] = end.value
            return reply

    def _do(self, step: Step[Connection], call: Call) -> Any:
        if isinstance(step, Exchange):
            return self._exchange(step, call)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        return bool(step.connection.socket.poll(int(step.seconds * 1000), zmq.POLLOUT))

    def _exchange(self, step: Exchange[Connection], call: Call) -> Reply:
        connection = step.connection
        connection.send(step.frames)
        while True:
            remaining = step.until - time.monotonic()
            if remaining <= 0:
                raise Silence
            if connection.socket.poll(int(min(remaining, SLICE) * 1000) + 1, zmq.POLLIN):
                reply = connection.take(call.identifier, call.on_partial)
                if reply is not None:
                    return reply
            elif not self._pool.is_open:
                raise Closed("the client was closed during the call")
            # Replies that arrived before a link went down are read first.
            elif not connection.up and not connection.has_reply:
                raise LinkLost
