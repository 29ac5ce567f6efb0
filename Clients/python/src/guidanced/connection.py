"""One ZeroMQ socket to one endpoint, and the idle ones that a client keeps.

A connection is a DEALER socket with a routing identity of its own. It serves one request at a time
and waits in a pool in between, so that a client may be shared: each running call has a socket to
itself. ZMQ_IMMEDIATE makes a socket writable only while its link is up, which tells a daemon that
cannot be reached from one that is slow; heartbeats find links that died silently.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import zmq

from .errors import ArgumentError, MalformedReply, Unavailable
from .wire import Frame, Reply, decode_reply, encode_request

_HEARTBEAT_MS = 2000
_HEARTBEAT_TIMEOUT_MS = 10000

_LAST_WORD_MS = 300
"""How long a closed socket may take to get a cancellation on its way."""


class LinkLost(Exception):
    """The connection went down between a request and its reply."""


class Silence(Exception):
    """No reply in the time that one attempt has."""


class Connection:
    """One socket to one endpoint; used by one call at a time.

    ``socket`` is what waits: blocking here, a coroutine's in a subclass. ``raw`` never waits.
    """

    def __init__(self, context: zmq.Context[Any], endpoint: str) -> None:
        self.endpoint = endpoint
        self._context = context
        # The identity stays when the socket is replaced: by it the daemon joins a repeated request
        # to the one that it is still working on.
        self._identity = b"py-" + secrets.token_hex(8).encode()
        self.socket: Any = None
        self.raw: zmq.Socket[bytes]
        self._open()

    def _open(self) -> None:
        try:
            self.socket = self._context.socket(zmq.DEALER)
        except zmq.ZMQError as problem:
            # Too many files or sockets are open.
            raise Unavailable(f"no socket to {self.endpoint}: {problem.strerror}") from None
        self.raw = self._unwaiting()
        for option, value in (
            (zmq.LINGER, 0),
            (zmq.IMMEDIATE, 1),
            (zmq.RECONNECT_IVL, 50),
            (zmq.RECONNECT_IVL_MAX, 1000),
            (zmq.HEARTBEAT_IVL, _HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS),
            (zmq.IPV6, 1),
        ):
            self.raw.setsockopt(option, value)
        self.raw.setsockopt(zmq.ROUTING_ID, self._identity)
        try:
            self.raw.connect(self.endpoint)
        except zmq.ZMQError as problem:
            self.socket.close()
            raise ArgumentError(f"endpoint {self.endpoint!r}: {problem.strerror}") from None

    def _unwaiting(self) -> zmq.Socket[bytes]:
        found: zmq.Socket[bytes] = self.socket
        return found

    def reopen(self) -> None:
        """A new socket with the same routing identity, after its link was lost."""
        self.socket.close()
        self._open()

    def close(self) -> None:
        """Closes the socket; what it has not sent by now is dropped."""
        self.socket.close()

    @property
    def up(self) -> bool:
        """Whether the link to the daemon is there."""
        return bool(int(self.raw.getsockopt(zmq.EVENTS)) & zmq.POLLOUT)

    @property
    def has_reply(self) -> bool:
        """Whether a message waits to be read."""
        return bool(int(self.raw.getsockopt(zmq.EVENTS)) & zmq.POLLIN)

    def send(self, frames: Sequence[Frame]) -> None:
        """Sends a request, or raises LinkLost."""
        try:
            self.raw.send_multipart(frames, flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            raise LinkLost from None

    def take(self, identifier: str, on_partial: Callable[[Reply], None] | None) -> Reply | None:
        """Reads a message: the final reply to a request, or ``None`` for anything else."""
        try:
            frames = self.raw.recv_multipart(flags=zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        reply = decode_reply([frame.buffer for frame in frames])
        if reply.id is None and reply.error is None:
            raise MalformedReply("a reply without an id")
        if reply.id is not None and reply.id != identifier:
            return None  # a late reply to an earlier request, or a second one to a repeated one
        if reply.status == "partial":
            if on_partial is not None:
                on_partial(reply)
            return None
        return reply

    def cancel(self, identifier: str) -> None:
        """Tells the daemon that nobody waits for a request any more, if the link is up."""
        self.raw.setsockopt(zmq.LINGER, _LAST_WORD_MS)
        frames = encode_request(f"{identifier}-cancel", "cancel", {"id": identifier})
        try:
            self.raw.send_multipart(frames, flags=zmq.NOBLOCK)
        except zmq.ZMQError:
            pass


Link = TypeVar("Link", bound=Connection)


class Endpoint(Generic[Link]):
    """An address and the idle connections to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.idle: list[Link] = []
        self.avoid_until = 0.0

    def avoid(self, seconds: float) -> None:
        """Calls try other endpoints first for so long."""
        self.avoid_until = time.monotonic() + seconds


class Pool(Generic[Link]):
    """The endpoints of a client. Threads may share it; after a fork the child begins anew.

    Args:
        make: opens a connection to an address.
    """

    def __init__(self, addresses: Sequence[str], make: Callable[[str], Link]) -> None:
        self.addresses = tuple(addresses)
        self._make = make
        self._lock = threading.Lock()
        self._endpoints: list[Endpoint[Link]] = [Endpoint(address) for address in addresses]
        self._turn = 0
        self.pid = os.getpid()
        self.is_open = True

    @property
    def is_foreign(self) -> bool:
        """Whether it was made in another process, whose sockets must be left alone."""
        return self.pid != os.getpid()

    def in_turn(self) -> list[str]:
        """All addresses, beginning with the one whose turn it is, those in trouble last."""
        with self._lock:
            first = self._turn
            self._turn = (self._turn + 1) % len(self._endpoints)
            turned = self._endpoints[first:] + self._endpoints[:first]
        now = time.monotonic()
        return [e.address for e in sorted(turned, key=lambda e: max(0.0, e.avoid_until - now))]

    def endpoint(self, address: str) -> Endpoint[Link]:
        """The endpoint with an address."""
        return next(e for e in self._endpoints if e.address == address)

    def take(self, address: str) -> Link:
        """An idle connection, or a new one."""
        endpoint = self.endpoint(address)
        with self._lock:
            if endpoint.idle:
                return endpoint.idle.pop()
        return self._make(address)

    def give_back(self, connection: Link) -> None:
        """Keeps a connection for the next call, unless the pool was closed meanwhile."""
        with self._lock:
            if self.is_open:
                self.endpoint(connection.endpoint).idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Closes the idle connections; those in use are closed when they are given back."""
        with self._lock:
            self.is_open = False
            idle = [connection for endpoint in self._endpoints for connection in endpoint.idle]
            for endpoint in self._endpoints:
                endpoint.idle.clear()
        for connection in idle:
            connection.close()
