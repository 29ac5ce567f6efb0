"""Feynman–Kac steering: particles drawn again and again by what they promise (arXiv 2501.06848).

A particle's potential at a look is a function of the reward of its predicted image. All of them together
make its chance of surviving proportional to exp(scale · statistic), where the statistic is

- ``"diff"``: the last reward (potentials exp(scale · (r − r before)), which telescope);
- ``"max"``: the greatest reward on its way;
- ``"add"``: the sum of its rewards;
- ``"rt"``: the last reward.

For the last three a potential is exp(scale · statistic), and the last one is divided by those before.

Weights are logarithms throughout: in linear space and cut off at 1e10, as in published code, rewards
around 20 (PickScore) at scale 10 are all the same. Looks after which nothing was drawn keep their
weights for the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import whole
from ..errors import ArgumentError
from .candidates import scores_of
from .noise import Doubles
from .weights import METHODS, Ancestors, effective_size, normalized, resample

POTENTIALS = ("diff", "max", "add", "rt")

_LINEAR_LIMIT = np.log(1e10)


@dataclass(frozen=True)
class Resampling:
    """One look at the particles.

    Attributes:
        index: the sampler's step.
        rewards: float64 [P], before anything was drawn.
        weights: float64 [P], what was drawn by, or would have been; they sum to 1.
        effective_size: 1/Σw².
        ancestors: int64 [P]; 0, 1, 2, … where nothing was drawn.
        is_drawn: whether anything was drawn.
        is_saturated: whether potentials were so great that weights formed without logarithms and cut
            off at 1e10 would not have been these: the scale is too great for the rewards.
    """

    index: int
    rewards: Doubles
    weights: Doubles
    effective_size: float
    ancestors: Ancestors
    is_drawn: bool
    is_saturated: bool


class FeynmanKac:
    """Particles' weights over a sampler's steps 0…steps − 1; the sampler itself stays with the caller.

    >>> steering = FeynmanKac(particles=4, steps=100)
    >>> for index in range(100):
    ...     latents, predicted = step(latents, index)
    ...     if steering.is_due(index):
    ...         latents = latents[steering.update(index, reward(predicted))]

    Args:
        potential: ``"diff"``, ``"max"``, ``"add"`` or ``"rt"``.
        scale: how strongly rewards count (λ).
        start, stop, every: looks at steps start, start + every, … up to stop, and at the last step.
        adaptive: draws only when the effective size is below ``threshold`` · P, as at the last step.
        method: of ``resample``.
    """

    def __init__(
        self,
        particles: int,
        steps: int,
        *,
        potential: str = "diff",
        scale: float = 10.0,
        start: int = 5,
        stop: int = 30,
        every: int = 5,
        adaptive: bool = False,
        threshold: float = 0.5,
        method: str = "multinomial",
        seed: int = 0,
    ) -> None:
        self.count = whole(particles, "particles", range(1, 1 << 31))
        self.steps = whole(steps, "steps", range(1, 1 << 31))
        if potential not in POTENTIALS:
            raise ArgumentError(f"potential: expected one of {POTENTIALS}, found {potential!r}")
        if method not in METHODS:
            raise ArgumentError(f"method: expected one of {METHODS}, found {method!r}")
        if not np.isfinite(scale):
            raise ArgumentError(f"scale: expected a finite number, found {scale}")
        self._potential = potential
        self._scale = float(scale)
        self._due = set(range(start, stop + 1, whole(every, "every", range(1, 1 << 31))))
        self._due = {index for index in self._due if 0 <= index < steps} | {steps - 1}
        self._adaptive = adaptive
        self._threshold = float(threshold)
        self._method = method
        self._rng = np.random.default_rng(seed)
        self._last = -1
        #: log weights of the particles since anything was drawn.
        self.log_weights: Doubles = np.zeros(self.count)
        #: The statistic of each particle's way, and the logarithm of its potentials' product.
        self._statistic: Doubles | None = None
        self._product: Doubles = np.zeros(self.count)
        #: What happened at each look.
        self.history: list[Resampling] = []

    def is_due(self, index: int) -> bool:
        """Whether the particles are looked at after a step."""
        return index in self._due

    def update(self, index: int, rewards: ArrayLike) -> Ancestors:
        """Takes the rewards of the particles' predicted images after a step.

        Args:
            index: the step; it rises from look to look.
            rewards: [P], greater for better; a particle whose reward is NaN is not drawn.

        Returns:
            For each new particle the number of the old one that it continues.
        """
        if not self._last < index < self.steps:
            raise ArgumentError(
                f"index: expected {self._last + 1}…{self.steps - 1}, rising, found {index}"
            )
        self._last = index
        values = scores_of(rewards, self.count)
        is_last = index == self.steps - 1
        logs = self._log_potentials(values, is_last)
        is_saturated = bool(np.any(logs > _LINEAR_LIMIT))
        self.log_weights = self.log_weights + logs
        self._product += np.where(np.isfinite(logs), logs, 0.0)
        weights, size = normalized(self.log_weights), effective_size(self.log_weights)
        ancestors: Ancestors = np.arange(self.count)
        is_drawn = size < self._threshold * self.count or not (self._adaptive or is_last)
        if is_drawn:
            ancestors = resample(self.log_weights, method=self._method, rng=self._rng)
            self.log_weights = np.zeros(self.count)
            self._product = self._product[ancestors]
            if self._statistic is not None:
                self._statistic = self._statistic[ancestors]
        self.history.append(
            Resampling(index, values, weights, size, ancestors, is_drawn, is_saturated)
        )
        return ancestors

    def _log_potentials(self, rewards: Doubles, is_last: bool) -> Doubles:
        known = np.isfinite(rewards)
        if not known.any():
            return np.zeros(self.count)  # nothing is known of any: nothing changes
        before = self._statistic
        values = np.where(known, rewards, 0.0)
        if before is None:
            # The first look of "diff" compares with 0: the same for all particles.
            before = np.full(self.count, -np.inf if self._potential == "max" else 0.0)
        if self._potential == "max":
            statistic = np.maximum(values, before)
        elif self._potential == "add":
            statistic = values + before
        else:
            statistic = values
        logs = self._scale * (statistic - before if self._potential == "diff" else statistic)
        if is_last and self._potential != "diff":
            logs = logs - self._product
        self._statistic = np.where(known, statistic, before)
        return np.where(known, logs, -np.inf)


@dataclass(frozen=True)
class Steered:
    """Particles at the end of a steered run.

    Attributes:
        particles: what the sampler made, [P] of them.
        rewards: float64 [P], those of the last look, of the particles as they are now.
        weights: float64 [P]; all the same where the last look drew.
        history: the looks.
    """

    particles: Any
    rewards: Doubles
    weights: Doubles
    history: tuple[Resampling, ...]

    @property
    def best(self) -> int:
        """The number of the particle with the greatest reward."""
        return int(np.nanargmax(self.rewards))


def feynman_kac(
    advance: Callable[[Any, int], tuple[Any, Any]],
    reward: Callable[[Any], ArrayLike],
    particles: Any,
    steps: int,
    **options: Any,
) -> Steered:
    """Runs a sampler on particles that are drawn anew by their rewards on the way.

    Args:
        advance: particles and the step's number to the particles after it and their predicted images.
        reward: P images to P rewards, greater for better.
        particles: the sampler's noises, anything with a length that takes an integer array as an index
            (numpy, torch), or a list.
        options: of ``FeynmanKac``.
    """
    steering = FeynmanKac(len(particles), steps, **options)
    for index in range(steps):
        particles, predicted = advance(particles, index)
        if steering.is_due(index):
            ancestors = steering.update(index, reward(predicted))
            particles = selected(particles, ancestors)
    last = steering.history[-1]
    return Steered(
        particles,
        last.rewards[last.ancestors],
        normalized(steering.log_weights),
        tuple(steering.history),
    )


def selected(particles: Any, ancestors: Ancestors) -> Any:
    """The particles that are copies of those with the given numbers."""
    if isinstance(particles, (list, tuple)):
        return [particles[index] for index in ancestors]
    return particles[ancestors]
