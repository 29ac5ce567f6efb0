"""Bad input over the wire: a typed error that names what and where, and nothing else suffers."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest

import pictures
from daemon import Daemon
from pictures import noise, planar, png
from raw import Raw, image_input

GOOD = noise(24, 24, seed=1)


def header(**fields: Any) -> bytes:
    return json.dumps({"id": "x", "op": "ping"} | fields).encode()


# Messages ---------------------------------------------------------------------------------------

DEEP = b'{"id": "x", "op": "ping", "params": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"

MESSAGES: dict[str, tuple[list[bytes], set[str]]] = {
    "a frame that is no protocol": ([b"HTTP", header()], {"unsupported_version", "bad_request"}),
    "a longer magic": ([b"GD01\0", header()], {"unsupported_version", "bad_request"}),
    "a version from the future": ([b"GD02", header()], {"unsupported_version"}),
    "no header": ([b"GD01"], {"bad_request"}),
    "an empty header": ([b"GD01", b""], {"bad_request"}),
    "a header that is no JSON": ([b"GD01", b"{'id': 1}"], {"bad_request"}),
    "a header cut short": ([b"GD01", header()[:-1]], {"bad_request"}),
    "a header with more after it": ([b"GD01", header() + b"{}"], {"bad_request"}),
    "a list for a header": ([b"GD01", b"[1, 2]"], {"bad_request"}),
    "a number for a header": ([b"GD01", b"7"], {"bad_request"}),
    "null for a header": ([b"GD01", b"null"], {"bad_request"}),
    "NaN in the header": ([b"GD01", b'{"id": "x", "op": "ping", "params": {"a": NaN}}'],
                          {"bad_request"}),
    "invalid UTF-8": ([b"GD01", b'{"id": "x", "op": "p\xffng"}'], {"bad_request"}),
    "overlong UTF-8": ([b"GD01", b'{"id": "x", "op": "p\xc0\xafng"}'], {"bad_request"}),
    "a NUL in the header": ([b"GD01", b'{"id": "x", "op": "pi\0ng"}'], {"bad_request"}),
    "a header above 1 MiB": ([b"GD01", header(padding="x" * (1 << 20))],
                             {"bad_request", "too_large"}),
    "brackets 200,000 deep": ([b"GD01", DEEP], {"bad_request"}),
    "no id": ([b"GD01", b'{"op": "ping"}'], {"bad_request"}),
    "an id that is a number": ([b"GD01", header(id=7)], {"bad_request"}),
    "an empty id": ([b"GD01", header(id="")], {"bad_request"}),
    "a very long id": ([b"GD01", header(id="i" * 100_000)], {"bad_request", "too_large"}),
    "no op": ([b"GD01", b'{"id": "x"}'], {"bad_request"}),
    "an op that is a list": ([b"GD01", header(op=["ping"])], {"bad_request"}),
    "an unknown op": ([b"GD01", header(op="pong")], {"unknown_op"}),
    "params that are a list": ([b"GD01", header(params=[])], {"bad_request"}),
    "inputs that are an object": ([b"GD01", header(inputs={})], {"bad_request", "bad_tensor"}),
    "an input that is a string": ([b"GD01", header(inputs=["a"]), b""],
                                  {"bad_request", "bad_tensor"}),
    "a model that is a number": ([b"GD01", header(model=1, op="embed_text")], {"bad_request"}),
    "a negative deadline": ([b"GD01", header(deadline_ms=-5)], {"bad_request"}),
    "a deadline that is a text": ([b"GD01", header(deadline_ms="soon")], {"bad_request"}),
    "a priority beyond all bounds": ([b"GD01", header(priority=10**30)], {"bad_request"}),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_breaks_the_protocol(raw: Raw, name: str) -> None:
    frames, codes = MESSAGES[name]
    raw.send_frames(*frames)
    answer = raw.receive(20)
    assert answer.error["code"] in codes and answer.error["message"]
    assert raw.ask("ping").status == "ok"  # the same connection goes on


# Tensors ----------------------------------------------------------------------------------------

FLOATS = planar(GOOD)[None]


def tensor(shape: Any, datatype: Any = "FP32", frame: bytes = FLOATS.tobytes(), **more: Any):
    entry = {"name": "images", "datatype": datatype, "shape": shape} | more
    return [(entry, frame)]


TENSORS: dict[str, list[tuple[dict[str, Any], bytes]]] = {
    "a shape larger than the frame": tensor([1, 3, 24, 25]),
    "a shape smaller than the frame": tensor([1, 3, 24, 23]),
    "a gigabyte declared, a few bytes sent": tensor([1, 3, 8192, 10923]),
    "a shape whose product overflows": tensor([1, 3, 2**40, 2**40]),
    "a shape whose product wraps to the frame's length": tensor([2**62, 4, 2, 3]),
    "extents beyond 64 bits": tensor([1, 3, 10**30, 1]),
    "a negative extent": tensor([1, 3, -24, -24]),
    "a zero extent": tensor([1, 3, 0, 24], frame=b""),
    "no items": tensor([0, 3, 24, 24], frame=b""),
    "an extent with a fraction": tensor([1, 3, 24.5, 24]),
    "an extent that is a text": tensor([1, 3, "24", 24]),
    "a shape that is a number": tensor(1728),
    "no shape": [({"name": "images", "datatype": "FP32"}, FLOATS.tobytes())],
    "a thousand extents": tensor([1] * 1000, frame=b"\0" * 4),
    "an unknown datatype": tensor([1, 3, 24, 24], "FP8"),
    "a datatype that is a number": tensor([1, 3, 24, 24], 32),
    "integers for an image": tensor([1, 3, 24, 24], "INT32"),
    "floats with the channels last": tensor([1, 24, 24, 3]),
    "bytes with the channels first": tensor([1, 3, 24, 24], "UINT8", GOOD.tobytes()),
    "five channels": tensor([1, 24, 24, 5], "UINT8", bytes(24 * 24 * 5)),
    "three extents": tensor([3, 24, 24]),
    "five extents": tensor([1, 1, 3, 24, 24]),
}


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("op", ["score", "gradient"])
def test_a_tensor_that_does_not_fit(raw: Raw, op: str, name: str) -> None:
    answer = raw.ask(op, {"prompts": ["a"]}, TENSORS[name])
    assert answer.error["code"] in {"bad_tensor", "bad_request", "too_large"}
    assert "inputs" in answer.error["field"], answer.error
    good = raw.ask(op, {"prompts": ["a"]}, [FLOATS])
    assert good.status == "ok"


@pytest.mark.parametrize("extra", [-1, 1, 5])
def test_frames_too_few_and_too_many(raw: Raw, extra: int) -> None:
    entry, frame = image_input(FLOATS)
    frames = [frame] * (2 + extra)
    raw.send_frames(
        b"GD01", header(op="score", params={"prompts": ["a"]}, inputs=[entry] * 2), *frames
    )
    assert raw.receive().error["code"] in {"bad_tensor", "bad_request"}


def test_two_thousand_inputs(raw: Raw) -> None:
    pixel = np.zeros((1, 1, 1, 3), np.uint8)
    answer = raw.ask("embed_image", {}, [pixel] * 2000)
    assert answer.error["code"] in {"too_large", "bad_request", "bad_tensor"}


# Images -----------------------------------------------------------------------------------------


def with_pixel(value: float) -> np.ndarray:
    image = FLOATS.copy()
    image[0, 1, 5, 5] = value
    return image


VALID = png(GOOD)
BAD_IMAGES: dict[str, Any] = {
    "a NaN pixel": with_pixel(np.nan),
    "an infinite pixel": with_pixel(np.inf),
    "a negative infinite pixel": with_pixel(-np.inf),
    "an infinite half": with_pixel(np.inf).astype("<f2"),
    "an infinite bfloat": np.full((1, 3, 4, 4), 0x7F80, "<u2"),
    "an empty file": b"",
    "a signature alone": VALID[:8],
    "half a file": VALID[: len(VALID) // 2],
    "a file without its end": VALID[:-40],
    "a text file": b"this is no image at all",
    "a JPEG's first bytes": b"\xff\xd8\xff\xe0" + bytes(100),
    "a wrong checksum": VALID[:50] + bytes([VALID[50] ^ 0xFF]) + VALID[51:],
    "no pixel data": pictures.raw_png(10, 10, b""),
    "too little pixel data": pictures.raw_png(10, 10, zlib.compress(bytes(50))),
    "rubbish for pixel data": pictures.raw_png(10, 10, b"rubbish" * 10),
    "no width": pictures.raw_png(0, 10, zlib.compress(bytes(50))),
    "an impossible bit depth": pictures.raw_png(10, 10, b"", depth=3),
    "an impossible colour type": pictures.raw_png(10, 10, b"", colour=5),
    "a width beyond all bounds": pictures.raw_png(2**31 - 1, 2**31 - 1, b""),
    "a size that promises 7.5 GB": pictures.raw_png(50_000, 50_000, zlib.compress(b"")),
    "a bomb": pictures.bomb(),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("op", ["embed_image", "gradient"])
def test_a_bad_image_fails_alone(raw: Raw, op: str, name: str) -> None:
    params = {"prompts": ["a red circle"]} if op == "gradient" else {}
    alone = raw.ask(op, params, [GOOD[None]])
    answer = raw.ask(op, params, [GOOD[None], BAD_IMAGES[name], GOOD[None]])
    assert set(answer.items) == {1} and answer.items[1] in {"bad_image", "too_large"}
    assert answer.header["items"][0]["error"]["message"]
    outputs = answer.outputs
    if op == "embed_image":
        expected = alone.outputs["embeddings"][0]
        assert np.array_equal(outputs["embeddings"][[0, 2]], [expected, expected])
        assert np.isnan(outputs["embeddings"][1]).all()
    else:
        gradient = [
            outputs["gradient"][i] if "gradient" in outputs else outputs[f"gradient.{i}"]
            for i in (0, 2)
        ]
        expected = alone.outputs["gradient"][0]
        assert np.array_equal(gradient, [expected, expected])
        assert np.isnan(outputs["loss"]).tolist() == [False, True, False]


def test_bad_images_are_left_out_of_rankings_and_classes(raw: Raw) -> None:
    images = [b"bad", png(pictures.shape("circle", "red")), b"", png(GOOD)]
    ranked = raw.ask("rank", {"prompt": "a red circle"}, images)
    assert [entry["index"] for entry in ranked.result["ranking"]] == [1, 3]
    assert set(ranked.items) == {0, 2}
    classified = raw.ask("classify", {"labels": ["x", "y"]}, images)
    missing = np.isnan(classified.outputs["probabilities"]).all(1)
    assert missing.tolist() == [True, False, True, False]
    scored = raw.ask("score", {"prompts": ["a", "b"]}, images)
    assert np.isnan(scored.outputs["scores"]).all(1).tolist() == [True, False, True, False]


@pytest.mark.parametrize("op", ["embed_image", "gradient"])
def test_nothing_but_bad_images(raw: Raw, op: str) -> None:
    params = {"prompts": ["a"]} if op == "gradient" else {}
    answer = raw.ask(op, params, [b"bad", b"worse"])
    assert set(answer.items) == {0, 1}


@pytest.mark.parametrize("form", ["bytes", "floats", "file"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 30_000), (30_000, 1), (2, 3)])
def test_images_of_extreme_proportions(raw: Raw, form: str, height: int, width: int) -> None:
    pixels = noise(height, width, seed=2)
    image: Any = {"bytes": pixels[None], "floats": planar(pixels)[None], "file": png(pixels)}[form]
    for op in ("embed_image", "gradient"):
        params = {"prompts": ["a"]} if op == "gradient" else {}
        answer = raw.ask(op, params, [GOOD[None], image])
        if answer.items:
            assert answer.items == {1: "too_large"} or answer.items == {1: "bad_image"}
            assert max(height, width) > 100, "small images have an embedding"
            assert str(max(height, width)) in answer.header["items"][0]["error"]["message"]
        else:
            values = answer.outputs["embeddings" if op == "embed_image" else "gradient.1"]
            assert np.isfinite(values).all()


# Texts and parameters ---------------------------------------------------------------------------

MILLION = "a photograph of many things " * 36_000


def test_a_prompt_of_a_million_characters(raw: Raw) -> None:
    assert 1_000_000 < len(MILLION) < (1 << 20) - 200
    answer = raw.ask("embed_text", {"texts": ["a", MILLION]})
    assert answer.items[1] in {"prompt_too_long", "too_large"} and len(answer.items) == 1
    assert np.isfinite(answer.outputs["embeddings"][0]).all()
    error = raw.ask("score", {"prompts": [MILLION]}, [FLOATS]).error
    assert error["code"] in {"prompt_too_long", "too_large"} and "prompts[0]" in error["field"]
    cut = raw.ask("embed_text", {"texts": [MILLION], "long_prompts": "truncate"})
    assert cut.status == "ok"
    word = raw.ask("embed_text", {"texts": ["x" * 1_000_000], "long_prompts": "truncate"})
    assert word.status == "ok"
    for answer in (cut, word):
        text = json.dumps(answer.header["warnings"])
        assert answer.items or "dropped" in text


def test_a_long_prompt_is_an_error_of_the_request_where_all_images_need_it(raw: Raw) -> None:
    error = raw.ask("score", {"prompts": ["a", "b " * 400]}, [FLOATS]).error
    assert error["code"] == "prompt_too_long" and error["field"] == "params.prompts[1]"
    assert "400" in error["message"] or "402" in error["message"]


@pytest.mark.parametrize(
    "text",
    ["\u0000", "\ud83d", "\U0010ffff", "\u202e" * 50, "e" + "\u0301" * 3000, "\ufeff", " \n\t "],
)
def test_strange_texts(raw: Raw, text: str) -> None:
    raw.send("embed_text", {"texts": [text, "a"], "long_prompts": "truncate"})
    answer = raw.receive()
    if text == "\ud83d":  # a lone surrogate is no text, so the header is no JSON
        assert answer.error["code"] == "bad_request"
    else:
        assert np.isfinite(answer.outputs["embeddings"][1]).all()


PARAMETERS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str, str]] = {
    "an unknown model": ("score", {"prompts": ["a"]}, {"model": "gpt"}, "unknown_model", "model"),
    "an unknown metric": ("score", {"prompts": ["a"], "metric": "euclid"}, {}, "bad_request",
                          "params.metric"),
    "an unknown loss": ("gradient", {"prompts": ["a"], "loss": "hinge"}, {}, "bad_request",
                        "params.loss"),
    "an unknown datatype": ("score", {"prompts": ["a"], "datatype": "FP8"}, {}, "bad_request",
                            "params.datatype"),
    "an unknown policy": ("tokenize", {"texts": ["a"], "long_prompts": "wrap"}, {}, "bad_request",
                          "params.long_prompts"),
    "no prompts": ("score", {}, {}, "bad_request", "params.prompts"),
    "an empty list of prompts": ("score", {"prompts": []}, {}, "bad_request", "params.prompts"),
    "a prompt that is a number": ("score", {"prompts": ["a", 7]}, {}, "bad_request",
                                  "params.prompts[1]"),
    "prompts that are a text": ("score", {"prompts": "a"}, {}, "bad_request", "params.prompts"),
    "a truth that is a text": ("score", {"prompts": ["a"], "pairwise": "yes"}, {}, "bad_request",
                               "params.pairwise"),
    "pairs that do not match": ("score", {"prompts": ["a", "b"], "pairwise": True}, {},
                                "bad_request", "params.prompts"),
    "no prompt to rank for": ("rank", {}, {}, "bad_request", "params.prompt"),
    "a top of zero": ("rank", {"prompt": "a", "top_k": 0}, {}, "bad_request", "params.top_k"),
    "a top of half": ("rank", {"prompt": "a", "top_k": 0.5}, {}, "bad_request", "params.top_k"),
    "no labels": ("classify", {"labels": []}, {}, "bad_request", "params.labels"),
    "a template without a place": ("classify", {"labels": ["a"], "templates": ["photo"]}, {},
                                   "bad_request", "params.templates[0]"),
    "weights too few": ("gradient", {"prompts": ["a", "b"], "weights": [1]}, {}, "bad_request",
                        "params.weights"),
    "weights that cancel": ("gradient", {"prompts": ["a", "b"], "weights": [1, -1]}, {},
                            "bad_request", "params.weights"),
    "a weight that is a text": ("gradient", {"prompts": ["a"], "weights": ["1"]}, {},
                                "bad_request", "params.weights[0]"),
    "an unknown handle": ("gradient", {"handle": "0" * 32}, {}, "bad_request", "params.handle"),
    "a handle beside prompts": ("gradient", {"handle": "0" * 32, "prompts": ["a"]}, {},
                                "bad_request", "params.handle"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_bad_parameter_is_named(raw: Raw, name: str) -> None:
    op, params, fields, code, field = PARAMETERS[name]
    error = raw.ask(op, params, [FLOATS], **fields).error
    assert error["code"] == code and error["message"]
    assert error["field"] == field


def test_a_weight_beyond_the_range_of_numbers(raw: Raw) -> None:
    entry, frame = image_input(FLOATS)
    text = header(op="gradient", params={"prompts": ["a"], "weights": [12345]}, inputs=[entry])
    raw.send_frames(b"GD01", text.replace(b"12345", b"1e400"), frame)
    assert raw.receive().error["code"] == "bad_request"


@pytest.mark.parametrize("op", ["score", "rank", "classify", "gradient", "embed_image"])
def test_no_images(raw: Raw, op: str) -> None:
    params = {"prompts": ["a"], "prompt": "a", "labels": ["a"]}
    assert raw.ask(op, params).error["code"] == "bad_request"


def test_the_daemon_is_still_the_same_and_has_not_grown(daemon: Daemon) -> None:
    with Raw(daemon.control) as control:
        status = control.ask("status").result
        assert status["pid"] == daemon.process.pid
        assert status["queue"]["waiting"] == status["queue"]["running"] == 0
        assert status["resident_bytes"] < 3 << 30
        assert control.ask("health").result["ready"] is True
