"""A daemon in this process that knows the wire protocol and nothing else, strict about requests."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zmq

SIZES = {"FP32": 4, "FP16": 2, "BF16": 2, "UINT8": 1, "INT32": 4, "INT64": 8}
DTYPES = {"FP32": "<f4", "FP16": "<f2", "BF16": "<u2", "UINT8": "u1", "INT32": "<i4", "INT64": "<i8"}


@dataclass
class Request:
    client: bytes
    header: dict[str, Any]
    frames: list[bytes]
    violations: list[str] = field(default_factory=list)

    @property
    def params(self) -> dict[str, Any]:
        return self.header["params"]

    def arrays(self) -> list[Any]:
        """The inputs: arrays, or bytes for files."""
        return [
            frame
            if entry["datatype"] == "BYTES"
            else np.frombuffer(frame, DTYPES[entry["datatype"]]).reshape(entry["shape"])
            for entry, frame in zip(self.header["inputs"], self.frames)
        ]

    def items(self) -> int:
        return sum(
            1 if entry["datatype"] == "BYTES" else entry["shape"][0]
            for entry in self.header["inputs"]
        )


def parse(client: bytes, frames: list[bytes]) -> Request:
    header = json.loads(frames[1].decode("utf-8"))
    request = Request(client, header, frames[2:])
    wrong = request.violations.append
    if frames[0] != b"GD01":
        wrong(f"magic {frames[0]!r}")
    if len(frames[1]) > 1 << 20:
        wrong("header above 1 MiB")
    for key in header:
        if key not in {"id", "op", "model", "deadline_ms", "priority", "params", "inputs"}:
            wrong(f"unknown header field {key}")
    if not isinstance(header.get("id"), str) or not isinstance(header.get("op"), str):
        wrong("id or op is no string")
    if "deadline_ms" in header and not (
        isinstance(header["deadline_ms"], int) and header["deadline_ms"] > 0
    ):
        wrong(f"deadline_ms {header['deadline_ms']!r}")
    if len(header["inputs"]) != len(request.frames):
        wrong(f"{len(header['inputs'])} inputs, {len(request.frames)} frames")
    for entry, frame in zip(header["inputs"], request.frames):
        if entry["datatype"] == "BYTES":
            if "shape" in entry:
                wrong("BYTES with a shape")
        elif math.prod(entry["shape"]) * SIZES[entry["datatype"]] != len(frame):
            wrong(f"{entry} with {len(frame)} bytes")
        elif any(side <= 0 for side in entry["shape"]) or len(entry["shape"]) != 4:
            wrong(f"shape {entry['shape']}")
    return request


def reply(
    request: Request,
    result: dict[str, Any] | None = None,
    outputs: dict[str, np.ndarray] | None = None,
    status: str = "ok",
    **more: Any,
) -> list[bytes]:
    """The frames of a reply; arrays are float32."""
    outputs = outputs or {}
    header = {
        "id": request.header["id"],
        "op": request.header["op"],
        "status": status,
        "model": "default",
        "fingerprint": "f00d",
        "result": result or {},
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": list(array.shape)}
            for name, array in outputs.items()
        ],
        "timing": {"queue_ms": 0.1, "compute_ms": 1.5},
        **more,
    }
    arrays = [np.ascontiguousarray(array, "<f4").tobytes() for array in outputs.values()]
    return [b"GD01", json.dumps(header).encode(), *arrays]


def failure(request: Request, code: str, **more: Any) -> list[bytes]:
    return reply(
        request, status="error", error={"code": code, "message": f"because {code}", **more}
    )


Handler = Callable[[Request], Iterable[list[bytes]]]
"""From a request to the messages that answer it, in order; none is silence."""


class FakeDaemon:
    """Answers on one ROUTER socket in a thread until it is stopped.

    Unless ``greets`` is false it answers ``hello`` and ``status`` by itself, with ``limits`` and
    ``threads``, and does not count them among the requests.
    """

    def __init__(
        self,
        endpoint: str,
        handler: Handler,
        greets: bool = True,
        limits: dict[str, int] | None = None,
        threads: int = 2,
    ) -> None:
        self.endpoint = endpoint
        self.handler = handler
        self.greets = greets
        self.limits = limits or {}
        self.threads = threads
        self.requests: list[Request] = []
        self.greetings: list[str] = []
        self._context = zmq.Context()
        self._ready = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def _run(self) -> None:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.bind(self.endpoint)
        self._ready.set()
        while not self._stopped.is_set():
            if socket.poll(20):
                client, *frames = socket.recv_multipart()
                request = parse(client, frames)
                for message in self._answers(request):
                    socket.send_multipart([client, *message])
        socket.close()

    def _answers(self, request: Request) -> Iterable[list[bytes]]:
        op = request.header["op"]
        if self.greets and op in ("hello", "status"):
            self.greetings.append(op)
            return [reply(request, {"limits": self.limits, "threads": self.threads})]
        self.requests.append(request)
        return self.handler(request)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(5)
        self._context.term()

    def violations(self) -> list[str]:
        return [text for request in self.requests for text in request.violations]
