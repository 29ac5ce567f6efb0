"""Tempered sequential Monte Carlo with proposals along a gradient (DAS, arXiv 2501.05803).

The target at step i is the sampler's distribution times exp(λᵢ · r(x̂0)/α), where λ rises to 1 over the
steps. Particles are proposed a little up the reward's gradient; their weights make up for that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arguments import whole
from ..errors import ArgumentError
from ..results import FloatArray
from .candidates import scores_of
from .noise import Doubles
from .weights import METHODS, Ancestors, effective_size, normalized, resample


def exponential_temperatures(steps: int, rate: float = 0.008) -> Doubles:
    """λᵢ = min((1 + rate)ⁱ − 1, 1) for i = 0, 1, …; with 0.008 it is 1 from step 87 on."""
    rising: Doubles = (1 + rate) ** np.arange(whole(steps, "steps"), dtype=np.float64) - 1
    return np.minimum(rising, 1.0)


def power_temperatures(steps: int, rate: float = 0.008, power: float = 1.0) -> Doubles:
    """λᵢ = min((rate · i)^power, 1) for i = 0, 1, …"""
    rising: Doubles = (rate * np.arange(whole(steps, "steps"), dtype=np.float64)) ** power
    return np.minimum(rising, 1.0)


def adaptive_temperature(
    current: float, log_twists: ArrayLike, log_weights: ArrayLike, target: float = 0.5
) -> float:
    """The greatest λ above the current one at which the effective size is ``target`` · P at least.

    Args:
        log_twists: r(x̂0)/α of each particle.
        log_weights: those that the particles have at the current λ.
    """
    twists = np.nan_to_num(np.asarray(log_twists, np.float64), nan=0.0)
    logs = np.asarray(log_weights, np.float64)
    least = target * logs.size

    def size(temperature: float) -> float:
        return effective_size(logs + (temperature - current) * twists)

    if current >= 1 or size(1.0) >= least:
        return 1.0
    low, high = current, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) >= least else (low, middle)
    return low


def tempered_proposal(
    mean: FloatArray,
    sigma: float,
    gradient: FloatArray,
    temperature: float,
    alpha: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, Doubles]:
    """Particles drawn around the sampler's mean moved up the reward's gradient.

    Args:
        mean: [P, …], where the sampler's step would be without its noise.
        sigma: of the step's noise.
        gradient: [P, …], d r/d x of the reward of x̂0.
        temperature: the λ of the step that is being made.
        alpha: how much the reward counts against the sampler (aesthetic 0.005, CLIP 0.01).

    Returns:
        The particles mean + σ²·λ·∇r/α + σ·ε, and log p(sampler) − log p(proposal) of each. Without noise
        (the last step) the mean itself, and 0.
    """
    if not alpha > 0:
        raise ArgumentError(f"alpha: expected above 0, found {alpha}")
    if sigma <= 0:
        return np.array(mean, dtype=np.float32), np.zeros(len(mean))
    axes = tuple(range(1, np.ndim(mean)))
    shift = sigma**2 * temperature / alpha * np.asarray(gradient, np.float64)
    noise = sigma * rng.standard_normal(np.shape(mean))
    moved = shift + noise
    ratio = (np.sum(noise**2, axis=axes) - np.sum(moved**2, axis=axes)) / (2 * sigma**2)
    return (np.asarray(mean, np.float64) + moved).astype(np.float32), ratio


class TemperedSMC:
    """The weights of particles under a rising temperature.

    Args:
        alpha: as ``tempered_proposal``'s.
        threshold: particles are drawn anew when the effective size is below so many times P.
    """

    def __init__(
        self,
        particles: int,
        alpha: float,
        *,
        threshold: float = 0.5,
        method: str = "ssp",
        seed: int = 0,
    ) -> None:
        if not alpha > 0:
            raise ArgumentError(f"alpha: expected above 0, found {alpha}")
        if method not in METHODS:
            raise ArgumentError(f"method: expected one of {METHODS}, found {method!r}")
        self.count = whole(particles, "particles", range(1, 1 << 31))
        self._alpha = float(alpha)
        self._threshold = float(threshold)
        self._method = method
        self._rng = np.random.default_rng(seed)
        self.log_weights: Doubles = np.full(self.count, -np.log(self.count))
        self._twists: Doubles = np.zeros(self.count)

    def update(
        self, rewards: ArrayLike, temperature: float, log_ratios: ArrayLike | None = None
    ) -> Ancestors:
        """Takes the rewards of the particles' predicted images after a step.

        log w += log p(sampler) − log p(proposal) + log ψ − log ψ before, with log ψ = λ·r/α; a reward that
        is NaN has log ψ = 0.

        Args:
            temperature: the λ of this step.
            log_ratios: [P], of ``tempered_proposal``; 0 for particles that the sampler moved itself.

        Returns:
            For each new particle the number of the old one that it continues.
        """
        values = scores_of(rewards, self.count)
        twists = np.nan_to_num(temperature * values / self._alpha, nan=0.0)
        ratios = np.zeros(self.count) if log_ratios is None else np.asarray(log_ratios, np.float64)
        self.log_weights = self.log_weights + ratios + twists - self._twists
        ancestors: Ancestors = np.arange(self.count)
        if effective_size(self.log_weights) < self._threshold * self.count:
            ancestors = resample(self.log_weights, method=self._method, rng=self._rng)
            self.log_weights = np.full(self.count, -np.log(self.count))
        self._twists = twists[ancestors]
        return ancestors

    @property
    def weights(self) -> Doubles:
        """The particles' weights; they sum to 1."""
        return normalized(self.log_weights)

    @property
    def best(self) -> int:
        """The number of the particle with the greatest weight."""
        return int(np.argmax(self.weights))
