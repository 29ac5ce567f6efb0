"""A client that knows nothing but the wire: frames, JSON and little-endian arrays."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from collections.abc import Sequence
from typing import Any

import numpy as np
import zmq

DTYPES = {"FP32": "<f4", "FP16": "<f2", "UINT8": "u1", "INT32": "<i4", "INT64": "<i8"}
_numbers = itertools.count()


@dataclass
class Answer:
    header: dict[str, Any]
    frames: list[bytes]

    @property
    def status(self) -> str:
        return self.header["status"]

    @property
    def result(self) -> dict[str, Any]:
        assert self.status != "error", self.header
        return self.header["result"]

    @property
    def error(self) -> dict[str, Any]:
        assert self.status == "error", self.header
        return self.header["error"]

    @property
    def items(self) -> dict[int, str]:
        """The codes of failed items by index."""
        return {entry["index"]: entry["error"]["code"] for entry in self.header.get("items", [])}

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        assert self.status != "error", self.header
        found: dict[str, np.ndarray] = {}
        for entry, frame in zip(self.header["outputs"], self.frames, strict=True):
            if entry["datatype"] == "BF16":
                values = (np.frombuffer(frame, "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(frame, DTYPES[entry["datatype"]])
            found[entry["name"]] = values.reshape(entry["shape"])
        return found


def image_input(value: Any, datatype: str | None = None) -> tuple[dict[str, Any], bytes]:
    """An image's header entry and frame: bytes are a file, arrays are raw."""
    if isinstance(value, bytes):
        return {"name": "images", "datatype": "BYTES", "content_type": "image/png"}, value
    if datatype is None:
        datatype = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8", "uint16": "BF16"}[
            value.dtype.name
        ]
    entry = {"name": "images", "datatype": datatype, "shape": list(value.shape)}
    return entry, np.ascontiguousarray(value).tobytes()


class Raw:
    """One DEALER or REQ socket."""

    def __init__(self, endpoint: str, kind: int = zmq.DEALER, identity: bytes | None = None) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        if identity is not None:
            self.socket.setsockopt(zmq.ROUTING_ID, identity)
        self.socket.connect(endpoint)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()
        self.context.term()

    def send_frames(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def send(self, op: str, params: Any = None, images: Sequence[Any] = (), **fields: Any) -> str:
        """Sends a well-formed request (fields override the header's) and returns its id."""
        identifier = fields.pop("id", None) or f"r{next(_numbers)}"
        inputs = [image if isinstance(image, tuple) else image_input(image) for image in images]
        header = {"id": identifier, "op": op, "params": params or {}}
        header["inputs"] = [entry for entry, _ in inputs]
        header |= fields
        self.send_frames(b"GD01", json.dumps(header).encode(), *(frame for _, frame in inputs))
        return identifier

    def receive(self, timeout: float = 60) -> Answer:
        """The next reply; zmq.Again after `timeout` seconds."""
        if not self.socket.poll(int(timeout * 1000)):
            raise zmq.Again
        frames = self.socket.recv_multipart()
        assert frames[0] == b"GD01"
        header = json.loads(frames[1].decode("utf-8"))
        assert len(frames) == 2 + len(header.get("outputs", []))
        return Answer(header, frames[2:])

    def ask(
        self, op: str, params: Any = None, images: Sequence[Any] = (), timeout: float = 60, **fields: Any
    ) -> Answer:
        """A request and its reply."""
        identifier = self.send(op, params, images, **fields)
        answer = self.receive(timeout)
        assert answer.header["id"] == identifier and answer.header["op"] == op
        return answer
