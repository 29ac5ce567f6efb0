"""Search over initial noises: best of N, random search, zero-order search (arXiv 2501.09732)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import whole
from ..errors import ArgumentError
from ..results import FloatArray
from .noise import Doubles, draw, neighbours

Sample = Callable[[FloatArray], Any]
"""Noises [N, *shape] to N images, as a list or an array [N, …]."""

Score = Callable[[Any], ArrayLike]
"""N images to N scores, greater for better ones; NaN for one that could not be judged."""


@dataclass(frozen=True)
class Candidate:
    """An image, the noise that it came from, its score, and the round that found it."""

    noise: FloatArray
    image: Any
    score: float
    round: int


@dataclass(frozen=True)
class Found:
    """What a search kept.

    Attributes:
        candidates: the best ones, best first, ties in order of their making.
        scores: of each round's candidates, in order of their making.
    """

    candidates: tuple[Candidate, ...]
    scores: tuple[Doubles, ...]

    @property
    def best(self) -> Candidate:
        """The best candidate."""
        return self.candidates[0]

    @property
    def evaluations(self) -> int:
        """How many images were made and scored."""
        return sum(len(scores) for scores in self.scores)


class Keeper:
    """Makes and scores candidates, and keeps the best."""

    def __init__(self, sample: Sample, score: Score, keep: int) -> None:
        self._sample = sample
        self._score = score
        self._most = whole(keep, "keep", range(1, 1 << 31))
        self._kept: list[Candidate] = []
        self._scores: list[Doubles] = []

    def judge(self, noises: FloatArray, round: int) -> list[Candidate]:
        """The candidates that noises make."""
        images = self._sample(noises)
        if len(images) != len(noises):
            raise ArgumentError(f"sample: gave {len(images)} images for {len(noises)} noises")
        scores = scores_of(self._score(images), len(noises))
        made = [
            Candidate(noise, image, float(score), round)
            for noise, image, score in zip(noises, images, scores)
        ]
        valid = [candidate for candidate in made if not np.isnan(candidate.score)]
        # The sort keeps the order of ties.
        self._kept = sorted([*self._kept, *valid], key=lambda c: -c.score)[: self._most]
        while len(self._scores) <= round:
            self._scores.append(np.zeros(0))
        self._scores[round] = np.concatenate([self._scores[round], scores])
        return made

    def found(self) -> Found:
        """What there is by now; raises ArgumentError when no candidate could be judged."""
        if not self._kept:
            raise ArgumentError("score: every candidate's score is NaN")
        return Found(tuple(self._kept), tuple(self._scores))


def scores_of(values: ArrayLike, count: int) -> Doubles:
    """Scores as float64 [count]; [count, 1], as ``Client.score`` gives for one prompt, is taken too."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.size != count:
        raise ArgumentError(f"score: expected {count} scores, found {list(scores.shape)}")
    return scores.reshape(count)


def best_of_n(
    sample: Sample,
    score: Score,
    shape: tuple[int, ...],
    n: int,
    *,
    keep: int = 1,
    batch: int | None = None,
    seed: int = 0,
) -> Found:
    """The best of N independent noises.

    Args:
        shape: of one noise.
        keep: how many to return.
        batch: how many to make at once, all by default; the noises are the same in any case.
    """
    rng = np.random.default_rng(seed)
    keeper = Keeper(sample, score, keep)
    for noises in _in_batches(draw(rng, n, shape), batch):
        keeper.judge(noises, 0)
    return keeper.found()


def random_search(
    sample: Sample,
    score: Score,
    shape: tuple[int, ...],
    *,
    rounds: int = 4,
    keep: int = 1,
    batch: int | None = None,
    seed: int = 0,
) -> Found:
    """Rounds of 1, 2, 4, … fresh noises each; the best of all."""
    rng = np.random.default_rng(seed)
    keeper = Keeper(sample, score, keep)
    for round in range(whole(rounds, "rounds", range(1, 31))):
        for noises in _in_batches(draw(rng, 2**round, shape), batch):
            keeper.judge(noises, round)
    return keeper.found()


def zero_order(
    sample: Sample,
    score: Score,
    shape: tuple[int, ...],
    *,
    rounds: int = 4,
    count: int = 4,
    cosine: float = 0.95,
    start: FloatArray | None = None,
    keep: int = 1,
    batch: int | None = None,
    seed: int = 0,
) -> Found:
    """Moves a noise to the best of its neighbours, round by round.

    A round makes ``count`` neighbours of the base at an angle of arccos(``cosine``) and as long as it.
    The best of them becomes the base if it is better; if none is, a fresh base is drawn. The best of all
    is kept meanwhile.

    Args:
        start: the first base; drawn by default.
    """
    rng = np.random.default_rng(seed)
    keeper = Keeper(sample, score, keep)
    first = draw(rng, 1, shape) if start is None else np.asarray(start, np.float32)[None]
    if first.shape[1:] != tuple(shape):
        raise ArgumentError(f"start: expected {list(shape)}, found {list(first.shape[1:])}")
    base: Candidate | None = keeper.judge(first, 0)[0]
    for round in range(whole(rounds, "rounds", range(1, 1 << 31))):
        if base is None:
            base = keeper.judge(draw(rng, 1, shape), round)[0]
        around = neighbours(base.noise, count, cosine, rng)
        made = [c for noises in _in_batches(around, batch) for c in keeper.judge(noises, round)]
        best = max(made, key=lambda c: -np.inf if np.isnan(c.score) else c.score)
        is_better = best.score > base.score or (np.isnan(base.score) and not np.isnan(best.score))
        base = best if is_better else None
    return keeper.found()


def _in_batches(noises: FloatArray, batch: int | None) -> Iterator[FloatArray]:
    size = len(noises) if batch is None else whole(batch, "batch", range(1, 1 << 31))
    for first in range(0, len(noises), max(size, 1)):
        yield noises[first : first + size]
