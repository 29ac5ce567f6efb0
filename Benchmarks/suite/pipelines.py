"""Folders in diffusers' layout around the checkpoints under bench/, without copying a weight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .models import MODELS, Model

TOKENIZER = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")


def stable_diffusion(folder: Path) -> Path:
    """Stable Diffusion 1's text encoder: that of ViT-L/14."""
    return pipeline(folder, "StableDiffusionPipeline", [MODELS["vit-l-14"]])


def stable_diffusion_xl(folder: Path) -> Path:
    """SDXL's pair: the text towers of ViT-L/14 and of bigG."""
    return pipeline(
        folder, "StableDiffusionXLPipeline", [MODELS["vit-l-14"], MODELS["bigg-text"]])


def pipeline(folder: Path, kind: str, models: Sequence[Model]) -> Path:
    """Writes ``text_encoder``, ``text_encoder_2`` and their tokenizers as links to checkpoints."""
    index: dict[str, Any] = {"_class_name": kind, "_diffusers_version": "0.42.1"}
    for number, model in enumerate(models):
        model.make()
        suffix = "" if number == 0 else f"_{number + 1}"
        encoder, tokenizer = f"text_encoder{suffix}", f"tokenizer{suffix}"
        given = json.loads((model.folder / "config.json").read_text())
        written = encoder_configuration(given)
        _links(folder / encoder, model.folder, ["model.safetensors"])
        (folder / encoder / "config.json").write_text(json.dumps(written))
        _links(folder / tokenizer, model.folder, TOKENIZER)
        index[encoder] = ["transformers", written["architectures"][0]]
        index[tokenizer] = ["transformers", "CLIPTokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def encoder_configuration(given: dict[str, Any]) -> dict[str, Any]:
    """A text encoder's own configuration from that of its checkpoint, which may have both towers."""
    if "text_config" not in given:
        return given
    return {**given["text_config"], "architectures": ["CLIPTextModelWithProjection"],
            "model_type": "clip_text_model", "projection_dim": given["projection_dim"]}


def _links(folder: Path, source: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).symlink_to((source / name).resolve())
