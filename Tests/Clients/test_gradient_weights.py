"""When the weights that gradients need are made, through a real daemon."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon import Daemon
from guidanced import BadRequest, Client
from pictures import noise

IMAGES = np.stack([noise(64, 64, seed=i) for i in range(3)])
PROMPTS = ["a red circle"] * 3


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="guidanced-") as path:
        yield Path(path)


def said(g: Client) -> dict[str, object]:
    gradients: dict[str, object] = g.models()[0]["gradients"]
    return gradients


def test_they_are_made_by_the_first_gradient(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    precisions = ("--precision", "f32,bf16")
    with Daemon(folder / "a", *precisions) as lazy, Daemon(
        folder / "b", *precisions, "--gradients", "eager"
    ) as eager, Client(lazy.endpoint) as late, Client(eager.endpoint) as early:
        assert said(late) == {"weights": "lazy", "packed_bytes": 0}
        bytes_of_all = said(early)["packed_bytes"]
        assert isinstance(bytes_of_all, int) and bytes_of_all > 100_000
        np.testing.assert_array_equal(late.embed_image(IMAGES), early.embed_image(IMAGES))
        assert said(late)["packed_bytes"] == 0
        ours, theirs = late.gradient(IMAGES, PROMPTS), early.gradient(IMAGES, PROMPTS)
        np.testing.assert_array_equal(ours.gradient, theirs.gradient)
        assert said(late)["packed_bytes"] == bytes_of_all
        with Client(lazy.endpoint, precision="bf16") as a, Client(eager.endpoint, precision="bf16") as b:
            np.testing.assert_array_equal(
                a.gradient(IMAGES, PROMPTS).gradient, b.gradient(IMAGES, PROMPTS).gradient
            )
        assert late.health()["ready"]


def test_there_may_be_none(folder: Path) -> None:
    with Daemon(folder, "--gradients", "off") as daemon, Client(daemon.endpoint) as g:
        assert said(g) == {"weights": "off", "packed_bytes": 0}
        assert np.isfinite(g.score(IMAGES, PROMPTS)).all()
        with pytest.raises(BadRequest, match="--gradients off"):
            g.gradient(IMAGES, PROMPTS)
        assert g.health()["ready"]
