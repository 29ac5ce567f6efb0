"""The requests whose replies are recorded: every operation, recipe, dialect, form of image, precision and
kind of error. Order matters only where a handle is used after it was prepared."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models import PIPELINES, ROOT
from pictures import chunk

PNG = ROOT / "Tests/EncodersTests/Fixtures/image/png"
TEXTS = ["a red circle", "", "Ein Häuschen — naïve café, 日本語 & <b>bold</b>", "word " * 60]
LONG = ", ".join(f"thing {number} of many" for number in range(50))


@dataclass
class Ask:
    """One request. `frames` are sent as they are; a `handle` among the parameters that is a remembered
    name stands for what the daemon gave."""

    name: str
    op: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    images: list[Any] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    remember: str | None = None
    frames: list[bytes] | None = None


def pattern(height: int, width: int, seed: int, channels: int = 3) -> np.ndarray:
    """uint8 [H, W, C], smooth in places and rough in others, from integers alone."""
    y, x, c = np.ogrid[:height, :width, :channels]
    rough = (x * x * 31 + y * 57 + x * y * 13 + c * 97 + seed * 29) % 256
    smooth = (x * 255 // max(width - 1, 1) + y * (seed + 3) + c * 80) % 256
    return np.where((x // 9 + y // 7 + seed) % 3 == 0, rough, smooth).astype(np.uint8)


def floats(height: int, width: int, seed: int) -> np.ndarray:
    """float32 [1, 3, H, W] in 0…1."""
    return (pattern(height, width, seed).astype(np.float32) / 255).transpose(2, 0, 1)[None].copy()


def png(pixels: np.ndarray) -> bytes:
    """A file with uncompressed rows: its bytes do not depend on a compressor."""
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bf16(values: np.ndarray) -> np.ndarray:
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def forms() -> dict[str, list[Any]]:
    """Images in every form, by name."""
    sizes = {"small": (20, 31), "exact": (64, 64), "wide": (70, 211), "tall": (180, 66), "pixel": (1, 1)}
    found: dict[str, list[Any]] = {}
    for number, (name, (height, width)) in enumerate(sizes.items()):
        found[f"png-{name}"] = [png(pattern(height, width, number))]
        found[f"u8-{name}"] = [pattern(height, width, number)[None]]
        found[f"f32-{name}"] = [floats(height, width, number)]
    found["png-grey"] = [png(pattern(40, 50, 6, 1))]
    found["png-alpha"] = [png(pattern(40, 50, 7, 4))]
    found["png-grey-alpha"] = [png(pattern(40, 50, 8, 2))]
    found["u8-alpha"] = [pattern(90, 70, 9, 4)[None]]
    found["f16"] = [floats(70, 90, 10).astype(np.float16)]
    found["bf16"] = [bf16(floats(70, 90, 11))]
    found["out-of-range"] = [floats(70, 90, 12) * 3 - 1]
    found["batch-f32"] = [np.concatenate([floats(66, 80, seed) for seed in range(11)])]
    found["batch-u8"] = [np.stack([pattern(66, 80, seed) for seed in range(5)])]
    found["mixed"] = [
        png(pattern(64, 64, 1)), floats(48, 96, 2), pattern(33, 34, 3)[None],
        np.concatenate([floats(64, 64, 4), floats(64, 64, 5)]),
    ]  # fmt: skip
    found["one-bad"] = [png(pattern(50, 50, 1)), b"no image", np.full((1, 3, 8, 8), np.nan, np.float32), floats(50, 50, 2)]
    return found


FORMS = forms()
# One picture for what is not about pictures.
ONE = [floats(80, 72, 3)]
PAIR = [np.concatenate([floats(64, 64, 4), floats(64, 64, 5)])]


def texts() -> Iterator[Ask]:
    for model in ["clip", "open"]:
        fields = {"model": model}
        for policy in ["error", "truncate"]:
            params = {"texts": [*TEXTS, LONG], "long_prompts": policy}
            yield Ask(f"tokenize/{model}/{policy}", "tokenize", params, fields=fields)
            yield Ask(f"embed_text/{model}/{policy}", "embed_text", params, fields=fields)
        for precision in ["f32", "bf16", "int8"]:
            many = [f"a photo of {number} things" + " and more" * (number % 9) for number in range(19)]
            params = {"texts": many, "precision": precision}
            yield Ask(f"embed_text/{model}/{precision}/many", "embed_text", params, fields=fields)
        for datatype in ["FP16", "BF16"]:
            params = {"texts": TEXTS, "datatype": datatype, "normalize": False}
            yield Ask(f"embed_text/{model}/{datatype}", "embed_text", params, fields=fields)
    for model in PIPELINES:
        yield Ask(f"tokenize/{model}", "tokenize", {"texts": TEXTS}, fields={"model": model})
        yield Ask(f"embed_text/{model}", "embed_text", {"texts": TEXTS}, fields={"model": model})


def images() -> Iterator[Ask]:
    for model in ["clip", "open", "tanh"]:
        fields = {"model": model}
        for form, value in FORMS.items():
            yield Ask(f"embed_image/{model}/{form}", "embed_image", {}, value, fields)
        for precision in ["f32", "bf16", "int8"] if model != "tanh" else ["f32", "bf16"]:
            for form in ["batch-f32", "batch-u8", "mixed", "one-bad"]:
                params = {"precision": precision, "normalize": False}
                yield Ask(f"embed_image/{model}/{precision}/{form}", "embed_image", params, FORMS[form], fields)
        yield Ask(f"embed_image/{model}/fp16", "embed_image", {"datatype": "FP16"}, ONE, fields)
    for path in sorted(PNG.glob("*.png")):
        if path.stat().st_size < 100_000:
            yield Ask(f"embed_image/file/{path.stem}", "embed_image", {}, [path.read_bytes()], {"model": "clip"})


def scores() -> Iterator[Ask]:
    prompts = ["a red circle", "a blue square", "noise"]
    for model in ["clip", "open"]:
        fields = {"model": model}
        for precision in ["f32", "bf16", "int8"]:
            for metric in ["cosine", "logit", "clipscore"]:
                params: dict[str, Any] = {"prompts": prompts, "metric": metric, "precision": precision}
                yield Ask(f"score/{model}/{precision}/{metric}", "score", params, FORMS["mixed"], fields)
                params = {"prompt": prompts[0], "metric": metric, "precision": precision, "top_k": 3}
                yield Ask(f"rank/{model}/{precision}/{metric}", "rank", params, FORMS["batch-u8"], fields)
            params = {"labels": prompts, "precision": precision}
            yield Ask(f"classify/{model}/{precision}", "classify", params, FORMS["mixed"], fields)
        params = {"prompts": prompts[:2], "pairwise": True}
        yield Ask(f"score/{model}/pairwise", "score", params, PAIR, fields)
        params = {"labels": prompts, "templates": ["a photo of a {}.", "{}!", "the {} that I saw"]}
        yield Ask(f"classify/{model}/templates", "classify", params, FORMS["batch-u8"], fields)
        yield Ask(f"score/{model}/one-bad", "score", {"prompts": prompts}, FORMS["one-bad"], fields)
        yield Ask(f"rank/{model}/one-bad", "rank", {"prompt": "noise"}, FORMS["one-bad"], fields)
        yield Ask(f"classify/{model}/one-bad", "classify", {"labels": prompts}, FORMS["one-bad"], fields)
        params = {"prompts": [LONG], "long_prompts": "truncate", "datatype": "BF16"}
        yield Ask(f"score/{model}/long", "score", params, ONE, fields)


def gradients() -> Iterator[Ask]:
    prompts = ["a red circle", "a blue square", "noise"]
    for model in ["clip", "open"]:
        fields = {"model": model}
        for form, value in FORMS.items():
            yield Ask(f"gradient/{model}/{form}", "gradient", {"prompts": prompts[:1]}, value, fields)
        for precision in ["f32", "bf16"]:
            for loss in ["cosine", "spherical", "logit"]:
                name = f"gradient/{model}/{precision}/{loss}"
                params: dict[str, Any] = {"loss": loss, "precision": precision}
                yield Ask(name, "gradient", params | {"prompts": prompts}, FORMS["batch-f32"], fields)
                weighted = {"prompts": prompts, "weights": [1, -0.5, 0.25]}
                yield Ask(f"{name}/weights", "gradient", params | weighted, ONE, fields)
                pairs = {"prompts": prompts[:2], "pairwise": True}
                yield Ask(f"{name}/pairwise", "gradient", params | pairs, PAIR, fields)
        for datatype in ["FP16", "BF16"]:
            params = {"prompts": prompts, "datatype": datatype}
            yield Ask(f"gradient/{model}/{datatype}", "gradient", params, ONE, fields)


def conditioning() -> Iterator[Ask]:
    dialects = {
        "plain": ["a red cat on a mat", "", "(not):weighted [text]"],
        "a1111": ["a (red:1.3) [cat] on a ((mat)), BREAK oil", "\\(escaped\\) (a:0.5) cat", "<cat-toy> on a mat"],
        "comfy": ["a (red:1.3) cat on a (mat), oil", "(nested (deep:1.2):0.8) cat", "embedding:<cat-toy> mat"],
        "compel": ["a red++ (cat)0.7 on a mat-", '("a cat", "a dog").blend(0.7, 0.3)', "a cat.swap(dog) here", '("a", "b").and()'],
    }
    for model in PIPELINES:
        for syntax, prompts in dialects.items():
            for number, prompt in enumerate(prompts):
                params: dict[str, Any] = {"prompts": [prompt], "syntax": syntax, "negative_prompts": ["blurry"]}
                yield Ask(f"condition/{model}/{syntax}/{number}", "condition", params, fields={"model": model})
            params = {"prompts": [f"{prompts[0]}, {LONG}", "short"], "syntax": syntax, "long_prompts": "chunk"}
            yield Ask(f"condition/{model}/{syntax}/chunks", "condition", params, fields={"model": model})
        fields = {"model": model}
        for name, more in {
            "none": {},
            "bf16": {"precision": "bf16"},
            "skip": {"clip_skip": 1, "negative_prompts": ["bad"]},
            "zeros": {"negative_policy": "zeros"},
            "empty": {"negative_policy": "empty"},
            "sizes": {"width": 640, "height": 768, "crop_top": 8, "crop_left": 16, "original_width": 900},
            "second": {"prompts_2": ["another text"]},
            "negatives": {"negative_prompts": ["bad"], "negative_prompts_2": ["worse"]},
            "positive-only-second": {"negative_prompts_2": ["worse"]},
            "truncate": {"prompts": [LONG], "long_prompts": "truncate"},
            "lora": {"loras": [{"name": "ink", "strength": 0.6}, {"name": "wash"}]},
            "lora-xl": {"loras": [{"name": "ink-xl", "strength": -0.5}]},
            "quiet": {"accounting": False, "datatype": "FP16"},
            "int8": {"precision": "int8"},
            "recipe": {"recipe": "sd1"},
            "unknown": {"recipe": "sd9"},
        }.items():
            params = {"prompts": ["a red cat", "two dogs"]} | more
            yield Ask(f"condition/{model}/{name}", "condition", params, fields=fields)
    fields = {"model": "sd1"}
    for name, prompt in {
        "and": "a cat AND a dog :1.5 AND (a bird:0.5)",
        "schedule": "a [cat:dog:0.4] [on a mat:8]",
        "alternate": "a [cat|dog]",
        "network": "a cat <lora:ink:0.7>",
    }.items():
        params = {"prompts": [prompt], "syntax": "a1111", "steps": 5, "negative_prompts": ["blurry"]}
        yield Ask(f"condition/a1111/{name}", "condition", params, fields=fields)
    for recipe in ["unclip", "ip-adapter", "ip-adapter-plus"]:
        for precision in ["f32", "bf16"]:
            params = {"recipe": recipe, "precision": precision}
            for form in ["mixed", "one-bad", "png-alpha"]:
                name = f"condition_image/{recipe}/{precision}/{form}"
                yield Ask(name, "condition_image", params, FORMS[form], fields)
        name = f"condition_image/{recipe}/clip"
        yield Ask(name, "condition_image", {"recipe": recipe}, FORMS["mixed"], {"model": "clip"})
    params = {"mix": True, "prompts": ["a cat", "a dog"], "weights": [0.5, 0.25, 0.75, -0.5]}
    yield Ask("condition_image/mix", "condition_image", params, PAIR, {"model": "clip"})
    yield Ask("condition_image/mix/bad", "condition_image", {"mix": True}, FORMS["one-bad"], {"model": "clip"})


def handles() -> Iterator[Ask]:
    fields = {"model": "clip"}
    prompts = ["a red circle", "noise"]
    params: dict[str, Any] = {"prompts": prompts, "weights": [1, -0.5]}
    yield Ask("prepare/prompts", "prepare", params, fields=fields, remember="prompts")
    params = {"labels": prompts, "templates": ["a {}", "the {}"]}
    yield Ask("prepare/labels", "prepare", params, fields=fields, remember="labels")
    params = {"prompt": "noise", "metric": "clipscore"}
    yield Ask("prepare/clipscore", "prepare", params, fields=fields, remember="clipscore")
    params = {"recipe": "sdxl", "prompts": prompts, "negative_prompts": ["blurry"]}
    yield Ask("prepare/sdxl", "prepare", params, fields={"model": "sdxl"}, remember="sdxl")
    yield Ask("prepared/score", "score", {"handle": "prompts"}, PAIR, fields)
    yield Ask("prepared/gradient", "gradient", {"handle": "prompts"}, PAIR, fields)
    yield Ask("prepared/gradient/weights", "gradient", {"handle": "prompts", "weights": [2, 1]}, PAIR, fields)
    yield Ask("prepared/classify", "classify", {"handle": "labels"}, PAIR, fields)
    params = {"handle": "clipscore", "metric": "clipscore"}
    yield Ask("prepared/rank", "rank", params, PAIR, fields)
    yield Ask("prepared/condition", "condition", {"handle": "sdxl", "width": 512}, fields={"model": "sdxl"})
    yield Ask("prepared/other-kind", "condition", {"handle": "prompts"}, fields=fields)
    yield Ask("prepared/other-model", "score", {"handle": "prompts"}, ONE, {"model": "open"})
    yield Ask("prepared/other-metric", "score", {"handle": "clipscore"}, ONE, fields)
    yield Ask("release/prompts", "release", {"handle": "prompts"}, fields=fields)
    yield Ask("released/score", "score", {"handle": "prompts"}, ONE, fields)


def errors() -> Iterator[Ask]:
    one, fields = ONE, {"model": "clip"}
    prompts = {"prompts": ["a cat"]}
    for name, op, params, pictures, more in [
        ("ping", "ping", {}, [], {}),
        ("unknown-op", "dream", {}, [], {}),
        ("unknown-model", "score", prompts, one, {"model": "none"}),
        ("unknown-parameter", "score", prompts | {"colour": 1}, one, fields),
        ("unknown-field", "score", prompts, one, fields | {"colour": 1}),
        ("no-prompts", "score", {}, one, fields),
        ("empty-prompts", "score", {"prompts": []}, one, fields),
        ("number-prompt", "score", {"prompts": ["a", 3]}, one, fields),
        ("no-images", "score", prompts, [], fields),
        ("both", "score", prompts | {"handle": "x"}, one, fields),
        ("metric", "score", prompts | {"metric": "magic"}, one, fields),
        ("pairs", "score", prompts | {"pairwise": True}, PAIR, fields),
        ("long", "score", {"prompts": [LONG]}, one, fields),
        ("top-k", "rank", {"prompt": "a", "top_k": 0}, one, fields),
        ("template", "classify", {"labels": ["a"], "templates": ["no place"]}, one, fields),
        ("zero-weights", "gradient", {"prompts": ["a", "b"], "weights": [1, -1]}, one, fields),
        ("few-weights", "gradient", {"prompts": ["a", "b"], "weights": [1]}, one, fields),
        ("pairwise-weights", "gradient", prompts | {"pairwise": True, "weights": [1]}, one, fields),
        ("loss", "gradient", prompts | {"loss": "magic"}, one, fields),
        ("int8", "gradient", prompts | {"precision": "int8"}, one, fields),
        ("precision", "gradient", prompts | {"precision": "fp4"}, one, fields),
        ("text-only", "embed_image", {}, one, {"model": "sdxl"}),
        ("datatype", "embed_text", {"texts": ["a"], "datatype": "FP64"}, [], fields),
        ("all-bad", "gradient", prompts, [b"no image", b"neither"], fields),
        ("priority", "ping", {}, [], {"priority": 101}),
        ("deadline", "ping", {}, [], {"deadline_ms": -1}),
        ("syntax", "condition", prompts | {"syntax": "magic"}, [], {"model": "sd1"}),
        ("lora", "condition", prompts | {"loras": [{"name": "none"}]}, [], {"model": "sd1"}),
        ("clip-skip", "condition", prompts | {"clip_skip": 99}, [], {"model": "sd1"}),
        ("bad-syntax", "condition", {"prompts": ["(a, b"], "syntax": "compel"}, [], {"model": "sd1"}),
        ("no-image-encoder", "condition_image", {}, one, {"model": "sdxl"}),
        ("load", "load", {"kind": "lora", "name": "x", "path": "/nowhere"}, [], {}),
    ]:
        yield Ask(f"errors/{name}", op, params, pictures, more)
    entry = {"name": "images", "datatype": "FP32"}
    shapes: dict[str, tuple[dict[str, Any], bytes]] = {
        "short-frame": (entry | {"shape": [1, 3, 4, 4]}, bytes(10)),
        "four-planes": (entry | {"shape": [1, 4, 4, 4]}, bytes(256)),
        "flat": (entry | {"shape": [48]}, bytes(192)),
        "integers": ({"name": "images", "datatype": "INT64", "shape": [1, 3, 1, 1]}, bytes(24)),
        "too-wide": (entry | {"shape": [1, 3, 1, 70_000]}, bytes(840_000)),
    }
    for name, picture in shapes.items():
        yield Ask(f"errors/{name}", "embed_image", {}, [picture], fields)
    yield Ask("errors/version", frames=[b"GD00", b'{"id":"v","op":"ping"}'])
    yield Ask("errors/json", frames=[b"GD01", b'{"id":"j","op":"ping",}'])
    yield Ask("errors/no-id", frames=[b"GD01", b'{"op":"ping"}'])
    yield Ask("errors/frames", frames=[b"GD01", b'{"id":"f","op":"ping"}', b"more"])


def everything() -> Iterator[Ask]:
    """All of them, in the order in which they are sent."""
    yield Ask("models", "models")
    for part in [texts, images, scores, gradients, conditioning, handles, errors]:
        yield from part()
