"""Every form of checkpoint that recipes are served from, with random weights.

A form's models must give what a diffusers folder with the same values in fp32 gives; where a form rounds
(bf16, quantised blocks), the folder holds the rounded values.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Union

import numpy as np

import checkpoints as make
import gguf_writer as gguf
import pickled
from checkpoints import Store, Weights
from daemon import binary

QUICK, GELU = "quick_gelu", "gelu"
# A path, or two joined by a plus sign.
Model = Union[Path, str]
Models = dict[str, Model]


@dataclass(frozen=True)
class Towers:
    """The text towers of all recipes. L has OpenAI's activation, H and G have LAION's."""

    l: Weights
    h: Weights
    g: Weights

    @property
    def plain_l(self) -> Weights:
        """As pipelines other than Stable Diffusion 3's have it: without projection."""
        return {name: value for name, value in self.l.items() if "projection" not in name}

    def map(self, change: Callable[[Weights], Weights]) -> Towers:
        return Towers(change(self.l), change(self.h), change(self.g))


@cache
def towers(values: str) -> Towers:
    """`half`; the same rounded to `bf16` (bits), `q8_0` or `q4_0` (what the blocks stand for); or
    `wide`, of the widths by which bare files are known."""
    if values == "half":
        return Towers(
            make.text_tower(1, 64, 3, 48), make.text_tower(2, 128, 3, 56), make.text_tower(3, 64, 4, 56)
        )
    if values == "wide":
        return Towers(
            make.text_tower(5, 768, 2, None), make.text_tower(6, 1024, 3, 64),
            make.text_tower(7, 1280, 2, 64),
        )  # fmt: skip
    if values == "bf16":
        return towers("half").map(make.bfloat16)
    return towers("half").map(lambda weights: gguf.dequantised(weights, values))


def folders(root: Path, t: Towers, store: Store = make.SAFETENSORS) -> Models:
    """diffusers' pipelines."""
    xl = {"text_encoder": (t.plain_l, QUICK), "text_encoder_2": (t.g, GELU)}
    parts: dict[str, tuple[str, dict[str, tuple[Weights, str]]]] = {
        "sd1": ("StableDiffusionPipeline", {"text_encoder": (t.plain_l, QUICK)}),
        "sd2": ("StableDiffusionPipeline", {"text_encoder": (make.without_last_layer(t.h), GELU)}),
        "sdxl": ("StableDiffusionXLPipeline", xl),
        "sdxl-refiner": ("StableDiffusionXLImg2ImgPipeline", {"text_encoder_2": (t.g, GELU)}),
        "sd3-clip": ("StableDiffusion3Pipeline", xl | {"text_encoder": (t.l, QUICK)}),
        "flux-clip": ("FluxPipeline", {"text_encoder": (t.plain_l, QUICK)}),
    }
    return {
        recipe: make.diffusers_folder(root / recipe, pipeline, store, **encoders)
        for recipe, (pipeline, encoders) in parts.items()
    }


def twins(root: Path, values: str) -> Models:
    """What the forms with these values must equal."""
    t = towers(values)
    if values == "bf16":
        return folders(root, t.map(make.widened))
    if values != "wide":
        return folders(root, t)
    # Large ones: one folder for all recipes but Stable Diffusion 2.
    xl = make.diffusers_folder(
        root / "sdxl", "StableDiffusionXLPipeline", text_encoder=(t.l, QUICK), text_encoder_2=(t.g, GELU)
    )
    h = make.without_last_layer(t.h)
    sd2 = make.diffusers_folder(root / "sd2", "StableDiffusionPipeline", text_encoder=(h, GELU))
    return {"sd1": xl, "sd2": sd2, "sdxl": xl, "sdxl-refiner": xl, "flux-clip": xl}


