"""Files like the published ones, made from their lists of tensors (`Tests/Generators/published.py`), served.

Layers beyond the second are left out and matrices are small, but for the width of the text tower where a file is known
by nothing else.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import checkpoints as make
from daemon import ROOT, Daemon
from guidanced import Client

LISTS = ROOT / "Tests" / "EncodersTests" / "Fixtures" / "published"
# Text widths, then what only MLPs and image towers have. The file that is known by its width keeps it.
SMALL = {768: 64, 1024: 128, 1280: 64, 3072: 128, 4096: 256, 5120: 128}
BARE = {3072: 128, 5120: 128}
TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
FILES = {
    "v1-5-pruned-emaonly": ["sd1"],
    "v1-converted-f16": ["sd1"],
    "v1-old-names": ["sd1"],
    "v2-1_768-ema-pruned": ["sd2"],
    "sd_xl_base_1.0": ["sdxl"],
    "sd_xl_refiner_1.0": ["sdxl-refiner"],
    "sd3_medium_incl_clips": ["sd3-clip"],
    "flux1-dev-fp8": ["flux-clip"],
    "comfy-clip_l": ["flux-clip", "sd1"],
    "comfy-clip_g": ["sdxl-refiner"],
}


def small(name: str) -> make.Weights:
    """The tensors of a list with random values."""
    random = np.random.default_rng(len(name))
    sizes = BARE if name.startswith("comfy") else SMALL
    if name.startswith("v2"):
        sizes = sizes | {3072: 3 * sizes[1024]}
    weights: make.Weights = {}
    for tensor, kind, shape in json.loads((LISTS / f"{name}.json").read_text())["tensors"]:
        layer = re.search(r"(?:layers|resblocks)\.(\d+)\.", tensor)
        if layer and int(layer.group(1)) > 1 or kind not in TYPES:
            continue
        fused = "in_proj" in tensor  # queries, keys and values of one width
        shape = [
            3 * sizes.get(size // 3, size // 3) if fused and place == 0 else sizes.get(size, size)
            for place, size in enumerate(shape)
        ]
        if kind == "I64":
            weights[tensor] = np.arange(np.prod(shape, dtype=int)).reshape(shape)
            continue
        values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.3 if len(shape) < 2 else 0.05)
        if re.search(r"(layer_norm\d?|ln_\d|ln_final)\.weight$", tensor):
            values += 1
        if "token_embedding" in tensor or "position" in tensor:
            values *= 8
        weights[tensor] = values.astype(TYPES[kind])
    return weights


@pytest.fixture(scope="module")
def g() -> Iterator[Client]:
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        arguments = []
        for name in FILES:
            path = make.write(Path(folder) / f"{name}.safetensors", small(name))
            arguments += ["--model", f"{name}={path}"]
        l, g = (Path(folder) / f"comfy-clip_{role}.safetensors" for role in "lg")
        arguments += ["--model", f"pair={l}+{g}"]
        running = Daemon(Path(folder), *arguments)
        with Client(running.endpoint, control=running.control, timeout=120) as client:
            yield client
        assert running.stop() == 0, running.log.read_text()


@pytest.mark.parametrize("name", FILES)
def test_published_files_are_served(g: Client, name: str) -> None:
    for recipe in FILES[name]:
        found = g.condition("a red cat on a mat", recipe, model=name)
        other = g.condition("a blue dog", recipe, model=name)
        for ours, theirs in [(found.hidden_states, other.hidden_states), (found.pooled, other.pooled)]:
            if ours is not None:
                assert np.isfinite(ours).all() and np.abs(ours - theirs).max() > 1e-3


def test_a_projection_that_goes_without_saying_is_the_identity(g: Client) -> None:
    """SD3's pooled vector of CLIP-L is FLUX's, which takes it without a projection."""
    both = g.condition("a red cat on a mat", "sd3-clip", model="pair").pooled
    alone = g.condition("a red cat on a mat", "flux-clip", model="comfy-clip_l").pooled
    assert both is not None and alone is not None
    assert both.shape == (1, 768 + 1280) and alone.shape == (1, 768)
    np.testing.assert_array_equal(both[:, :768], alone)
