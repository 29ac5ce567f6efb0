"""Noises: drawn, moved to their neighbours, kept at their length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arguments import whole
from ..errors import ArgumentError
from ..results import FloatArray

Doubles = NDArray[np.float64]


def draw(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> FloatArray:
    """Standard normal noises, float32 [count, *shape]."""
    return rng.standard_normal((whole(count, "count"), *shape)).astype(np.float32)


def neighbours(
    noise: FloatArray, count: int, cosine: float, rng: np.random.Generator
) -> FloatArray:
    """Noises at one angle from a noise, as long as it is, in random directions; [count, *shape].

    ‖x‖ · (τ·u + √(1 − τ²)·w), u = x/‖x‖, w a random unit vector orthogonal to u (zero-order search of
    arXiv 2501.09732; τ is a cosine).
    """
    if not -1 <= cosine <= 1:
        raise ArgumentError(f"cosine: expected −1…1, found {cosine}")
    flat = np.asarray(noise, dtype=np.float64).ravel()
    length = float(np.linalg.norm(flat))
    if not length > 0 or flat.size < 2:
        raise ArgumentError("noise: expected at least two numbers that are not all 0")
    unit = flat / length
    directions = rng.standard_normal((whole(count, "count"), flat.size))
    directions -= np.outer(directions @ unit, unit)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    moved = length * (cosine * unit + np.sqrt(1 - cosine**2) * directions)
    result: FloatArray = moved.reshape(-1, *np.shape(noise)).astype(np.float32)
    return result


def renormalized(latents: FloatArray, length: float) -> FloatArray:
    """Latents scaled to a length, such as their first one (DOODL does so after each step)."""
    found = float(np.linalg.norm(np.asarray(latents, dtype=np.float64)))
    if not found > 0:
        raise ArgumentError("latents: expected a length above 0")
    return (np.asarray(latents) * (length / found)).astype(np.float32)


def clipped(gradient: FloatArray, longest: float) -> FloatArray:
    """A gradient, shortened if it is longer than allowed (ReNO: 0.1, DNO: 1.0)."""
    found = float(np.linalg.norm(np.asarray(gradient, dtype=np.float64)))
    if found <= longest:
        return np.asarray(gradient, dtype=np.float32)
    return (np.asarray(gradient) * (longest / found)).astype(np.float32)