def pipeline_tensors(t: Towers) -> dict[str, Weights]:
    """The tensors of the pipelines' single files, with some that no text encoder has."""
    old, new, sd3 = "cond_stage_model.", "conditioner.embedders.", "text_encoders."
    rest = {"model.diffusion_model.input_blocks.0.0.weight": np.full((4, 4, 3, 3), np.nan, np.float16)}
    positions = {
        f"{old}transformer.text_model.embeddings.position_ids": np.arange(make.CONTEXT, dtype=np.int64)[None]
    }
    g, h = make.open_clip_names(t.g), make.open_clip_names(t.h)
    l = make.prefixed(f"{sd3}clip_l.transformer.", t.l)
    return {
        "sd1": make.prefixed(f"{old}transformer.", t.plain_l) | positions | rest,
        "sd2": make.prefixed(f"{old}model.", h) | rest,
        "sdxl": make.prefixed(f"{new}0.transformer.", t.plain_l) | make.prefixed(f"{new}1.model.", g) | rest,
        "sdxl-refiner": make.prefixed(f"{new}0.model.", g) | rest,
        "sd3-clip": l | make.prefixed(f"{sd3}clip_g.transformer.", t.g) | rest,
        "flux-clip": make.prefixed(f"{sd3}clip_l.transformer.", t.plain_l),
    }


def single_files(root: Path, t: Towers, write: Callable[[Path, Weights], Path], suffix: str) -> Models:
    return {
        recipe: write(root / f"{recipe}.{suffix}", tensors)
        for recipe, tensors in pipeline_tensors(t).items()
    }


def checkpoint(path: Path, weights: Weights) -> Path:
    """What Lightning saves while it trains."""
    callback = "ModelCheckpoint{'monitor': None, 'mode': 'min', 'every_n_train_steps': 0}"
    return pickled.save(
        path,
        {
            "epoch": 3,
            "global_step": 470000,
            "pytorch-lightning_version": "1.7.7",
            "state_dict": weights,
            "loops": None,
            "callbacks": {callback: {"best_model_score": None, "dirpath": "checkpoints"}},
            "optimizer_states": [],
            "lr_schedulers": [],
        },
    )


def legacy_checkpoint(path: Path, weights: Weights) -> Path:
    return pickled.save_legacy(path, {"global_step": 470000, "state_dict": weights})


def by_tower(l: Model, h: Model, g: Model) -> Models:
    """Each text tower in a place of its own."""
    return {"sd1": l, "sd2": h, "sdxl-refiner": g, "flux-clip": l}


def transformers(root: Path, t: Towers, store: Store) -> Models:
    """L keeps its projection, which no recipe of its own asks for."""
    folder = make.transformers_folder
    return by_tower(
        folder(root / "l", t.l, QUICK, store), folder(root / "h", t.h, GELU, store),
        folder(root / "g", t.g, GELU, store),
    )  # fmt: skip


def files_in(folders: Models, name: str) -> Models:
    return {recipe: f"{folder}/{name}" for recipe, folder in folders.items()}


def open_clip(root: Path, t: Towers, store: Store) -> Models:
    folder = make.open_clip_folder
    h, g = folder(root / "h", t.h, store), folder(root / "g", t.g, store)
    return {"sd2": h, "sdxl-refiner": g}


def open_clip_state(root: Path, t: Towers) -> Models:
    """Without a configuration: an image tower 1280 wide is LAION's."""

    def state(path: Path, weights: Weights) -> Path:
        joint = weights["text_projection.weight"].shape[0]
        tensors = make.with_image_tower(make.open_clip_names(weights), joint, width=1280)
        return pickled.save(path, tensors)

    return {"sd2": state(root / "h.pt", t.h), "sdxl-refiner": state(root / "g.pt", t.g)}


def openai(root: Path, t: Towers, save: Callable[[Path, Weights], Path] = pickled.save_script) -> Models:
    """Matrices in fp16 and vectors in fp32, as OpenAI distributed its models."""
    tensors = make.with_image_tower(make.open_clip_names(t.l), 48)
    mixed = {name: value if value.ndim > 1 else value.astype(np.float32) for name, value in tensors.items()}
    sizes = {"input_resolution": 32, "context_length": make.CONTEXT, "vocab_size": make.VOCABULARY}
    numbers = {name: np.array(value, np.int64) for name, value in sizes.items()}
    path = save(root / "ViT.pt", mixed | numbers)
    return {"sd1": path, "flux-clip": path}


