"""Search over the paths of a sampler: branches from half-denoised latents (arXiv 2501.09732)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arguments import whole
from ..errors import ArgumentError
from ..results import FloatArray
from .candidates import Candidate, Found, Keeper, Score
from .noise import draw

Denoise = Callable[[FloatArray, float, float], FloatArray]
"""Latents [N, …], the noise level that they have, and the one to take them to."""

Predict = Callable[[FloatArray, float], Any]
"""Latents [N, …] and their noise level to N images of the predicted x0."""

Renoise = Callable[[FloatArray, float, float, np.random.Generator], FloatArray]
"""Latents, their noise level and a higher one: the latents there."""


def paths(
    denoise: Denoise,
    predict: Predict,
    score: Score,
    shape: tuple[int, ...],
    *,
    top: float,
    start: float,
    forward: float,
    backward: float,
    count: int = 2,
    branches: int = 4,
    renoise: Renoise | None = None,
    keep: int = 1,
    seed: int = 0,
) -> Found:
    """Keeps the best of many continuations at every stage.

    ``count`` noises are denoised from ``top`` to ``start``. Then, until nothing is left of the noise: from
    each latent ``branches`` are noised by ``forward``, denoised by ``backward``, and the ``count`` whose
    predicted images score best go on. At the end the images themselves are judged.

    Args:
        top, start, forward, backward: noise levels and steps of them, in the sampler's unit (σ);
            ``backward`` is more than ``forward``.
        renoise: how noise is added; by default variances add up: x + √(σ'² − σ²)·ε.
        keep: how many of the last ``count`` to return. A candidate's noise is its latent of level 0, its
            round the stage, and ``evaluations`` counts predictions too.
    """
    if not 0 < forward < backward:
        raise ArgumentError(f"backward: expected more than forward ({forward}), found {backward}")
    if not 0 < start <= top:
        raise ArgumentError(f"start: expected above 0 and up to top ({top}), found {start}")
    whole(count, "count", range(1, 1 << 31))
    whole(branches, "branches", range(1, 1 << 31))
    rng = np.random.default_rng(seed)
    add = renoise or _add_variance
    latents = denoise(draw(rng, count, shape) * np.float32(top), top, start)
    level, stage = start, 0
    scores: list[Any] = []
    while level > 0:
        higher = min(level + forward, top)
        lower = max(higher - backward, 0.0)
        tried = add(np.repeat(latents, branches, axis=0), level, higher, rng)
        tried = denoise(tried, higher, lower)
        stage_keeper = Keeper(lambda noises, at=lower: predict(noises, at), score, count)  # type: ignore[misc]
        stage_keeper.judge(tried, 0)
        found = stage_keeper.found()
        scores.append(found.scores[0])
        latents = np.stack([candidate.noise for candidate in found.candidates])
        level, stage = lower, stage + 1
    kept = tuple(
        Candidate(c.noise, c.image, c.score, stage - 1) for c in found.candidates[: max(keep, 1)]
    )
    return Found(kept, tuple(scores))


def _add_variance(
    latents: FloatArray, level: float, higher: float, rng: np.random.Generator
) -> FloatArray:
    added = np.sqrt(max(higher**2 - level**2, 0.0))
    noise = rng.standard_normal(latents.shape)
    result: FloatArray = (latents + added * noise).astype(np.float32)
    return result
