"""Models in several precisions, through a real daemon."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from daemon import Daemon
from guidanced import BadRequest, Client
from pictures import noise

IMAGES = np.stack([noise(64, 64, seed=i) for i in range(6)])
PROMPTS = ["a red circle", "a cat face", "a slice of pizza on a blue background"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(
        tmp_path_factory.mktemp("precision"), "--precision", "f32,bf16,int8"
    ) as running:
        yield running


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row."""
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_all_precisions_are_listed_and_named_in_replies(daemon: Daemon) -> None:
    with Client(daemon.endpoint) as g:
        assert g.models()[0]["precisions"] == ["f32", "bf16", "int8"]
        assert g.models()[0]["precision"] == "f32"
        fingerprints = set()
        for precision in ["f32", "bf16", "int8"]:
            reply = g.request("embed_text", {"texts": PROMPTS, "precision": precision})
            assert reply.result["precision"] == precision
            assert not reply.warnings
            fingerprints.add(reply.fingerprint)
        assert len(fingerprints) == 3
        assert g.request("embed_text", {"texts": PROMPTS}).result["precision"] == "f32"


def test_lower_precisions_are_close(daemon: Daemon) -> None:
    with Client(daemon.endpoint) as exact, Client(daemon.endpoint, precision="bf16") as half, \
            Client(daemon.endpoint, precision="int8") as coarse:
        images = exact.embed_image(IMAGES)
        texts = exact.embed_text(PROMPTS)
        assert cosines(half.embed_image(IMAGES), images).min() >= 0.9995
        assert cosines(half.embed_text(PROMPTS), texts).min() >= 0.9995
        assert cosines(coarse.embed_image(IMAGES), images).min() >= 0.99
        assert not np.array_equal(coarse.embed_image(IMAGES), images)
        scores = exact.score(IMAGES, PROMPTS)
        assert np.abs(half.score(IMAGES, PROMPTS) - scores).max() <= 5e-3
        gradients = exact.gradient(IMAGES, PROMPTS).gradient
        assert cosines(half.gradient(IMAGES, PROMPTS).gradient, gradients).min() >= 0.995


def test_what_a_precision_cannot_do_is_said(daemon: Daemon) -> None:
    with Client(daemon.endpoint, precision="int8") as g:
        with pytest.raises(BadRequest, match="int8"):
            g.gradient(IMAGES, PROMPTS)
        with pytest.raises(BadRequest, match="int8"):
            g.condition(PROMPTS, recipe="sd1")
    with Client(daemon.endpoint, precision="int4") as g, pytest.raises(BadRequest, match="int4"):
        g.embed_text(PROMPTS)


def test_a_handle_belongs_to_its_precision(daemon: Daemon) -> None:
    with Client(daemon.endpoint) as g:
        handle = g.request("prepare", {"prompts": PROMPTS, "precision": "bf16"}).result["handle"]
        with pytest.raises(BadRequest, match="handle"):
            g.request("score", {"handle": handle}, [])


def test_batches_do_not_change_a_bit_in_any_precision(daemon: Daemon) -> None:
    for precision in ["f32", "bf16", "int8"]:
        with Client(daemon.endpoint, precision=precision) as g:
            together = g.embed_image(IMAGES)
            alone = np.concatenate([g.embed_image(image[None]) for image in IMAGES])
            assert np.array_equal(together, alone)
            texts = g.embed_text(PROMPTS)
            assert np.array_equal(texts, np.concatenate([g.embed_text([p]) for p in PROMPTS]))


def test_a_budget_recomputes_activations_with_the_same_bits(
    daemon: Daemon, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Client(daemon.endpoint) as g:
        expected = g.gradient(IMAGES, PROMPTS).gradient
    folder = tmp_path_factory.mktemp("budget")
    with Daemon(folder, "--activation-budget", "4000000") as small, Client(small.endpoint) as g:
        assert np.array_equal(g.gradient(IMAGES, PROMPTS).gradient, expected)
