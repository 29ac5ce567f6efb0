"""What every peer can do: load one tower of a checkpoint, and run it once on a batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

TEXT_TOKENS = 77
"""Peers pad every prompt to the context, as transformers' and open_clip's tokenizers do."""

START, END = 49406, 49407


class Unsupported(Exception):
    """A work that this peer cannot do; the message says why."""


class Peer(Protocol):
    """One tower, loaded and ready.

    ``run`` does one measurement of ``work`` (``image``, ``gradient``, ``text``, ``text77``) and
    leaves its outputs in memory; inputs are made before, by ``prepare``, and not timed.
    """

    def prepare(self, work: str, batch: int) -> None: ...

    def run(self) -> Any: ...

    def versions(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Checkpoint:
    """The part of a checkpoint's configuration that inputs are made by."""

    folder: Path
    image_size: int | None
    embedding_width: int

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        document = json.loads((folder / "config.json").read_text())
        vision = document.get("vision_config")
        size = None if vision is None else int(vision.get("image_size", 224))
        return cls(folder, size, int(document["projection_dim"]))
