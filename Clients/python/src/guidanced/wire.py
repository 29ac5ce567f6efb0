"""Messages and their frames: the wire protocol as values, without any socket."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .errors import (
    ArgumentError,
    ArgumentTypeError,
    Error,
    ItemFailure,
    MalformedReply,
    RequestTooLarge,
    from_wire,
)

MAGIC = b"GD01"
"""Frame 0 of every message."""

MAXIMUM_HEADER_BYTES = 1 << 20
"""The longest header that the protocol allows."""

LONGEST_DEADLINE_MS = 86_400_000
"""The longest deadline that the protocol allows, a day."""

Payload = Union[bytes, bytearray, memoryview, NDArray[Any]]
"""The bytes of one frame: bytes, or an array, which is not copied if it is contiguous."""

Frame = Union[bytes, memoryview]
"""One frame of a message."""

_DTYPES: dict[str, str] = {
    "FP32": "<f4",
    "FP16": "<f2",
    "BF16": "<u2",
    "UINT8": "u1",
    "INT32": "<i4",
    "INT64": "<i8",
}


@dataclass(frozen=True)
class Input:
    """One input tensor (or encoded file, datatype BYTES) of a request and its frame."""

    name: str
    datatype: str
    payload: Payload
    shape: tuple[int, ...] = ()
    content_type: str | None = None

    def header(self) -> dict[str, Any]:
        """The entry of the header's ``inputs`` list."""
        entry: dict[str, Any] = {"name": self.name, "datatype": self.datatype}
        if self.datatype != "BYTES":
            entry["shape"] = list(self.shape)
        if self.content_type is not None:
            entry["content_type"] = self.content_type
        return entry


@dataclass
class Reply:
    """One reply, checked: outputs are arrays by name, errors are exceptions not yet raised.

    ``status`` is "ok", "partial" or "error". ``timing`` has ``queue_ms`` and ``compute_ms``.
    """

    id: str | None
    op: str
    status: str
    model: str | None = None
    fingerprint: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    items: tuple[ItemFailure, ...] = ()
    error: Error | None = None
    timing: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def encode_request(
    identifier: str,
    op: str,
    params: Mapping[str, Any],
    inputs: Sequence[Input] = (),
    *,
    model: str | None = None,
    deadline_ms: int | None = None,
    priority: int | None = None,
) -> list[Frame]:
    """The frames of a request: magic, header, one frame for each input.

    Raises RequestTooLarge when the header would be above 1 MiB, and ArgumentError when params are not
    JSON.
    """
    header: dict[str, Any] = {"id": identifier, "op": op}
    if model is not None:
        header["model"] = model
    if deadline_ms is not None:
        header["deadline_ms"] = deadline_ms
    if priority is not None:
        header["priority"] = priority
    if not isinstance(params, Mapping) or not all(isinstance(entry, Input) for entry in inputs):
        raise ArgumentTypeError(f"{op}: expected params by name and a list of Input")
    header["params"] = dict(params)
    header["inputs"] = [entry.header() for entry in inputs]
    try:
        text = json.dumps(
            header, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
        )
        encoded = text.encode("utf-8")
    except TypeError as problem:
        raise ArgumentTypeError(f"{op}: {problem}") from None
    except (ValueError, RecursionError) as problem:  # also a lone surrogate
        raise ArgumentError(f"{op}: {problem}") from None
    if len(encoded) > MAXIMUM_HEADER_BYTES:
        raise RequestTooLarge(
            f"the request's header is {len(encoded)} bytes, the protocol allows "
            f"{MAXIMUM_HEADER_BYTES}: send fewer or shorter texts, or fewer files, in one call"
        )
    return [MAGIC, encoded, *(as_frame(entry.payload) for entry in inputs)]


def _plain(value: object) -> object:
    """Numbers and arrays of numpy as JSON has them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"expected what JSON can carry, found {type(value).__name__}")


def as_frame(payload: Payload) -> Frame:
    """The payload's bytes without a copy."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, (bytearray, memoryview)):
        return memoryview(payload).cast("B")
    if not isinstance(payload, np.ndarray):
        raise ArgumentTypeError(f"payload: expected bytes or an array, found {type(payload).__name__}")
    return payload.reshape(-1).view(np.uint8).data


