"""LoRA strength and clip skip of each text encoder apart, and LoRAs that fit only in part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import guidanced
from daemon import Daemon
from expected import PIPELINES
from guidanced import Client
from raw import Raw

INK = PIPELINES.parent / "adapters" / "ink-xl.safetensors"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        with Daemon(Path(folder), "--model", f"sdxl={PIPELINES / 'sdxl'}", "--lora", f"ink={INK}") as running:
            yield running


@pytest.fixture
def g(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.endpoint, timeout=60) as client:
        yield client


def halves(found: guidanced.Conditioning, g: Client) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the hidden states that are the first and the second encoder's."""
    width = g.models()[0]["towers"][0]["text"]["width"]
    assert found.hidden_states is not None
    return found.hidden_states[..., :width], found.hidden_states[..., width:]


def test_a_lora_has_a_strength_for_each_encoder(g: Client) -> None:
    plain = halves(g.condition("a cat", "sdxl"), g)
    both = halves(g.condition("a cat", "sdxl", loras={"ink": 0.5}), g)
    first = g.condition("a cat", "sdxl", loras={"ink": {"clip_l": 0.5, "clip_g": 0.0}})
    np.testing.assert_array_equal(halves(first, g)[0], both[0])
    np.testing.assert_array_equal(halves(first, g)[1], plain[1])
    assert (plain[0] != both[0]).any() and (plain[1] != both[1]).any()
    assert first.report["loras"][0]["strengths"] == {"clip_g": 0, "clip_l": 0.5}
    mixed = g.condition("a cat", "sdxl", loras={"ink": {"clip_g": 0.5}})
    whole = halves(g.condition("a cat", "sdxl", loras={"ink": 1.0}), g)
    np.testing.assert_array_equal(halves(mixed, g)[0], whole[0])
    np.testing.assert_array_equal(halves(mixed, g)[1], both[1])


def test_an_encoder_may_have_its_own_clip_skip(g: Client) -> None:
    none = halves(g.condition("a cat", "sdxl", "blurry"), g)
    one = halves(g.condition("a cat", "sdxl", "blurry", clip_skip=1), g)
    found = g.condition("a cat", "sdxl", "blurry", clip_skip={"clip_g": 1})
    np.testing.assert_array_equal(halves(found, g)[0], none[0])
    np.testing.assert_array_equal(halves(found, g)[1], one[1])
    assert (none[1] != one[1]).any()
    assert found.report["clip_skips"] == {"clip_g": 1}
    # The negative prompt's are the positive one's, unless it has some of its own.
    same = g.condition("a cat", "sdxl", "blurry", clip_skip=1)
    other = g.condition("a cat", "sdxl", "blurry", clip_skip={"clip_g": 1, "clip_l": 1}, negative_clip_skip=0)
    np.testing.assert_array_equal(other.hidden_states, same.hidden_states)
    plain = g.condition("a cat", "sdxl", "blurry")
    np.testing.assert_array_equal(other.negative_hidden_states, plain.negative_hidden_states)
    assert (same.negative_hidden_states != plain.negative_hidden_states).any()


@pytest.mark.parametrize(
    "params, field",
    [
        ({"clip_skips": {"t5": 1}}, "clip_skips"),
        ({"clip_skips": {"clip_l": 99}}, "clip_skips.clip_l"),
        ({"clip_skips": 1}, "clip_skips"),
        ({"negative_clip_skips": {"clip_l": -1}}, "negative_clip_skips.clip_l"),
        ({"loras": [{"name": "ink", "strengths": {"clip_l": "much"}}]}, "loras[0].strengths.clip_l"),
        ({"loras": [{"name": "ink", "strengths": [1]}]}, "loras[0].strengths"),
    ],
)
def test_what_is_wrong_is_named(daemon: Daemon, params: dict[str, object], field: str) -> None:
    with Raw(daemon.endpoint) as raw:
        reply = raw.ask("condition", {"prompts": ["a"], "recipe": "sdxl", **params})
        assert reply.error["code"] == "bad_request"
        assert reply.error["field"] == f"params.{field}", reply.error
