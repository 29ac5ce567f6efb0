"""Losses of a daemon as functions that torch differentiates.

>>> from guidanced.torch import clip_loss
>>> loss = clip_loss(vae.decode(latents), "a red circle", client=g)
>>> loss.backward()                                     # the gradient goes on into the latents
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any, Union

import numpy as np

from .arguments import Texts
from .client import Client
from .errors import ArgumentError, ArgumentTypeError
from .results import Handle

_REDUCTIONS = ("mean", "sum", "none")


def clip_loss(
    images: Any,
    prompts: Union[Texts, Handle],
    *,
    client: Client,
    weights: Union[Sequence[float], None] = None,
    loss: str = "cosine",
    pairwise: bool = False,
    long_prompts: str | None = None,
    model: str | None = None,
    reduction: str = "mean",
    priority: int = 0,
    deadline: float | None = None,
) -> Any:
    """The loss between images and prompts, with the daemon's gradient behind it.

    One request, forward and backward at once; ``backward()`` asks for nothing more. The gradient is the
    daemon's and has none of its own.

    Args:
        images: a float tensor [3, H, W] or [N, 3, H, W] with values in 0–1, on any device, of any float
            type (float64 travels as float32).
        reduction: ``"mean"`` or ``"sum"`` of the images' losses, or ``"none"`` for all of them, [N].
        prompts, weights, loss, pairwise, long_prompts, model, priority, deadline: as ``Client.gradient``'s.

    Returns:
        A tensor of the images' device and float type.

    Raises:
        Error: as ``Client.gradient``; also when a single image fails.
    """
    torch: Any = importlib.import_module("torch")
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        found = getattr(images, "dtype", type(images).__name__)
        raise ArgumentTypeError(f"images: expected a float tensor, found {found}")
    if images.ndim not in (3, 4):
        raise ArgumentError(f"images: expected [3, H, W] or [N, 3, H, W], found {list(images.shape)}")
    if reduction not in _REDUCTIONS:
        raise ArgumentError(f"reduction: expected one of {_REDUCTIONS}, found {reduction!r}")

    def ask(pixels: Any) -> tuple[Any, Any]:
        result = client.gradient(
            pixels,
            prompts,
            weights=weights,
            loss=loss,
            pairwise=pairwise,
            long_prompts=long_prompts,
            model=model,
            priority=priority,
            deadline=deadline,
        )
        return result.loss, result.gradient

    losses = _function().apply(images if images.ndim == 4 else images[None], ask)
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


@functools.cache
def _function() -> Any:
    """The autograd function; made when torch is there."""
    torch: Any = importlib.import_module("torch")

    class DaemonLoss(torch.autograd.Function):  # type: ignore[misc]
        """Losses [N] of images [N, 3, H, W] that a function gives with their gradients."""

        @staticmethod
        def forward(context: Any, images: Any, ask: Any) -> Any:
            losses, gradient = ask(images.detach())
            context.save_for_backward(torch.from_numpy(np.asarray(gradient)).to(images))
            return torch.from_numpy(np.array(losses)).to(images)

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
        def backward(context: Any, slope: Any) -> Any:
            (gradient,) = context.saved_tensors
            return gradient * slope[:, None, None, None], None

    return DaemonLoss