def decode_reply(frames: Sequence[Frame]) -> Reply:
    """Parses and checks the frames of a reply.

    Outputs are writable arrays, without a copy where a frame's memory is writable and aligned; BF16 is
    widened to float32. Raises MalformedReply naming what
    is wrong; an error reported by the daemon is returned in ``Reply.error``, not raised.
    """
    if len(frames) < 2:
        raise MalformedReply(f"a reply has at least 2 frames, found {len(frames)}")
    if bytes(frames[0]) != MAGIC:
        raise MalformedReply(f"frame 0 must be {MAGIC!r}, found {bytes(frames[0])[:16]!r}")
    try:
        header = json.loads(bytes(frames[1]).decode("utf-8"))
    except ValueError as problem:
        raise MalformedReply(f"the header is not JSON: {problem}") from None
    if not isinstance(header, dict):
        raise MalformedReply(f"the header is no object but {type(header).__name__}")

    identifier = header.get("id")
    status = header.get("status")
    if status not in ("ok", "partial", "error"):
        raise MalformedReply(f"unknown status {status!r}")
    error = from_wire(header.get("error")) if status == "error" else None
    if isinstance(error, MalformedReply):
        raise error

    declared = _list(header, "outputs")
    if len(declared) != len(frames) - 2:
        raise MalformedReply(f"{len(declared)} outputs declared, {len(frames) - 2} frames found")
    outputs: dict[str, NDArray[Any]] = {}
    for entry, frame in zip(declared, frames[2:]):
        name, array = _decode_output(entry, frame)
        if name in outputs:
            raise MalformedReply(f"output {name!r} occurs twice")
        outputs[name] = array

    timing = _mapping(header, "timing")
    return Reply(
        id=identifier if isinstance(identifier, str) else None,
        op=str(header.get("op", "")),
        status=status,
        model=_text(header, "model"),
        fingerprint=_text(header, "fingerprint"),
        result=_mapping(header, "result"),
        outputs=outputs,
        items=tuple(sorted(map(_decode_item, _list(header, "items")), key=lambda i: i.index)),
        error=error,
        timing={k: float(v) for k, v in timing.items() if isinstance(v, (int, float))},
        warnings=tuple(str(entry) for entry in _list(header, "warnings")),
    )


def _decode_output(entry: object, frame: Frame) -> tuple[str, NDArray[Any]]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise MalformedReply(f"an output without a name: {entry!r}")
    name: str = entry["name"]
    datatype = entry.get("datatype")
    size = len(frame)
    if datatype == "BYTES":
        return name, np.frombuffer(frame, dtype=np.uint8).copy()
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise MalformedReply(f"output {name!r} has the unknown datatype {datatype!r}")
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape
    ):
        raise MalformedReply(f"output {name!r} has the shape {shape!r}")
    dtype = np.dtype(_DTYPES[datatype])
    expected = math.prod(shape) * dtype.itemsize
    if expected != size:
        raise MalformedReply(f"output {name!r} {shape} needs {expected} bytes, found {size}")
    array: NDArray[Any] = np.frombuffer(frame, dtype=dtype).reshape(shape)
    if datatype == "BF16":
        return name, (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    is_usable = array.flags.writeable and array.flags.aligned and dtype.isnative
    return name, array if is_usable else array.astype(dtype.newbyteorder("="), copy=True)


def _decode_item(entry: object) -> ItemFailure:
    if not isinstance(entry, dict):
        raise MalformedReply(f"an item must be an object, found {entry!r}")
    index = entry.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise MalformedReply(f"an item has the index {index!r}")
    error = from_wire(entry.get("error"))
    if isinstance(error, MalformedReply):
        raise error
    return ItemFailure(index, error)


def _list(header: Mapping[str, Any], key: str) -> list[Any]:
    value = header.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedReply(f"{key} must be a list, found {type(value).__name__}")
    return value


def _mapping(header: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = header.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedReply(f"{key} must be an object, found {type(value).__name__}")
    return value


def _text(header: Mapping[str, Any], key: str) -> str | None:
    value = header.get(key)
    return value if isinstance(value, str) else None
