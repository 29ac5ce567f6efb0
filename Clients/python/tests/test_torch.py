"""The loss that torch differentiates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import Request, failure, reply
from guidanced import Client

torch = pytest.importorskip("torch")
from guidanced.torch import clip_loss  # noqa: E402

TARGET = np.random.default_rng(1).random((3, 4, 5), dtype=np.float32)


def answer(request: Request) -> Any:
    """The loss of an image is half the square of its distance from the target."""
    if request.header["op"] == "prepare":
        return [reply(request, {"handle": "h"})]
    away = np.concatenate([array.astype(np.float32) - TARGET for array in request.arrays()])
    losses = (away**2).sum(axis=(1, 2, 3)) / 2
    return [reply(request, {}, {"gradient": away, "loss": losses, "score": losses})]


def local(images: Any) -> Any:
    return ((images - torch.from_numpy(TARGET)) ** 2).sum(dim=(1, 2, 3)) / 2


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_gradient_goes_on_through_what_made_the_images(daemon, reduction: str) -> None:
    fake = daemon(answer)
    latents = torch.rand(2, 3, 4, 5, requires_grad=True)
    twin = latents.detach().clone().requires_grad_()
    slope = torch.tensor([0.3, -2.0])
    with Client(fake.endpoint) as g:
        found = clip_loss(torch.sigmoid(latents * 3), "a", client=g, reduction=reduction)
    expected = local(torch.sigmoid(twin * 3))
    expected = {"mean": expected.mean, "sum": expected.sum}.get(reduction, lambda: expected)()
    assert torch.allclose(found, expected, rtol=1e-5)
    for loss in (found, expected):
        (loss @ slope if reduction == "none" else loss * 1.7).backward()
    assert torch.allclose(latents.grad, twin.grad, rtol=1e-4, atol=1e-6)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_types_and_shapes_stay(daemon, dtype: Any) -> None:
    with Client(daemon(lambda r: bits_answer(r)).endpoint) as g:
        image = torch.rand(3, 4, 5, dtype=dtype, requires_grad=True)
        loss = clip_loss(image, ["a", "b"], weights=[1, -0.5], client=g)
        assert loss.dtype == dtype and loss.shape == ()
        loss.backward()
        assert image.grad.dtype == dtype and image.grad.shape == image.shape
        assert torch.isfinite(image.grad).all()


def bits_answer(request: Request) -> Any:
    count, _, height, width = request.header["inputs"][0]["shape"]
    gradient = np.ones((count, 3, height, width))
    return [reply(request, {}, {"gradient": gradient, "loss": np.ones(count), "score": np.ones(count)})]


def test_without_a_need_for_it_there_is_no_graph(daemon) -> None:
    with Client(daemon(answer).endpoint) as g:
        handle = g.prepare("a")
        assert not clip_loss(torch.rand(1, 3, 4, 5), handle, client=g).requires_grad
        with torch.no_grad():
            image = torch.rand(1, 3, 4, 5, requires_grad=True)
            assert not clip_loss(image, handle, client=g).requires_grad


def test_a_second_derivative_is_refused(daemon) -> None:
    image = torch.rand(1, 3, 4, 5, requires_grad=True)
    with Client(daemon(answer).endpoint) as g:
        (first,) = torch.autograd.grad(clip_loss(image, "a", client=g), image, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad|once_differentiable"):
        first.sum().backward()


def test_mistakes_and_failures_come_before_the_graph(daemon) -> None:
    image = torch.rand(1, 3, 4, 5, requires_grad=True)
    item = {"index": 0, "error": {"code": "bad_image", "message": "NaN"}}
    outputs = {"loss": np.full(1, np.nan), "score": np.full(1, np.nan)}
    fake = daemon(lambda r: [reply(r, {}, outputs, items=[item])])
    with Client(fake.endpoint) as g:
        for wrong in (image.detach().to(torch.uint8), image[0, 0], image.detach().numpy(), "a.png"):
            with pytest.raises(guidanced.ArgumentError):
                clip_loss(wrong, "a", client=g)
        with pytest.raises(guidanced.ArgumentError, match="reduction"):
            clip_loss(image, "a", client=g, reduction="max")
        assert fake.requests == []
        with pytest.raises(guidanced.ItemError):
            clip_loss(image, "a", client=g)
        fake.handler = lambda r: [failure(r, "unknown_model")]
        with pytest.raises(guidanced.UnknownModel):
            clip_loss(image, "a", client=g)
