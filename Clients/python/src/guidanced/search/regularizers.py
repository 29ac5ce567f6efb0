"""What keeps an optimised noise a noise, and a direction for losses without a gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import whole
from ..errors import ArgumentError
from ..results import FloatArray
from .noise import Doubles

_LEAST = -np.log(2)


def reno_regularizer(noise: FloatArray) -> tuple[float, FloatArray]:
    """½‖z‖² − (d − 1)·log‖z‖, the negative log likelihood of a normal vector's length, and its gradient.

    It is least at ‖z‖² = d − 1 (ReNO, arXiv 2406.04312; its weight there is 0.01).
    """
    flat = np.asarray(noise, dtype=np.float64)
    square = float(np.sum(flat**2))
    if not square > 0:
        raise ArgumentError("noise: expected a length above 0")
    value = square / 2 - (flat.size - 1) * np.log(square) / 2
    return float(value), (flat * (1 - (flat.size - 1) / square)).astype(np.float32)


def dno_regularizer(
    noise: FloatArray, *, subsample: int = 1, permutations: int = 100, seed: int = 0
) -> tuple[float, FloatArray]:
    """How unlikely a noise is as a normal vector by concentration bounds, and its gradient.

    With the numbers in order as n rows of k = 4^subsample: minus the sum of min(−n‖mean‖²/2k, −log 2) and
    min(−n·max(√(1 + ‖ZᵀZ/n − I‖₂) − 1 − √(k/n), 0)²/2, −log 2), and of the average of the same over
    random orders (DNO, arXiv 2405.18881).
    """
    flat = np.asarray(noise, dtype=np.float64).ravel()
    columns = 4 ** whole(subsample, "subsample", range(8))
    if flat.size == 0 or flat.size % columns:
        raise ArgumentError(
            f"noise: expected a multiple of {columns} numbers, found {flat.size}"
        )
    rng = np.random.default_rng(seed)
    value, gradient = _unlikely(flat.reshape(-1, columns))
    total, slope = value, gradient.ravel()
    for _ in range(whole(permutations, "permutations", range(1 << 31))):
        order = rng.permutation(flat.size)
        value, gradient = _unlikely(flat[order].reshape(-1, columns))
        total += value / permutations
        slope[order] += gradient.ravel() / permutations
    return float(total), slope.reshape(np.shape(noise)).astype(np.float32)


def _unlikely(rows: Doubles) -> tuple[float, Doubles]:
    n, k = rows.shape
    gradient = np.zeros_like(rows)
    mean = rows.mean(axis=0)
    about_mean = -n * float(mean @ mean) / (2 * k)
    if about_mean < _LEAST:
        gradient += mean / k
    values, vectors = np.linalg.eigh(rows.T @ rows / n - np.eye(k))
    widest = int(np.argmax(np.abs(values)))
    spread = abs(float(values[widest]))
    excess = np.sqrt(1 + spread) - 1 - np.sqrt(k / n)
    about_spread = -n * max(excess, 0.0) ** 2 / 2
    if about_spread < _LEAST:
        vector = vectors[:, widest]
        by_spread = n * excess / (2 * np.sqrt(1 + spread))
        gradient += by_spread * np.sign(values[widest]) * 2 / n * np.outer(rows @ vector, vector)
    value = -(min(about_mean, _LEAST) + min(about_spread, _LEAST))
    return float(value), gradient


def zeroth_order_direction(
    image: FloatArray,
    loss: float,
    perturbed: FloatArray,
    losses: ArrayLike,
) -> FloatArray:
    """A direction in which a loss without a gradient rises, from images of slightly changed noises.

    meanᵢ (L(yᵢ) − L(y))·(yᵢ − y), divided by its length + 0.001 (DNO; there the noises are changed by 0.01
    times a normal vector, and the direction goes back through the sampler). Scores alone are enough.

    Args:
        image: y, any shape.
        perturbed: [M, *shape], the images yᵢ.
        losses: [M]; images with NaN do not count.
    """
    base = np.asarray(image, dtype=np.float64)
    others = np.asarray(perturbed, dtype=np.float64)
    values = np.asarray(losses, dtype=np.float64).ravel()
    if others.shape[1:] != base.shape or len(others) != values.size or values.size == 0:
        raise ArgumentError(
            f"perturbed: expected [M, …] of {list(base.shape)} and M losses, found "
            f"{list(others.shape)} and {values.size}"
        )
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(base.shape, dtype=np.float32)
    change = np.tensordot(values[known] - loss, others[known] - base, axes=1) / known.sum()
    direction: FloatArray = (change / (np.linalg.norm(change) + 1e-3)).astype(np.float32)
    return direction
