"""Sockets, retries and failover: how one request reaches one of several daemons.

A connection is a DEALER socket with a routing identity of its own. It serves one request at a time
and waits in a pool in between, so that a client may be shared between threads: each running call
has a socket to itself. ZMQ_IMMEDIATE makes a socket writable only while its link is up, which tells
a daemon that cannot be reached from one that is slow; heartbeats find links that died silently.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence

import zmq

from .errors import Closed, Error, MalformedReply, Overloaded, ShuttingDown, Timeout, Unavailable
from .wire import Frame, Reply, decode_reply

_SLICE = 0.1
"""Seconds between looks at whether the link is up and the client open, while waiting."""

_HEARTBEAT_MS = 2000
_HEARTBEAT_TIMEOUT_MS = 10000


class LinkLost(Exception):
    """The connection went down between a request and its reply."""


class Silence(Exception):
    """No reply in the time that one attempt has."""


class Connection:
    """One socket to one endpoint; used by one thread at a time."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.endpoint = endpoint
        self._context = context
        # The identity stays when the socket is replaced: by it the daemon joins a repeated request
        # to the one that it is still working on.
        self._identity = b"py-" + secrets.token_hex(8).encode()
        self._socket = self._open()

    def _open(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.ROUTING_ID, self._identity)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.IPV6, 1)
        try:
            socket.connect(self.endpoint)
        except zmq.ZMQError as problem:
            socket.close()
            raise ValueError(f"endpoint {self.endpoint!r}: {problem.strerror}") from None
        return socket

    def reopen(self) -> None:
        """A new socket with the same routing identity, after its link was lost."""
        self._socket.close()
        self._socket = self._open()

    def close(self) -> None:
        self._socket.close()

    @property
    def up(self) -> bool:
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT)

    def wait_until_up(self, seconds: float) -> bool:
        return bool(self._socket.poll(int(max(0.0, seconds) * 1000), zmq.POLLOUT))

    def exchange(
        self,
        frames: Sequence[Frame],
        identifier: str,
        until: float,
        still_open: Callable[[], bool],
        on_partial: Callable[[Reply], None] | None,
    ) -> Reply:
        """Sends a request over a link that is up and waits for its final reply.

        Raises Silence at ``until``, LinkLost, MalformedReply, or Closed.
        """
        try:
            self._socket.send_multipart(frames, flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            raise LinkLost from None
        while True:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise Silence
            if self._socket.poll(int(min(remaining, _SLICE) * 1000) + 1, zmq.POLLIN):
                reply = decode_reply(
                    [frame.buffer for frame in self._socket.recv_multipart(copy=False)]
                )
                if reply.id is None and reply.error is None:
                    raise MalformedReply("a reply without an id")
                if reply.id is not None and reply.id != identifier:
                    continue  # a late reply to an earlier request, or a second one to a repeated one
                if reply.status == "partial":
                    if on_partial is not None:
                        on_partial(reply)
                    continue
                return reply
            if not still_open():
                raise Closed("the client was closed during the call")
            # Replies that arrived before a link went down are read first.
            if not self.up and not self._socket.poll(0, zmq.POLLIN):
                raise LinkLost


class Endpoint:
    """An address and the idle connections to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.idle: list[Connection] = []
        self.avoid_until = 0.0


class Transport:
    """Sends requests to the first of several endpoints that takes them.

    Args:
        addresses: at least one; calls start at each in turn.
        timeout: seconds for a call with all its retries.
        connect_timeout: seconds without any endpoint being up after which a call gives up.
        retries: how often a request is sent again after silence, a lost link, or a daemon that is
            overloaded or shutting down.
    """

    def __init__(
        self, addresses: Sequence[str], timeout: float, connect_timeout: float, retries: int
    ) -> None:
        self.addresses = tuple(addresses)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._retries = retries
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._endpoints = [Endpoint(address) for address in self.addresses]
        self._turn = 0
        self._running = 0

    def call(
        self,
        identifier: str,
        frames: Callable[[float], Sequence[Frame]],
        *,
        timeout: float | None = None,
        address: str | None = None,
        on_partial: Callable[[Reply], None] | None = None,
    ) -> tuple[Reply, str]:
        """One request to its final reply, and the address that gave it.

        Args:
            identifier: the request's id, the same at every attempt.
            frames: makes the message, given the seconds that are left.
            timeout: seconds, instead of the client's.
            address: the one endpoint to use.

        Raises Timeout, Unavailable, Overloaded, ShuttingDown, MalformedReply or Closed. Other
        errors of the daemon are in the reply.
        """
        if self._pid != os.getpid():
            # After a fork the parent keeps its sockets; the child opens its own.
            self._start()
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        with self._lock:
            if self._closed:
                raise Closed("the client is closed")
            self._running += 1
        try:
            return self._attempts(identifier, frames, deadline, address, on_partial)
        finally:
            with self._lock:
                self._running -= 1
                last = self._closed and self._running == 0
            if last:
                self._context.term()

    def close(self) -> None:
        """Closes the sockets; calls that other threads have running end with Closed."""
        if self._pid != os.getpid():
            self._closed = True
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle = [connection for endpoint in self._endpoints for connection in endpoint.idle]
            for endpoint in self._endpoints:
                endpoint.idle.clear()
            last = self._running == 0
        for connection in idle:
            connection.close()
        if last:
            self._context.term()

    def _attempts(
        self,
        identifier: str,
        frames: Callable[[float], Sequence[Frame]],
        deadline: float,
        address: str | None,
        on_partial: Callable[[Reply], None] | None,
    ) -> tuple[Reply, str]:
        alone = address is not None or len(self._endpoints) == 1
        trouble: Error = Timeout("no time for an attempt")
        held: Connection | None = None
        try:
            for left in range(self._retries + 1, 0, -1):
                # Until it is given back, a connection is closed on every way out: a late reply may
                # still come to its socket.
                held = self._connect(held, deadline, address)
                endpoint = self._endpoint(held.endpoint)
                now = time.monotonic()
                until = now + max(0.0, deadline - now) / left
                try:
                    reply = held.exchange(
                        frames(deadline - now), identifier, until, self._is_open, on_partial
                    )
                except Silence:
                    trouble = Timeout(f"no reply from {endpoint.address} within the timeout")
                    endpoint.avoid_until = time.monotonic() + 1.0
                    if not alone:
                        held.close()
                        held = None
                    # With one endpoint the link is up, so the repetition goes the same way: the
                    # daemon joins it to the request that it may still be working on.
                    continue
                except LinkLost:
                    trouble = Unavailable(f"the connection to {endpoint.address} was lost")
                    wait = 0.02
                    held.reopen()
                    if not alone:
                        self._give_back(held)
                        held = None
                else:
                    self._give_back(held)
                    held = None
                    if not isinstance(reply.error, (Overloaded, ShuttingDown)):
                        return reply, endpoint.address
                    trouble = reply.error
                    wait = 0.05 if trouble.retry_after is None else trouble.retry_after
                endpoint.avoid_until = time.monotonic() + wait
                if alone and left > 1:
                    if time.monotonic() + wait >= deadline:
                        break
                    time.sleep(wait)
            raise trouble
        finally:
            if held is not None:
                held.close()

    def _connect(
        self, held: Connection | None, deadline: float, address: str | None
    ) -> Connection:
        """A connection whose link is up: ``held`` if it is given, else one of the endpoints in turn.

        Raises Unavailable, or Closed.
        """
        limit = min(deadline, time.monotonic() + self._connect_timeout)
        waiting: dict[str, Connection] = {held.endpoint: held} if held else {}
        pinned = held.endpoint if held else address
        addresses = self.in_turn() if pinned is None else [pinned]
        found: Connection | None = None
        try:
            while True:
                for candidate in addresses:
                    connection = waiting.pop(candidate, None) or self._take(candidate)
                    patience = min(_SLICE, max(0.0, limit - time.monotonic()))
                    if connection.wait_until_up(patience):
                        found = connection
                        return connection
                    waiting[candidate] = connection
                    self._endpoint(candidate).avoid_until = time.monotonic() + 1.0
                if not self._is_open():
                    raise Closed("the client was closed during the call")
                if time.monotonic() >= limit:
                    raise Unavailable(f"no daemon answers at {', '.join(addresses)}")
        finally:
            for connection in waiting.values():
                if connection is not held:
                    self._give_back(connection)

    def in_turn(self) -> list[str]:
        """All addresses, beginning with the one whose turn it is, those in trouble last."""
        with self._lock:
            first = self._turn
            self._turn = (self._turn + 1) % len(self._endpoints)
            turned = self._endpoints[first:] + self._endpoints[:first]
        now = time.monotonic()
        return [e.address for e in sorted(turned, key=lambda e: max(0.0, e.avoid_until - now))]

    def _endpoint(self, address: str) -> Endpoint:
        return next(e for e in self._endpoints if e.address == address)

    def _take(self, address: str) -> Connection:
        endpoint = self._endpoint(address)
        with self._lock:
            if endpoint.idle:
                return endpoint.idle.pop()
        return Connection(self._context, address)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._endpoint(connection.endpoint).idle.append(connection)
                return
        connection.close()

    def _is_open(self) -> bool:
        return not self._closed