def bare(root: Path, t: Towers, write: Callable[[Path, Weights], Path], suffix: str) -> Models:
    l, h, g = (
        write(root / f"clip_{name}.{suffix}", weights)
        for name, weights in [("l", t.l), ("h", t.h), ("g", t.g)]
    )
    return by_tower(l, h, g) | {"sdxl": f"{l}+{g}"}


def convert(source: Model, folder: Path) -> Path:
    subprocess.run(
        [binary(), "convert", str(source), str(folder)], check=True, capture_output=True, timeout=60
    )
    return folder


def converted(root: Path, models: Models) -> Models:
    """Models with one encoder, through `guidanced convert`."""
    root.mkdir(parents=True, exist_ok=True)
    return {
        recipe: convert(models[recipe], root / recipe)
        for recipe in ["sd1", "sd2", "sdxl-refiner", "flux-clip"]
    }


def spellings(root: Path) -> list[str]:
    """CLIP's tokens, which clip.cpp's files list, in the order of their numbers."""
    source = make.write(root / "tokens.safetensors", pipeline_tensors(towers("half"))["sd1"])
    vocabulary = json.loads((convert(source, root / "tokens") / "vocab.json").read_text())
    return sorted(vocabulary, key=vocabulary.__getitem__)


def clip_cpp(root: Path, t: Towers, kind: str, tokens: list[str], *, is_first: bool = False) -> Models:
    l, h, g = (
        gguf.clip_cpp(root / f"{name}-{kind}.gguf", weights, kind, gelu=gelu, tokens=tokens, is_first=is_first)
        for name, weights, gelu in [("l", t.l, False), ("h", t.h, True), ("g", t.g, True)]
    )
    return by_tower(l, h, g)


def gguf_with_names(kind: str) -> Callable[[Path, Weights], Path]:
    """GGUF under the names that the tensors had before."""

    def write(path: Path, weights: Weights) -> Path:
        floats = {name: value for name, value in weights.items() if value.dtype != np.int64}
        return gguf.write(path, floats, kind, {"general.architecture": "sd"})

    return write


@dataclass(frozen=True)
class Form:
    title: str
    models: Models
    # The `towers` whose folder it must equal.
    values: str = "half"


def in_folders(root: Path) -> Iterator[Form]:
    half, one, shards = towers("half"), make.in_one, make.in_shards
    for number, (title, values, t, store) in enumerate([
        ("`model.safetensors`, f16", "half", half, make.SAFETENSORS),
        ("`model.safetensors`, f32", "half", half.map(make.widened), make.SAFETENSORS),
        ("`model.safetensors`, bf16", "bf16", towers("bf16"), make.SAFETENSORS),
        ("`model.fp16.safetensors`", "half", half, one("model.fp16.safetensors")),
        ("`model.safetensors` in shards", "half", half, shards("model.safetensors")),
        ("`pytorch_model.bin`, f32", "half", half.map(make.widened), one("pytorch_model.bin")),
        ("`pytorch_model.bin`, bf16", "bf16", towers("bf16"), one("pytorch_model.bin")),
        ("`pytorch_model.fp16.bin`", "half", half, one("pytorch_model.fp16.bin")),
        ("`pytorch_model.bin` in shards", "half", half, shards("pytorch_model.bin")),
    ]):  # fmt: skip
        yield Form(f"diffusers folder, {title}", folders(root / str(number), t, store), values)


def in_single_files(root: Path) -> Iterator[Form]:
    half = towers("half")
    full, brain = half.map(make.widened), towers("bf16")
    for number, (title, values, t, write, suffix) in enumerate([
        ("`.safetensors`, f16", "half", half, make.write, "safetensors"),
        ("`.safetensors`, f32", "half", full, make.write, "safetensors"),
        ("`.safetensors`, bf16", "bf16", brain, make.write, "safetensors"),
        ("`.ckpt`, f32", "half", full, checkpoint, "ckpt"),
        ("`.ckpt`, f16", "half", half, checkpoint, "ckpt"),
        ("`.ckpt` from before torch 1.6", "half", full, legacy_checkpoint, "ckpt"),
        ("GGUF, f16", "half", half, gguf_with_names("f16"), "gguf"),
        ("GGUF, q8_0", "q8_0", half, gguf_with_names("q8_0"), "gguf"),
        ("GGUF, q4_0", "q4_0", half, gguf_with_names("q4_0"), "gguf"),
    ]):  # fmt: skip
        models = single_files(root / str(number), t, write, suffix)
        yield Form(f"single file of the pipeline, {title}", models, values)


