"""Losses and maps of images with their gradients by PyTorch's autograd, for the tests of
Sources/Guidance. Writes Tests/GuidanceTests/Fixtures/steering.json; run with .venv-reference's Python.

The formulas are written out here from their definitions; torch and torchvision do what they have functions
for (adaptive_avg_pool2d, interpolate, affine, adjust_*).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import torchvision_operators  # noqa: F401  (before torchvision)
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as T

OUT = Path(__file__).resolve().parents[1] / "GuidanceTests" / "Fixtures" / "steering.json"
SCALE = 14.0


def flat(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.9g}") for value in values.detach().double().flatten().tolist()]


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def numbers(*shape: int) -> torch.Tensor:
    """Values that fp32 holds exactly."""
    return torch.randn(*shape, dtype=torch.float64).float().double()


def weighted(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (weights * losses).sum() / weights.sum().abs()


def spherical(x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return 2 * ((unit(x) - unit(targets)).norm(dim=-1) / 2).asin() ** 2


def terms() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    width = 12
    for weights in [[1.0], [1.0, -0.5, 0.25], [-2.0, 0.5]]:
        x = numbers(width).requires_grad_()
        targets, others, start = numbers(len(weights), width), numbers(len(weights), width), numbers(width)
        negatives = numbers(3, width)
        w = torch.tensor(weights, dtype=torch.float64)
        moved = unit(x) - unit(start)
        directions = unit(targets) - unit(others)
        own = SCALE * (unit(targets) @ unit(x))
        rest = SCALE * (unit(negatives) @ unit(x))
        joined = torch.cat([own[:, None], rest.expand(len(weights), -1)], 1)
        losses = {
            "cosine": 1 - unit(targets) @ unit(x),
            "spherical": spherical(x, targets),
            "logit": -own,
            "directional": 1 - F.cosine_similarity(moved[None], directions),
            "contrast": -joined.log_softmax(1)[:, 0],
            "feature_l2": (x - targets).norm(dim=-1),
        }
        for name, values in losses.items():
            loss = weighted(values, w)
            (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
            found.append({
                "loss": name, "weights": weights, "x": flat(x), "targets": flat(targets), "sources": flat(others),
                "start": flat(start), "negatives": flat(negatives), "value": float(loss), "gradient": flat(gradient),
            })  # fmt: skip
    return found


def gram() -> dict[str, Any]:
    states, reference = numbers(6, 5).requires_grad_(), numbers(6, 5)
    g = [values[1:].T @ values[1:] for values in (states, reference)]
    loss = (g[0] - g[1]).norm()
    (gradient,) = torch.autograd.grad(loss, states)
    return {
        "width": 5, "states": flat(states), "reference": flat(reference), "value": float(loss), "gradient": flat(gradient),
    }  # fmt: skip


def maps() -> list[dict[str, Any]]:
    """Images of values in 0.2 … 0.6, so that no operator of torchvision clamps them."""
    found: list[dict[str, Any]] = []

    def case(name: str, parameters: list[float], height: int, width: int, f: Callable[[torch.Tensor], torch.Tensor]) -> None:
        x = (0.2 + 0.4 * torch.rand(3, height, width)).double().requires_grad_()
        y = f(x)
        dy = numbers(*y.shape)
        (dx,) = torch.autograd.grad(y, x, dy)
        found.append({
            "name": name, "parameters": parameters, "shape": list(x.shape), "output": list(y.shape), "x": flat(x),
            "y": flat(y), "dy": flat(dy), "dx": flat(dx),
        })  # fmt: skip

    case("flip", [], 3, 4, T.hflip)
    case("grey", [], 3, 4, lambda x: T.rgb_to_grayscale(x, 3))
    for factor in [0.9, 1.1]:
        case("brightness", [factor], 3, 4, lambda x: T.adjust_brightness(x, factor))
        case("contrast", [factor], 3, 4, lambda x: T.adjust_contrast(x, factor))
        case("saturation", [factor], 3, 4, lambda x: T.adjust_saturation(x, factor))
    for turns in [0.1, -0.07, 0.4]:
        case("hue", [turns], 6, 6, lambda x: T.adjust_hue(x, turns))
    for degrees, dx, dy, height, width in [
        (0, 0, 0, 5, 4), (10, 0, 0, 9, 9), (-7.5, 2, -1, 8, 11), (180, 0, 1, 5, 6), (3, -3, 2, 12, 7),
    ]:  # fmt: skip
        case("warp", [degrees, dx, dy], height, width, lambda x: T.affine(
            x, degrees, [dx, dy], 1.0, [0.0, 0.0], InterpolationMode.BILINEAR, fill=[0.0, 0.0, 0.0]
        ))  # fmt: skip
    for height, width, out in [(7, 5, 3), (4, 6, 6), (3, 2, 5)]:
        case("area", [out], height, width, lambda x: F.adaptive_avg_pool2d(x, out))
        case("bicubic", [out], height, width, lambda x: F.interpolate(
            x[None], (out, out), mode="bicubic", antialias=True, align_corners=False
        )[0])  # fmt: skip
    # A box that reaches beyond the image, filled with zeros, then pooled.
    case("cut", [-2, 1, 6, 5, 4], 5, 7, lambda x: F.adaptive_avg_pool2d(F.pad(x, (0, 0, 2, 0))[:, 0:6, 1:6], 4))
    return found


if __name__ == "__main__":
    torch.manual_seed(0)
    found = [{"kind": "term"} | case for case in terms()] + [{"kind": "gram"} | gram()]
    found += [{"kind": "map"} | case for case in maps()]
    OUT.write_text("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in found) + "]\n")
    print(OUT, OUT.stat().st_size)
