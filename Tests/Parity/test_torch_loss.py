"""guidanced.torch.clip_loss beside the same loss by transformers' CLIP in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Clients"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from reference import Reference  # noqa: E402  (torch's operators before torch is used)

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from daemon import Daemon  # noqa: E402
from guidanced import Client  # noqa: E402
from guidanced.torch import clip_loss  # noqa: E402

PROMPTS, WEIGHTS = ["a red circle", "a slice of pizza"], [1.0, -0.4]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(ROOT / "Models/default")


@pytest.fixture(scope="module")
def g(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon, Client(daemon.endpoint) as client:
        yield client


def local(reference: Reference, images: Any) -> Any:
    """The mean over images of the weighted mean of 1 − cos."""
    x = F.normalize(reference.embed_pixels(reference.preprocess(images)), dim=-1)
    y = F.normalize(reference.embed_texts(PROMPTS), dim=-1)
    w = torch.tensor(WEIGHTS)
    return (((1 - x @ y.T) * w).sum(dim=1) / w.sum().abs()).mean()


def made(latents: Any, scale: Any) -> Any:
    """Images [N, 3, 80, 72] of latents [N, 3, 10, 9], as a decoder would make them."""
    return torch.sigmoid(scale * F.interpolate(latents, size=(80, 72), mode="bicubic"))


def test_value_and_gradients_are_those_of_the_model_in_this_process(
    g: Client, reference: Reference
) -> None:
    torch.manual_seed(3)
    latents = torch.randn(3, 3, 10, 9, requires_grad=True)
    scale = torch.tensor(1.3, requires_grad=True)
    found = clip_loss(made(latents, scale), PROMPTS, weights=WEIGHTS, client=g)
    expected = local(reference, made(latents, scale))
    assert abs(found.item() - expected.item()) < 1e-5
    ours = torch.autograd.grad(found, (latents, scale))
    theirs = torch.autograd.grad(expected, (latents, scale))
    for a, b in zip(ours, theirs):
        assert float((a - b).norm() / b.norm()) < 1e-4


def test_an_optimiser_that_uses_it_lowers_the_loss_of_the_model(g: Client, reference: Reference) -> None:
    torch.manual_seed(4)
    latents = torch.randn(1, 3, 10, 9, requires_grad=True)
    scale = torch.tensor(1.0)
    handle = g.prepare(PROMPTS, weights=WEIGHTS)
    optimizer = torch.optim.Adam([latents], lr=0.1)
    before = local(reference, made(latents, scale)).item()
    for _ in range(20):
        optimizer.zero_grad()
        clip_loss(made(latents, scale), handle, client=g).backward()
        optimizer.step()
    assert local(reference, made(latents, scale)).item() < before - 0.1
