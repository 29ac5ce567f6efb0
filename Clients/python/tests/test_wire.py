"""Encoding and decoding of messages."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import guidanced
from guidanced.wire import Input, decode_reply, encode_request


def message(header: Any, *frames: bytes, magic: bytes = b"GD01") -> list[bytes]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return [magic, text, *frames]


def ok(**more: Any) -> dict[str, Any]:
    return {"id": "a", "op": "score", "status": "ok", **more}


def test_a_request_is_magic_header_and_its_frames() -> None:
    pixels = np.arange(12, dtype="<f4").reshape(1, 3, 2, 2)
    magic, header, raw, file = encode_request(
        "a1",
        "score",
        {"prompts": ["ein süßes Kätzchen 🐱"]},
        [Input("images", "FP32", pixels, pixels.shape), Input("image", "BYTES", b"\x89PNG")],
        model="default",
        deadline_ms=2000,
        priority=3,
    )
    assert magic == b"GD01"
    assert json.loads(bytes(header)) == {
        "id": "a1",
        "op": "score",
        "model": "default",
        "deadline_ms": 2000,
        "priority": 3,
        "params": {"prompts": ["ein süßes Kätzchen 🐱"]},
        "inputs": [
            {"name": "images", "datatype": "FP32", "shape": [1, 3, 2, 2]},
            {"name": "image", "datatype": "BYTES"},
        ],
    }
    assert bytes(raw) == pixels.tobytes() and bytes(file) == b"\x89PNG"


def test_a_header_above_the_limit_and_values_that_json_lacks_are_refused_here() -> None:
    with pytest.raises(ValueError, match="1048576"):
        encode_request("a", "embed_text", {"texts": ["x" * (1 << 20)]})
    with pytest.raises(ValueError):
        encode_request("a", "gradient", {"weights": [float("nan")]})
    with pytest.raises(ValueError):
        encode_request("a", "embed_text", {"texts": ["\ud800"]})


@pytest.mark.parametrize(
    ("datatype", "stored", "expected"),
    [
        ("FP32", np.array([1.5, -2], "<f4"), [1.5, -2]),
        ("FP16", np.array([1.5, -2], "<f2"), [1.5, -2]),
        ("BF16", np.array([0x3FC0, 0xC000], "<u2"), [1.5, -2]),
        ("INT64", np.array([-(2**40), 7], "<i8"), [-(2**40), 7]),
        ("UINT8", np.array([0, 255], "u1"), [0, 255]),
    ],
)
def test_outputs_of_every_datatype(datatype: str, stored: np.ndarray, expected: list[float]) -> None:
    header = ok(outputs=[{"name": "x", "datatype": datatype, "shape": [2, 1]}])
    array = decode_reply(message(header, stored.tobytes())).outputs["x"]
    assert array.shape == (2, 1) and array.ravel().tolist() == expected
    array[0] = 1  # own memory, writable


def test_outputs_are_the_frames_memory_where_it_can_be_written_to() -> None:
    header = ok(outputs=[{"name": "x", "datatype": "FP32", "shape": [2, 3]}])
    memory = bytearray(np.arange(6, dtype="<f4").tobytes())
    array = decode_reply([*message(header), memoryview(memory)]).outputs["x"]
    assert np.shares_memory(array, np.frombuffer(memory, np.uint8))
    odd = bytearray(25)
    odd[1:] = memory
    array = decode_reply([*message(header), memoryview(odd)[1:]]).outputs["x"]
    assert array.flags.aligned and array.flags.writeable
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "payload",
    [b"abcdef", bytearray(b"abcdef"), memoryview(b"abcdef"), np.frombuffer(b"abcdef", "<i2")],
)
def test_payloads_of_every_kind(payload: Any) -> None:
    frames = encode_request("a", "x", {}, [Input("i", "BYTES", payload)])
    assert bytes(frames[2]) == b"abcdef"


def test_an_empty_output_is_an_empty_array() -> None:
    header = ok(outputs=[{"name": "x", "datatype": "FP32", "shape": [0, 5]}])
    assert decode_reply(message(header, b"")).outputs["x"].shape == (0, 5)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([], "at least 2 frames"),
        ([b"GD01"], "at least 2 frames"),
        (message(ok(), magic=b"GD02"), "frame 0"),
        (message(b"{"), "not JSON"),
        (message(b"\xff\xfe"), "not JSON"),
        (message([1]), "no object"),
        (message({"id": "a", "status": "fine"}), "status"),
        (message({"id": "a", "status": "error"}), "error must be an object"),
        (message({"id": "a", "status": "error", "error": {}}), "without a code"),
        (message(ok(outputs=[{"name": "x", "datatype": "FP32", "shape": [2]}])), "0 frames"),
        (message(ok(), b"1234"), "0 outputs declared, 1 frames"),
        (message(ok(outputs={}), b""), "outputs must be a list"),
        (message(ok(outputs=[{"name": "x", "datatype": "FP32", "shape": [2]}]), b"123"), "8 bytes"),
        (message(ok(outputs=[{"name": "x", "datatype": "FP8", "shape": [1]}]), b"1"), "FP8"),
        (message(ok(outputs=[{"name": "x", "datatype": "FP32", "shape": [-1]}]), b""), "shape"),
        (message(ok(outputs=[{"name": "x", "datatype": "FP32"}]), b""), "shape"),
        (message(ok(outputs=[{"datatype": "FP32", "shape": [1]}]), b"1234"), "without a name"),
        (
            message(ok(outputs=[{"name": "x", "datatype": "UINT8", "shape": [1]}] * 2), b"1", b"2"),
            "twice",
        ),
        (message(ok(items=[{"index": -1, "error": {"code": "bad_image"}}])), "index"),
        (message(ok(items=[{"index": 0}])), "error must be an object"),
        (message(ok(result=[])), "result must be an object"),
    ],
)
def test_a_reply_that_breaks_the_protocol_is_named(frames: list[bytes], words: str) -> None:
    with pytest.raises(guidanced.MalformedReply, match=words):
        decode_reply(frames)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unsupported_version", guidanced.UnsupportedVersion),
        ("bad_request", guidanced.BadRequest),
        ("unknown_op", guidanced.UnknownOp),
        ("unknown_model", guidanced.UnknownModel),
        ("bad_tensor", guidanced.BadTensor),
        ("bad_image", guidanced.BadImage),
        ("too_large", guidanced.TooLarge),
        ("prompt_too_long", guidanced.PromptTooLong),
        ("overloaded", guidanced.Overloaded),
        ("deadline_exceeded", guidanced.DeadlineExceeded),
        ("cancelled", guidanced.Cancelled),
        ("shutting_down", guidanced.ShuttingDown),
        ("unauthorized", guidanced.Unauthorized),
        ("internal", guidanced.Internal),
        ("from_the_future", guidanced.Error),
    ],
)
def test_each_code_has_its_class(code: str, kind: type[guidanced.Error]) -> None:
    error = {"code": code, "message": "m", "field": "params.x", "retry_after_ms": 250}
    decoded = decode_reply(message({"id": "a", "status": "error", "error": error})).error
    assert type(decoded) is kind
    assert (decoded.code, decoded.message, decoded.field) == (code, "m", "params.x")
    assert decoded.retry_after == 0.25
    assert code in str(decoded) and "params.x" in str(decoded)


def test_items_come_in_order_of_index() -> None:
    items = [{"index": i, "error": {"code": "bad_image", "message": str(i)}} for i in (3, 1)]
    reply = decode_reply(message(ok(items=items, warnings=["odd"])))
    assert [(item.index, item.error.code) for item in reply.items] == [
        (1, "bad_image"),
        (3, "bad_image"),
    ]
    assert reply.warnings == ("odd",)
