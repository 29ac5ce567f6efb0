"""Embeddings that are no numbers, float images of another range, and settings from the environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from daemon import Daemon, binary
from raw import Raw

FAR = np.full((1, 3, 16, 16), 3e38, np.float32)
FAIR = np.full((1, 3, 16, 16), 0.25, np.float32)
BOTH = np.concatenate([FAR, FAIR])


@pytest.mark.parametrize(
    ("op", "params", "output"),
    [
        ("embed_image", {}, "embeddings"),
        ("score", {"prompts": ["a dog", "a cat"]}, "scores"),
        ("classify", {"labels": ["dog", "cat"]}, "probabilities"),
        ("gradient", {"prompts": ["a dog"]}, "gradient"),
        ("condition_image", {}, "image_embeddings"),
    ],
)
def test_finite_pixels_of_which_nothing_finite_comes_fail_alone(
    raw: Raw, op: str, params: dict[str, object], output: str
) -> None:
    reply = raw.ask(op, params, [BOTH])
    assert reply.status == "ok"
    assert reply.items == {0: "bad_image"}
    values = reply.outputs[output]
    assert np.isnan(values[0]).all() and np.isfinite(values[1]).all()


def test_a_ranking_has_no_place_for_what_has_no_score(raw: Raw) -> None:
    reply = raw.ask("rank", {"prompt": "a dog"}, [BOTH])
    assert [entry["index"] for entry in reply.result["ranking"]] == [1]
    assert reply.items == {0: "bad_image"}


def test_float_images_of_another_range_are_named(raw: Raw) -> None:
    reply = raw.ask("embed_image", {}, [FAIR, FAIR * 8 - 1, FAIR * 255])
    (warning,) = reply.header["warnings"]
    assert warning.startswith("image 2: float pixels") and "63.75" in warning
    assert not raw.ask("embed_image", {}, [FAIR]).header.get("warnings")


def test_the_environment_states_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDANCED_THREADS", "1")
    monkeypatch.setenv("GUIDANCED_IMAGE_PROFILE", "comfy")
    with Daemon(tmp_path) as daemon, Raw(daemon.endpoint) as raw:
        assert raw.ask("status").result["threads"] == 1
        assert raw.ask("models").result["models"][0]["image_profile"] == "comfy"
    refused = subprocess.run(
        [binary(), "serve"],
        env=os.environ | {"GUIDANCED_THREADS": "many"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 64
    assert "GUIDANCED_THREADS" in refused.stderr
