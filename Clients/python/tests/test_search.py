"""Search over noises and paths, regularisers and judges, against their written-out definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import Request, reply
from guidanced import Client, search

RNG = np.random.default_rng(2)
SHAPE = (2, 3)


def sample(noises: np.ndarray) -> list[np.ndarray]:
    return list(noises * 2)


def score(images: list[np.ndarray]) -> np.ndarray:
    """Best near 1 everywhere."""
    return -np.array([((image / 2 - 1) ** 2).sum() for image in images])


def all_noises(seed: int, counts: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, *SHAPE)).astype(np.float32) for count in counts]


@pytest.mark.parametrize("batch", [None, 1, 3, 100])
def test_best_of_n_is_the_best_of_n(batch: int | None) -> None:
    found = search.best_of_n(sample, score, SHAPE, 10, keep=3, batch=batch, seed=4)
    (noises,) = all_noises(4, [10])
    scores = score(sample(noises))
    order = np.argsort(-scores, kind="stable")[:3]
    assert [c.score for c in found.candidates] == scores[order].tolist()
    for candidate, index in zip(found.candidates, order):
        assert np.array_equal(candidate.noise, noises[index])
        assert np.array_equal(candidate.image, noises[index] * 2)
    assert found.best is found.candidates[0] and found.evaluations == 10
    assert np.array_equal(found.scores[0], scores)


def test_random_search_draws_twice_as_many_each_round_and_all_anew() -> None:
    found = search.random_search(sample, score, SHAPE, rounds=4, seed=4)
    rounds = all_noises(4, [1, 2, 4, 8])
    assert [len(scores) for scores in found.scores] == [1, 2, 4, 8]
    scores = [score(sample(noises)) for noises in rounds]
    assert found.best.score == max(s.max() for s in scores)
    assert found.best.round == int(np.argmax([s.max() for s in scores]))
    assert len(np.unique(np.concatenate(rounds)[:, 0, 0])) == 15


def test_ties_go_to_the_first_and_candidates_without_a_score_are_left_out() -> None:
    noises: list[np.ndarray] = []

    def remembering(batch: np.ndarray) -> list[np.ndarray]:
        noises.extend(batch)
        return list(batch)

    values = iter([[1.0, np.nan, 1.0, 0.5]])
    found = search.best_of_n(remembering, lambda images: next(values), SHAPE, 4, keep=4)
    assert [c.score for c in found.candidates] == [1.0, 1.0, 0.5]
    assert np.array_equal(found.best.noise, noises[0])
    with pytest.raises(guidanced.ArgumentError, match="NaN"):
        search.best_of_n(sample, lambda images: [np.nan] * len(images), SHAPE, 3)


@pytest.mark.parametrize("cosine", [0.95, 0.0, -0.5, 1.0])
def test_neighbours_are_at_the_angle_and_as_long(cosine: float) -> None:
    noise = RNG.standard_normal((4, 5, 5)).astype(np.float32)
    found = search.neighbours(noise, 50, cosine, np.random.default_rng(0)).reshape(50, -1)
    flat = noise.ravel()
    length = np.linalg.norm(flat)
    assert np.allclose(np.linalg.norm(found, axis=1), length, rtol=1e-5)
    assert np.allclose(found @ flat / length**2, cosine, atol=1e-5)
    if abs(cosine) < 1:
        # The directions have no side: their mean is short.
        sideways = found - cosine * flat
        assert np.linalg.norm(sideways.mean(0)) < 0.3 * np.linalg.norm(sideways, axis=1).mean()


def test_zero_order_search_moves_to_better_neighbours_and_starts_anew_where_there_are_none() -> None:
    found = search.zero_order(sample, score, SHAPE, rounds=6, count=5, cosine=0.9, seed=3)
    rng = np.random.default_rng(3)
    best, base, evaluations = -math.inf, None, 0
    for _ in range(6):
        if base is None:
            base = rng.standard_normal((1, *SHAPE)).astype(np.float32)[0]
            base_score = float(score(sample(base[None]))[0])
            best, evaluations = max(best, base_score), evaluations + 1
        around = search.neighbours(base, 5, 0.9, rng)
        scores = score(sample(around))
        evaluations += 5
        best = max(best, float(scores.max()))
        if scores.max() > base_score:
            base, base_score = around[int(scores.argmax())], float(scores.max())
        else:
            base = None
    assert found.best.score == best and found.evaluations == evaluations


def test_zero_order_search_begins_where_it_is_told_and_climbs() -> None:
    start = np.zeros(SHAPE, np.float32) + np.float32([[1, -1, 1], [1, 1, 1]])
    found = search.zero_order(sample, score, SHAPE, rounds=30, count=8, start=start, seed=1)
    assert found.scores[0][0] == score(sample(start[None]))[0]
    assert found.best.score > found.scores[0][0] + 1
    with pytest.raises(guidanced.ArgumentError, match="start"):
        search.zero_order(sample, score, SHAPE, start=np.zeros(5, np.float32))


def test_paths_keep_the_best_of_every_stage() -> None:
    trace: list[tuple[float, float, int]] = []

    def denoise(latents: np.ndarray, level: float, lower: float) -> np.ndarray:
        trace.append((level, lower, len(latents)))
        # A sampler that shrinks a latent in proportion to its noise.
        return latents * np.float32((lower + 1) / (level + 1))

    levels: list[float] = []

    def predict(latents: np.ndarray, level: float) -> list[np.ndarray]:
        levels.append(level)
        return list(latents * 2)

    found = search.paths(
        denoise, predict, score, SHAPE,
        top=10.0, start=6.0, forward=1.0, backward=3.0, count=2, branches=4, keep=2, seed=5,
    )
    assert trace == [(10.0, 6.0, 2), (7.0, 4.0, 8), (5.0, 2.0, 8), (3.0, 0.0, 8)]
    assert levels == [4.0, 2.0, 0.0]
    # The same by hand.
    rng = np.random.default_rng(5)
    latents = rng.standard_normal((2, *SHAPE)).astype(np.float32) * np.float32(10)
    latents = latents * np.float32(7 / 11)
    for level, higher, lower in ((6, 7, 4), (4, 5, 2), (2, 3, 0)):
        tried = np.repeat(latents, 4, axis=0)
        noise = rng.standard_normal(tried.shape)
        tried = (tried + math.sqrt(higher**2 - level**2) * noise).astype(np.float32)
        tried = tried * np.float32((lower + 1) / (higher + 1))
        scores = score(list(tried * 2))
        latents = tried[np.argsort(-scores, kind="stable")[:2]]
    assert np.array_equal(np.stack([c.noise for c in found.candidates]), latents)
    assert found.best.score == scores.max() and found.best.round == 2
    assert found.evaluations == 24


def test_paths_refuse_steps_that_lead_nowhere() -> None:
    for wrong in ({"backward": 1.0}, {"start": 11.0}, {"start": 0.0}, {"forward": 0.0}, {"count": 0}):
        options = {"top": 10.0, "start": 6.0, "forward": 1.0, "backward": 3.0, **wrong}
        with pytest.raises(guidanced.ArgumentError):
            search.paths(lambda x, a, b: x, lambda x, a: x, score, SHAPE, **options)


def test_searches_name_what_does_not_fit() -> None:
    with pytest.raises(guidanced.ArgumentError, match="2 images for 3"):
        search.best_of_n(lambda noises: list(noises)[:2], score, SHAPE, 3)
    with pytest.raises(guidanced.ArgumentError, match="3 scores"):
        search.best_of_n(sample, lambda images: [1.0], SHAPE, 3)
    with pytest.raises(guidanced.ArgumentError, match="keep"):
        search.best_of_n(sample, score, SHAPE, 3, keep=0)


# Regularisers ---------------------------------------------------------------------------------------


def slope(value: Any, at: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """Central differences of a function of a noise, in float64."""
    flat = at.astype(np.float64).ravel()
    found = np.zeros_like(flat)
    for index in range(flat.size):
        for sign in (1, -1):
            moved = flat.copy()
            moved[index] += sign * step
            found[index] += sign * value(moved.reshape(at.shape)) / (2 * step)
    return found.reshape(at.shape)


def test_renos_regulariser_and_its_gradient() -> None:
    noise = RNG.standard_normal((3, 4)) * 1.7
    value, gradient = search.reno_regularizer(noise)
    length = np.linalg.norm(noise)
    assert value == pytest.approx(length**2 / 2 - 11 * math.log(length), rel=1e-12)
    assert np.allclose(gradient, slope(lambda z: search.reno_regularizer(z)[0], noise), atol=1e-6)
    resting = noise * (math.sqrt(11) / length)
    assert np.abs(search.reno_regularizer(resting)[1]).max() < 1e-6
    with pytest.raises(guidanced.ArgumentError):
        search.reno_regularizer(np.zeros(4, np.float32))


def dno_of(flat: np.ndarray, columns: int) -> float:
    """The published formula for numbers in one order, written out."""
    rows = flat.reshape(-1, columns)
    n = len(rows)
    mean = rows.mean(0)
    first = min(-n * (mean**2).sum() / 2 / columns, -math.log(2))
    spread = np.linalg.norm(rows.T @ rows / n - np.eye(columns), ord=2)
    excess = max(math.sqrt(1 + spread) - 1 - math.sqrt(columns / n), 0)
    second = min(-n * excess**2 / 2, -math.log(2))
    return -(first + second)


@pytest.mark.parametrize("noise", [
    RNG.standard_normal(400) + 0.9,
    RNG.standard_normal(400) * 1.8,
    RNG.standard_normal(400) * 0.05,
    np.repeat(RNG.standard_normal(100), 4) * 1.2,
])
def test_dnos_regulariser_and_its_gradient(noise: np.ndarray) -> None:
    value, gradient = search.dno_regularizer(noise, permutations=3, seed=8)
    rng = np.random.default_rng(8)
    expected = dno_of(noise, 4)
    for _ in range(3):
        expected += dno_of(noise[rng.permutation(400)], 4) / 3
    assert value == pytest.approx(expected, rel=1e-9)
    exact = slope(lambda z: search.dno_regularizer(z, permutations=3, seed=8)[0], noise)
    assert np.allclose(gradient, exact, atol=1e-4 * max(1, np.abs(exact).max()))
    assert np.abs(exact).max() > 0


def test_a_good_noise_is_left_alone() -> None:
    noise = np.random.default_rng(1).standard_normal((4, 64, 64))
    value, gradient = search.dno_regularizer(noise)
    # A bound of 1 / 2 is passed now and then among a hundred orders.
    assert 4 * math.log(2) <= value < 4 * math.log(2) + 0.3
    assert np.linalg.norm(gradient) < 0.3
    worse, its_gradient = search.dno_regularizer(noise * 1.1)
    assert worse > 20 and np.linalg.norm(its_gradient) > 1
    assert gradient.shape == noise.shape and gradient.dtype == np.float32
    with pytest.raises(guidanced.ArgumentError, match="multiple of 4"):
        search.dno_regularizer(np.zeros(10, np.float32))


def test_a_direction_of_scores_alone_is_that_of_the_gradient() -> None:
    image = RNG.standard_normal((6, 6))
    target = RNG.standard_normal((6, 6))

    def loss(x: np.ndarray) -> float:
        return float(((x - target) ** 2).sum())

    perturbed = image + 0.01 * RNG.standard_normal((4000, 6, 6))
    losses = np.array([loss(x) for x in perturbed])
    found = search.zeroth_order_direction(image, loss(image), perturbed, losses)
    exact = (image - target) / np.linalg.norm(image - target)
    assert float((found * exact).sum()) / np.linalg.norm(found) > 0.98
    raw = np.mean([(value - loss(image)) * (x - image) for value, x in zip(losses, perturbed)], 0)
    assert np.allclose(found, raw / (np.linalg.norm(raw) + 1e-3), atol=1e-6)
    losses[7] = np.nan
    assert np.isfinite(search.zeroth_order_direction(image, loss(image), perturbed, losses)).all()
    none = search.zeroth_order_direction(image, 0.0, perturbed[:2], [np.nan, np.nan])
    assert not none.any()
    with pytest.raises(guidanced.ArgumentError):
        search.zeroth_order_direction(image, 0.0, perturbed[:2], [1.0])


def test_lengths_are_kept_and_clipped() -> None:
    noise = RNG.standard_normal((3, 5)).astype(np.float32)
    assert np.linalg.norm(search.renormalized(noise * 7, 2.5)) == pytest.approx(2.5, rel=1e-6)
    assert np.array_equal(search.clipped(noise, 1e3), noise)
    short = search.clipped(noise, 0.1)
    assert np.linalg.norm(short) == pytest.approx(0.1, rel=1e-6)
    assert np.allclose(short / np.linalg.norm(short), noise / np.linalg.norm(noise), atol=1e-6)


# Judges ---------------------------------------------------------------------------------------------


def test_ranks_of_several_judges_are_averaged() -> None:
    scores = [[0.1, 0.9, 0.5, 0.5], [30.0, 10.0, np.nan, 20.0]]
    assert search.mean_ranks(scores).tolist() == [2.5, 2.0, 3.0, 2.5]
    assert search.mean_ranks([[2.0, 2.0, 2.0]]).tolist() == [1, 2, 3]
    with pytest.raises(guidanced.ArgumentError):
        search.mean_ranks([1.0, 2.0])


def test_a_client_judges_and_images_that_fail_are_never_chosen(daemon) -> None:
    def handler(request: Request) -> Any:
        values = [float(image.mean()) for array in request.arrays() for image in array]
        return [reply(request, {}, {"scores": np.array(values)[:, None]})]

    def making(noises: np.ndarray) -> list[Any]:
        images: list[Any] = [np.full((3, 4, 4), noise.mean(), np.float32) for noise in noises]
        images[0] = "/nonexistent.png"
        return images

    fake = daemon(handler)
    with Client(fake.endpoint) as g:
        judge = search.scorer(g, "a cat", metric="logit")
        found = search.best_of_n(making, judge, SHAPE, 6, keep=6, seed=2)
    (noises,) = all_noises(2, [6])
    means = noises.mean(axis=(1, 2))
    expected = sorted(means[1:], reverse=True)
    assert np.allclose([c.score for c in found.candidates], expected)
    assert np.isnan(found.scores[0][0])
    assert fake.requests[0].params["metric"] == "logit"
