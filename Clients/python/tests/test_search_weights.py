"""Weights of particles and the ways to draw by them, against their written-out definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

import guidanced
from guidanced import search
from guidanced.search.weights import METHODS

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("shift", [0.0, 700.0, -700.0, 1e6, -1e6])
def test_weights_of_any_size_are_those_of_small_ones(shift: float) -> None:
    logs = RNG.normal(0, 3, 9)
    plain = np.exp(logs) / np.exp(logs).sum()
    assert np.allclose(search.normalized(logs + shift), plain, rtol=1e-9)
    assert math.isclose(search.effective_size(logs + shift), 1 / (plain**2).sum(), rel_tol=1e-9)


@pytest.mark.parametrize(
    ("logs", "weights"),
    [
        ([0.0, -np.inf], [1, 0]),
        ([np.nan, 3.0, 3.0], [0, 0.5, 0.5]),
        ([-np.inf, np.nan], [0.5, 0.5]),
        ([np.inf, 5.0, np.inf], [0.5, 0, 0.5]),
        ([-1e308, -1e308], [0.5, 0.5]),
    ],
)
def test_weights_at_the_edges(logs: list[float], weights: list[float]) -> None:
    assert search.normalized(logs).tolist() == weights


def test_effective_sizes_reach_from_one_to_all() -> None:
    assert search.effective_size([3.0] * 7) == pytest.approx(7)
    assert search.effective_size([0.0] + [-1e4] * 6) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "weights",
    [[0.25] * 4, [0.1, 0.2, 0.3, 0.4], [0.97, 0.01, 0.01, 0.01], [0.5, 0, 0.5, 0], [0, 0, 1, 0]],
)
@pytest.mark.parametrize("count", [4, 1, 9])
def test_each_particle_is_drawn_as_often_as_its_weight_says(
    method: str, weights: list[float], count: int
) -> None:
    rng = np.random.default_rng(11)
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    tries = 1500
    copies = np.array(
        [
            np.bincount(
                search.resample(logs, method=method, count=count, rng=rng), minlength=len(weights)
            )
            for _ in range(tries)
        ]
    )
    assert (copies.sum(axis=1) == count).all()
    assert (copies[:, np.array(weights) == 0] == 0).all()
    expected = np.array(weights) * count
    # Five standard errors of the mean; a count varies by its binomial deviation at most.
    slack = 5 * np.sqrt(expected * (1 - np.array(weights)) / tries) + 1e-9
    assert (np.abs(copies.mean(axis=0) - expected) <= slack).all()
    if method in ("systematic", "ssp"):
        assert (copies >= np.floor(expected - 1e-9)).all()
        assert (copies <= np.ceil(expected + 1e-9)).all()
    if method == "residual":
        assert (copies >= np.floor(expected - 1e-9)).all()


def test_resampling_ssp_is_negatively_associated() -> None:
    # Particle 0 gets its extra copy when others do not: a systematic draw lacks this in general.
    rng = np.random.default_rng(3)
    logs = np.log([0.3, 0.3, 0.15, 0.25])
    copies = np.array(
        [
            np.bincount(search.resample(logs, method="ssp", rng=rng), minlength=4)
            for _ in range(6000)
        ]
    )
    covariance = np.cov(copies.T)
    assert (covariance[~np.eye(4, dtype=bool)] < 0.02).all()


def test_the_same_generator_gives_the_same_draw() -> None:
    logs = RNG.normal(size=20)
    for method in METHODS:
        first = search.resample(logs, method=method, rng=np.random.default_rng(7))
        again = search.resample(logs, method=method, rng=np.random.default_rng(7))
        assert np.array_equal(first, again)


def test_mistakes_are_named() -> None:
    for call in (
        lambda: search.resample([0.0], method="roulette"),
        lambda: search.normalized([]),
        lambda: search.normalized([[0.0]]),
        lambda: search.resample([0.0], count=0),
    ):
        with pytest.raises(guidanced.ArgumentError):
            call()


def linear_step(rewards, before, product, scale, potential, is_last):
    """One look of the published code, in linear space, where nothing is cut off."""
    statistic = rewards
    if potential == "max":
        statistic = np.maximum(rewards, before)
    elif potential == "add":
        statistic = rewards + before
    weights = np.exp(scale * (statistic - before if potential == "diff" else statistic))
    if is_last and potential != "diff":
        weights = np.exp(scale * statistic) / product
    return weights, statistic


@pytest.mark.parametrize("potential", ["diff", "max", "add", "rt"])
def test_steering_draws_by_the_published_weights(potential: str) -> None:
    particles, steps, scale = 6, 12, 2.0
    rewards = RNG.random((steps, particles))
    steering = search.FeynmanKac(
        particles, steps, potential=potential, scale=scale, start=2, stop=9, every=3, seed=4
    )
    before, product = np.zeros(particles), np.ones(particles)
    for index in range(steps):
        if not steering.is_due(index):
            continue
        is_last = index == steps - 1
        expected, statistic = linear_step(
            rewards[index], before, product, scale, potential, is_last
        )
        ancestors = steering.update(index, rewards[index])
        look = steering.history[-1]
        assert np.allclose(look.weights, expected / expected.sum(), rtol=1e-9)
        assert not look.is_saturated
        assert look.is_drawn or is_last
        before, product = statistic[ancestors], (product * expected)[ancestors]
    assert [look.index for look in steering.history] == [2, 5, 8, 11]


@pytest.mark.parametrize("potential", ["diff", "max", "add", "rt"])
def test_without_a_draw_the_weights_of_all_looks_are_those_of_the_whole_way(potential: str) -> None:
    # The trap of the published code: in its adaptive mode the weights of looks without a draw are lost.
    particles, steps, scale = 8, 10, 0.05
    rewards = RNG.random((steps, particles))
    steering = search.FeynmanKac(
        particles, steps, potential=potential, scale=scale, start=0, stop=9, every=1, adaptive=True
    )
    for index in range(steps):
        assert steering.update(index, rewards[index]).tolist() == list(range(particles))
    statistic = {
        "diff": rewards[-1], "max": rewards.max(0), "add": rewards.sum(0), "rt": rewards[-1],
    }[potential]
    expected = np.exp(scale * statistic)
    assert np.allclose(steering.history[-1].weights, expected / expected.sum(), rtol=1e-9)
    assert np.allclose(search.normalized(steering.log_weights), expected / expected.sum())
    assert not any(look.is_drawn for look in steering.history)


def test_great_rewards_do_not_saturate() -> None:
    # PickScore's are about 20; exp(10 · 20) cut off at 1e10 is the same for all.
    rewards = np.array([20.0, 20.5, 21.0, 22.0])
    steering = search.FeynmanKac(4, 50, potential="max", scale=10, start=5, stop=30, every=5)
    ancestors = steering.update(5, rewards)
    look = steering.history[0]
    assert look.is_saturated and look.weights[3] > 0.99995
    assert ancestors.tolist() == [3] * 4


def test_the_scale_zero_draws_evenly_and_never_when_adaptive() -> None:
    for potential in ("diff", "max", "add", "rt"):
        steering = search.FeynmanKac(5, 3, potential=potential, scale=0, start=0, adaptive=True)
        for index in range(3):
            if steering.is_due(index):
                assert steering.update(index, RNG.random(5)).tolist() == list(range(5))


def test_particles_without_a_reward_are_not_drawn() -> None:
    steering = search.FeynmanKac(4, 20, start=0, stop=19, every=1, scale=1)
    ancestors = steering.update(0, [0.3, np.nan, 0.5, np.nan])
    assert set(ancestors.tolist()) <= {0, 2}
    before = steering.log_weights.copy()
    assert np.isfinite(steering.history[-1].weights).all()
    steering.update(1, [np.nan] * 4)  # nothing is known: all are as good as each other
    assert np.allclose(steering.history[-1].weights, 0.25)
    assert np.array_equal(before, steering.log_weights)


@pytest.mark.parametrize("method", METHODS)
def test_steered_gaussians_have_the_tilted_mean(method: str) -> None:
    # Reward r(x) = x on N(0, 1) at scale λ: the target is N(λ, 1).
    rng = np.random.default_rng(0)
    count, steps, scale = 4000, 30, 1.0

    def advance(particles, index):
        # A random walk whose last state is N(0, 1): every step adds a part of the variance.
        moved = particles + rng.standard_normal(count) * np.sqrt(1 / steps)
        return moved, moved

    steered = search.feynman_kac(
        advance, lambda x: x, np.zeros(count), steps,
        scale=scale, start=4, stop=29, every=5, method=method, seed=2,
    )
    mean = float((steered.weights * steered.particles).sum())
    variance = float((steered.weights * (steered.particles - mean) ** 2).sum())
    assert abs(mean - scale) < 0.15 and abs(variance - 1) < 0.2
    assert steered.rewards.shape == (count,)
    assert steered.best == int(np.argmax(steered.particles))


def test_lists_and_tensors_are_particles_too() -> None:
    def advance(particles, index):
        return particles, particles

    steered = search.feynman_kac(
        advance, lambda x: [float(v) for v in x], [0.0, 5.0], 6, start=0, stop=5, every=1
    )
    assert steered.particles == [5.0, 5.0]
    torch = pytest.importorskip("torch")
    steered = search.feynman_kac(
        advance, lambda x: x.numpy(), torch.tensor([0.0, 5.0]), 6, start=0, stop=5, every=1
    )
    assert steered.particles.tolist() == [5.0, 5.0]


def test_steering_names_mistakes() -> None:
    with pytest.raises(guidanced.ArgumentError, match="potential"):
        search.FeynmanKac(4, 10, potential="min")
    with pytest.raises(guidanced.ArgumentError, match="method"):
        search.FeynmanKac(4, 10, method="best")
    with pytest.raises(guidanced.ArgumentError, match="scale"):
        search.FeynmanKac(4, 10, scale=math.nan)
    steering = search.FeynmanKac(4, 10)
    steering.update(5, [0.0] * 4)
    for index in (5, 4, 10):
        with pytest.raises(guidanced.ArgumentError, match="rising"):
            steering.update(index, [0.0] * 4)
    with pytest.raises(guidanced.ArgumentError, match="4 scores"):
        steering.update(6, [0.0] * 3)


# Tempering ------------------------------------------------------------------------------------------


def test_temperatures_rise_to_one() -> None:
    rising = search.exponential_temperatures(100)
    assert rising[0] == 0 and rising[1] == pytest.approx(0.008)
    assert rising[86] < 1 and rising[87] == 1 and rising[99] == 1
    assert search.power_temperatures(200, 0.008, 2)[50] == pytest.approx((0.008 * 50) ** 2)
    assert search.power_temperatures(200)[150] == 1


def test_an_adaptive_temperature_keeps_the_effective_size() -> None:
    twists = RNG.normal(0, 40, 50)
    logs = np.full(50, -np.log(50))
    found = search.adaptive_temperature(0.0, twists, logs, target=0.5)
    assert 0 < found < 1
    assert search.effective_size(logs + found * twists) == pytest.approx(25, abs=1e-6)
    assert search.adaptive_temperature(0.3, twists * 1e-3, logs) == 1.0
    assert search.adaptive_temperature(1.0, twists, logs) == 1.0


def test_a_proposal_and_its_ratio_are_those_of_two_normal_densities() -> None:
    mean, gradient = RNG.normal(size=(5, 3, 2)), RNG.normal(size=(5, 3, 2))
    sigma, temperature, alpha = 0.3, 0.4, 0.7
    found, ratio = search.tempered_proposal(
        mean, sigma, gradient, temperature, alpha, np.random.default_rng(9)
    )
    noise = np.random.default_rng(9).standard_normal(mean.shape)
    shifted = mean + sigma**2 * temperature * gradient / alpha
    assert np.allclose(found, shifted + sigma * noise, atol=1e-6)

    def log_density(x, centre):
        return (-((x - centre) ** 2) / (2 * sigma**2)).sum(axis=(1, 2))

    exact = shifted + sigma * noise
    assert np.allclose(ratio, log_density(exact, mean) - log_density(exact, shifted))
    still, none = search.tempered_proposal(mean, 0.0, gradient, 1, 1, np.random.default_rng(0))
    assert np.allclose(still, mean) and none.tolist() == [0] * 5


def test_tempered_weights_add_up_until_something_is_drawn() -> None:
    alpha, count = 0.5, 6
    smc = search.TemperedSMC(count, alpha, seed=1)
    temperatures = [0.0, 0.02, 0.04]
    rewards, ratios = RNG.random((3, count)), RNG.normal(0, 0.01, (3, count))
    rewards[1, 2] = np.nan
    logs, before = np.full(count, -np.log(count)), np.zeros(count)
    for step, temperature in enumerate(temperatures):
        twists = np.nan_to_num(temperature * rewards[step] / alpha)
        logs, before = logs + ratios[step] + twists - before, twists
        ancestors = smc.update(rewards[step], temperature, ratios[step])
        assert ancestors.tolist() == list(range(count))
        assert np.allclose(smc.log_weights, logs)
    assert smc.best == int(np.argmax(logs))
    ancestors = smc.update(np.array([0, 0, 0, 9.0, 0, 0]), 1.0)
    assert ancestors.tolist() == [3] * count
    assert np.allclose(smc.weights, 1 / count)


def test_tempered_gaussians_reach_their_target() -> None:
    # N(0, 1) by a random walk, reward −(x − 1)²/2 with α = 1: the target is N(0.5, 0.5).
    rng = np.random.default_rng(0)
    count, steps = 6000, 60
    temperatures = np.linspace(0, 1, steps + 1)[1:]
    smc = search.TemperedSMC(count, 1.0, seed=3)
    x = np.zeros((count, 1))
    for step in range(steps):
        gradient = -(x - 1)
        x, ratio = search.tempered_proposal(
            x, np.sqrt(1 / steps), gradient, temperatures[step], 1.0, rng
        )
        x = x[smc.update(-((x[:, 0] - 1) ** 2) / 2, temperatures[step], ratio)]
    mean = float((smc.weights * x[:, 0]).sum())
    variance = float((smc.weights * (x[:, 0] - mean) ** 2).sum())
    assert abs(mean - 0.5) < 0.06 and abs(variance - 0.5) < 0.08