def in_directories(root: Path) -> Iterator[Form]:
    half, brain, one, shards = towers("half"), towers("bf16"), make.in_one, make.in_shards
    full = half.map(make.widened)
    for number, (title, values, t, store) in enumerate([
        ("`model.safetensors`, f16", "half", half, make.SAFETENSORS),
        ("`model.safetensors`, f32", "half", full, make.SAFETENSORS),
        ("`model.safetensors`, bf16", "bf16", brain, make.SAFETENSORS),
        ("`model.safetensors` in shards", "half", half, shards("model.safetensors")),
        ("`pytorch_model.bin`", "half", full, one("pytorch_model.bin")),
        ("`pytorch_model.bin` in shards", "half", half, shards("pytorch_model.bin")),
    ]):  # fmt: skip
        models = transformers(root / f"t{number}", t, store)
        yield Form(f"transformers directory, {title}", models, values)
        if number in (0, 4):
            name = "model.safetensors" if number == 0 else "pytorch_model.bin"
            yield Form(f"the file `{name}` of a transformers directory", files_in(models, name), values)
    pickle = "open_clip_pytorch_model.bin"
    for number, (title, values, t, store) in enumerate([
        ("`open_clip_model.safetensors`, f16", "half", half, one("open_clip_model.safetensors")),
        ("`open_clip_model.safetensors`, bf16", "bf16", brain, one("open_clip_model.safetensors")),
        (f"`{pickle}`", "half", full, one(pickle)),
        (f"`{pickle}` in shards", "half", half, shards(pickle)),
    ]):  # fmt: skip
        yield Form(f"open_clip directory, {title}", open_clip(root / f"o{number}", t, store), values)


def in_lone_files(root: Path) -> Iterator[Form]:
    half = towers("half")
    yield Form("OpenAI's TorchScript `.pt`", openai(root / "openai", half))
    yield Form("OpenAI's state dictionary, `.pt`", openai(root / "openai-state", half, pickled.save))
    yield Form("OpenCLIP's state dictionary, `.pt`", open_clip_state(root / "state", half))
    tokens = spellings(root)
    for kind in ["f32", "f16", "q8_0", "q4_0"]:
        models = clip_cpp(root / kind, half, kind, tokens, is_first=kind in ("f32", "q4_0"))
        values = kind if kind.startswith("q") else "half"
        yield Form(f"clip.cpp's GGUF, {kind}", models, values)
    checkpoints = single_files(root / "ckpt", half, checkpoint, "ckpt")
    yield Form("`guidanced convert` of a `.ckpt`", converted(root / "from-ckpt", checkpoints))
    quantised = clip_cpp(root / "q8_0", half, "q8_0", tokens)
    yield Form("`guidanced convert` of a GGUF, q8_0", converted(root / "from-gguf", quantised), "q8_0")


def in_bare_files(root: Path) -> Iterator[Form]:
    """Known by their widths, so they need towers of full width."""
    wide = towers("wide")
    for title, write, suffix in [
        ("`clip_l`, `clip_h`, `clip_g` alone or `L+G`, `.safetensors`", make.write, "safetensors"),
        ("the same, `.pt`", pickled.save, "pt"),
        ("the same, GGUF, f16", gguf_with_names("f16"), "gguf"),
    ]:
        yield Form(title, bare(root, wide, write, suffix), "wide")


GROUPS = {
    "folders": in_folders,
    "single files": in_single_files,
    "directories": in_directories,
    "lone files": in_lone_files,
    "bare files": in_bare_files,
}
