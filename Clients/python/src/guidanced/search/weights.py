"""Weights of particles as logarithms, and the ways to draw particles by them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import whole
from ..errors import ArgumentError
from .noise import Doubles

Ancestors = NDArray[np.int64]
"""For each new particle the number of the one that it is a copy of."""

METHODS = ("multinomial", "systematic", "stratified", "residual", "ssp")


def normalized(log_weights: ArrayLike) -> Doubles:
    """Weights that sum to 1, from logarithms of any size; NaN counts as −∞.

    When no particle has any weight all have the same.
    """
    logs = np.array(log_weights, dtype=np.float64)
    if logs.ndim != 1 or logs.size == 0:
        raise ArgumentError(f"log_weights: expected a list, found the shape {list(logs.shape)}")
    logs[np.isnan(logs)] = -np.inf
    top = logs.max()
    if top == -np.inf:
        return np.full(logs.size, 1 / logs.size)
    if top == np.inf:
        logs = np.where(logs == np.inf, 0.0, -np.inf)
        top = 0.0
    weights = np.exp(logs - top)
    result: Doubles = weights / weights.sum()
    return result


def effective_size(log_weights: ArrayLike) -> float:
    """1/Σw²: how many particles of equal weight these are worth, 1…P."""
    return float(1 / np.sum(normalized(log_weights) ** 2))


def resample(
    log_weights: ArrayLike,
    *,
    method: str = "ssp",
    count: int | None = None,
    rng: np.random.Generator | None = None,
) -> Ancestors:
    """Draws particles by their weights; each is drawn ``count`` times its weight on average.

    Args:
        method: ``"multinomial"`` (independent draws); ``"systematic"`` and ``"stratified"`` (one draw for
            each of ``count`` equal parts of 0…1, at one place in all of them or at one of its own);
            ``"residual"`` (whole copies first, the rest independently); ``"ssp"`` (Srinivasan's sampling
            process; as systematic it gives each particle its expected copies rounded up or down, and it
            is negatively associated: Gerber, Chopin and Whiteley 2019).
        count: how many to draw, by default as many as there are.
    """
    weights = normalized(log_weights)
    number = weights.size if count is None else whole(count, "count", range(1, 1 << 31))
    rng = np.random.default_rng() if rng is None else rng
    if method == "multinomial":
        return _at(weights, rng.random(number))
    if method == "systematic":
        return _at(weights, (np.arange(number) + rng.random()) / number)
    if method == "stratified":
        return _at(weights, (np.arange(number) + rng.random(number)) / number)
    if method not in METHODS:
        raise ArgumentError(f"method: expected one of {', '.join(METHODS)}, found {method!r}")
    expected = weights * number
    copies = np.floor(expected + 1e-9)
    left = np.clip(expected - copies, 0, None)
    if method == "residual":
        missing = number - int(copies.sum())
        if missing > 0:
            drawn = _at(left / left.sum(), rng.random(missing))
            copies += np.bincount(drawn, minlength=copies.size)
    else:
        copies += _rounded(left, rng)
        _settle(copies, number, weights)
    return np.repeat(np.arange(weights.size), copies.astype(np.int64))


def _at(weights: Doubles, places: Doubles) -> Ancestors:
    """The particles at places 0…1 of the cumulated weights; none of weight 0."""
    edges = np.cumsum(weights)
    found = np.searchsorted(edges, places * edges[-1], side="right")
    last = int(np.flatnonzero(weights)[-1])
    result: Ancestors = np.minimum(found, last).astype(np.int64)
    return result


def _rounded(parts: Doubles, rng: np.random.Generator) -> Doubles:
    """Parts of 0…1 rounded to 0 or 1, each up with its own probability, their sum kept.

    Two parts at a time are moved against each other, until one is whole, by draws that leave both
    expectations as they are.
    """
    result = np.zeros(parts.size)
    open_, part = 0, float(parts[0])
    for index in range(1, parts.size):
        other = float(parts[index])
        total = part + other
        if total <= 0:
            continue
        if total < 1:
            # One takes all, the other is 0.
            if rng.random() * total >= part:
                open_ = index
            part = total
            continue
        # One is 1, the other keeps the rest.
        if total < 2 and rng.random() * (2 - total) >= 1 - other:
            result[index] = 1
        else:
            result[open_] = 1
            open_ = index
        part = total - 1
    if part > 0.5:
        result[open_] = 1
    return result


def _settle(copies: Doubles, number: int, weights: Doubles) -> None:
    """Makes the copies as many as are asked for, should the last place of a float have cost one."""
    while copies.sum() < number:
        copies[np.argmax(weights * number - copies)] += 1
    while copies.sum() > number:
        copies[np.argmax(np.where(copies > 0, copies - weights * number, -np.inf))] -= 1
