"""Checkpoints whose files are written to while the daemon serves them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import guidanced
from daemon import Daemon
from guidanced import Client

FIXTURES = Path(__file__).resolve().parents[1] / "DaemonTests" / "Fixtures"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Shorter than pytest's own: an ipc address has about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="guidanced-") as path:
        yield Path(path)


def test_loras_are_merged_into_the_weights_of_the_fingerprint_or_not_at_all(folder: Path) -> None:
    model = folder / "sd1"
    shutil.copytree(FIXTURES / "pipelines" / "sd1", model)
    weights = model / "text_encoder" / "model.safetensors"
    original = weights.read_bytes()
    ink = FIXTURES / "adapters" / "ink.safetensors"
    with Daemon(folder, "--model", f"sd1={model}", "--lora", f"ink={ink}") as daemon:
        with Client(daemon.endpoint) as g:
            plain = g.condition("a cat", "sd1")
            half = g.condition("a cat", "sd1", loras={"ink": 0.5})
            # In place: the daemon has this very file mapped. The last numbers become others.
            with open(weights, "r+b") as file:
                file.seek(len(original) - 4)
                file.write(b"\x00\x00\x80\x3e")
            with pytest.raises(guidanced.Error, match="was changed"):
                g.condition("a cat", "sd1", loras={"ink": 0.6})
            os.truncate(weights, 1000)
            with pytest.raises(guidanced.Error, match="shortened"):
                g.condition("a cat", "sd1", loras={"ink": 0.7})
            os.truncate(weights, 0)
            with pytest.raises(guidanced.Error, match="shortened"):
                g.condition("a cat", "sd1", loras={"ink": 0.8})
            # What is in memory serves on.
            again = g.condition("a dog", "sd1")
            assert again.hidden_states.shape == plain.hidden_states.shape
            assert (g.condition("a cat", "sd1", loras={"ink": 0.5}).hidden_states == half.hidden_states).all()
            weights.write_bytes(original)
            back = g.condition("a cat", "sd1", loras={"ink": 0.6})
            assert (back.hidden_states != half.hidden_states).any()
