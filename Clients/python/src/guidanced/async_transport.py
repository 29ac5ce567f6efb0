"""Sockets that coroutines wait for (``zmq.asyncio``)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import zmq
import zmq.asyncio

from .attempts import SLICE, Call, Exchange, Pause, Step, attempts
from .connection import Connection, LinkLost, Pool, Silence
from .errors import Closed, Timeout
from .wire import Frame, Reply

CONNECTIONS = 64
"""Calls of one client that run at once, each with a socket of its own; others wait for their turn."""


class AsyncConnection(Connection):
    """A connection whose socket waits in an event loop."""

    def _unwaiting(self) -> zmq.Socket[bytes]:
        return zmq.Socket.shadow(self.socket.underlying)


class AsyncTransport:
    """As ``Transport``, for the tasks of one event loop at a time.

    Sockets belong to the loop in which they were opened: under another one (a second
    ``asyncio.run``) new ones are opened.
    """

    def __init__(self, addresses: Sequence[str], connect_timeout: float, retries: int) -> None:
        self.addresses = tuple(addresses)
        self._connect_timeout = connect_timeout
        self._retries = retries
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._start()

    def _start(self) -> None:
        self._context = context = zmq.asyncio.Context()
        self._pool = Pool(self.addresses, lambda address: AsyncConnection(context, address))
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._running = 0

    def _enter(self) -> None:
        """Makes sure that the sockets are this process' and this loop's."""
        loop = asyncio.get_running_loop()
        if self._pool.is_foreign:
            self._start()
        elif self._loop is not loop and self._loop is not None:
            self._pool.close()
            if self._running == 0:
                self._context.term()
            self._start()
        self._loop = loop

    def in_turn(self) -> list[str]:
        """All addresses, the one whose turn it is first."""
        return self._pool.in_turn()

    async def call(
        self,
        identifier: str,
        frames: Callable[[float], Sequence[Frame]],
        timeout: float,
        *,
        address: str | None = None,
        on_partial: Callable[[Reply], None] | None = None,
    ) -> tuple[Reply, str]:
        """As ``Transport.call``. When its task is cancelled the daemon is told so."""
        if self._closed:
            raise Closed("the client is closed")
        self._enter()
        deadline = time.monotonic() + timeout
        slots, context = self._slots, self._context
        await _acquire(slots, timeout)
        self._running += 1
        try:
            if self._closed:
                raise Closed("the client was closed during the call")
            call = Call(
                identifier,
                frames,
                deadline,
                self._connect_timeout,
                self._retries,
                address,
                on_partial,
            )
            return await self._drive(call)
        finally:
            slots.release()
            if context is self._context:
                self._running -= 1
                if self._closed and self._running == 0:
                    context.term()

    def close(self) -> None:
        """Closes the sockets; calls that other tasks have running end with Closed."""
        if self._closed:
            return
        self._closed = True
        if self._pool.is_foreign:
            return
        self._pool.close()
        if self._running == 0:
            self._context.term()

    async def _drive(self, call: Call) -> tuple[Reply, str]:
        steps = attempts(self._pool, call)
        try:
            step = next(steps)
            while True:
                try:
                    done = await self._do(step, call)
                except BaseException as problem:
                    step = steps.throw(problem)
                else:
                    step = steps.send(done)
        except StopIteration as end:
            reply: tuple[Reply, str] = end.value
            return reply

    async def _do(self, step: Step[AsyncConnection], call: Call) -> Any:
        if isinstance(step, Exchange):
            return await self._exchange(step, call)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        socket = step.connection.socket
        return bool(await socket.poll(int(step.seconds * 1000), zmq.POLLOUT))

    async def _exchange(self, step: Exchange[AsyncConnection], call: Call) -> Reply:
        connection = step.connection
        connection.send(step.frames)
        while True:
            remaining = step.until - time.monotonic()
            if remaining <= 0:
                raise Silence
            milliseconds = int(min(remaining, SLICE) * 1000) + 1
            if await connection.socket.poll(milliseconds, zmq.POLLIN):
                reply = connection.take(call.identifier, call.on_partial)
                if reply is not None:
                    return reply
            elif not self._pool.is_open:
                raise Closed("the client was closed during the call")
            elif not connection.up and not connection.has_reply:
                raise LinkLost


async def _acquire(slots: asyncio.Semaphore, timeout: float) -> None:
    if not slots.locked():
        await slots.acquire()
        return
    try:
        await asyncio.wait_for(slots.acquire(), None if timeout == math.inf else timeout)
    except asyncio.TimeoutError:
        raise Timeout(f"{CONNECTIONS} other calls took the whole timeout") from None
