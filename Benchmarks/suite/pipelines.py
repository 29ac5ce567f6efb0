"""Folders in diffusers' layout around the checkpoints under bench/, without copying a weight."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .models import FOLDER

TOKENIZER = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Pipeline:
    """The text encoders of a diffusers pipeline: ``encoders`` are names of checkpoints, in order."""

    title: str
    kind: str
    recipe: str
    encoders: tuple[str, ...]

    def write(self, folder: Path, checkpoints: Path = FOLDER) -> Path:
        """Makes the folder: configurations, and links to weights and tokenizers."""
        index: dict[str, Any] = {"_class_name": self.kind, "_diffusers_version": "0.42.1"}
        for number, name in enumerate(self.encoders):
            source = checkpoints / name
            suffix = "" if number == 0 else f"_{number + 1}"
            encoder, tokenizer = f"text_encoder{suffix}", f"tokenizer{suffix}"
            written = encoder_configuration(json.loads((source / "config.json").read_text()))
            _link(folder / encoder, source, ["model.safetensors"])
            (folder / encoder / "config.json").write_text(json.dumps(written))
            _link(folder / tokenizer, source, TOKENIZER)
            index[encoder] = ["transformers", written["architectures"][0]]
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
        (folder / "model_index.json").write_text(json.dumps(index))
        return folder


PIPELINES = (
    Pipeline("SD1", "StableDiffusionPipeline", "sd1", ("vit-l-14",)),
    Pipeline("SDXL", "StableDiffusionXLPipeline", "sdxl", ("vit-l-14", "bigg-text")),
)


def encoder_configuration(given: dict[str, Any]) -> dict[str, Any]:
    """A text encoder's configuration from that of its checkpoint, which may have an image tower."""
    if "text_config" not in given:
        return given
    return {**given["text_config"], "architectures": ["CLIPTextModelWithProjection"],
            "model_type": "clip_text_model", "projection_dim": given["projection_dim"]}


def _link(folder: Path, source: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).symlink_to((source / name).resolve())
