"""Gradient ascent on pixels with nothing but the daemon's gradients and numpy.

The picture is a sum of grids of several sizes, each enlarged to the whole, in colours whose
channels are as unrelated as those of photographs are: broad forms in plain colours come before
fine and gaudy detail, so what arises is smooth instead of speckled. Each step looks at the picture
through a few random shifts and a little noise, which keeps it from fitting one pixel grid, and
Adam takes the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from guidanced import Client

SIDE = 96
RATES = {3: 0.05, 6: 0.045, 12: 0.035, 24: 0.02, 48: 0.008, 96: 0.002}
"""Step sizes of the grids, by their cells a side."""
VIEWS = 2
SMOOTHNESS = 0.4
COLOURS = np.array(
    [[0.58, 0.46, 0.16], [0.58, -0.05, -0.33], [0.58, -0.46, 0.21]], np.float32
)
"""From decorrelated channels (light, warm–cold, magenta–green) to red, green, blue; the lengths are
the usual deviations in photographs (after Olah et al. 2017, doi 10.23915/distill.00007)."""


@dataclass
class Climb:
    """One ascent: its prompt, its scores at each step, and some of its pictures [H, W, 3] bytes."""

    prompt: str
    start: str
    scores: list[float] = field(default_factory=list)
    frames: list[tuple[int, np.ndarray]] = field(default_factory=list)


def enlarging(n: int, side: int) -> np.ndarray:
    """The matrix [side, n] that enlarges n samples linearly, cell centres upon cell centres."""
    places = ((np.arange(side) + 0.5) * n / side - 0.5).clip(0, n - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(n))).astype(np.float32)


def enlarge(grid: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[…, n, n] to […, side, side]."""
    return matrix @ grid @ matrix.T


def reduce(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The transpose of ``enlarge``."""
    return matrix.T @ pixels @ matrix


def to_colours(channels: np.ndarray) -> np.ndarray:
    """[N, 3, H, W] in decorrelated channels to red, green, blue."""
    return np.einsum("cd,ndhw->nchw", COLOURS, channels)


def from_colours(gradient: np.ndarray) -> np.ndarray:
    """The transpose of ``to_colours``."""
    return np.einsum("cd,nchw->ndhw", COLOURS, gradient)


def blur(pixels: np.ndarray) -> np.ndarray:
    """A binomial blur of the last two axes with edges repeated."""
    for axis in (-2, -1):
        width = [(0, 0)] * pixels.ndim
        width[axis] = (1, 1)
        wide = np.pad(pixels, width, mode="edge")
        n = pixels.shape[axis]
        take = lambda k: np.take(wide, range(k, k + n), axis)  # noqa: E731
        pixels = 0.25 * take(0) + 0.5 * take(1) + 0.25 * take(2)
    return pixels


def variation_gradient(pixels: np.ndarray) -> np.ndarray:
    """The gradient of the total variation Σ (dx² + dy²) / 2, with free edges."""
    gradient = np.zeros_like(pixels)
    for axis in (-2, -1):
        step = np.diff(pixels, axis=axis)
        low = [slice(None)] * pixels.ndim
        high = list(low)
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        gradient[tuple(low)] -= step
        gradient[tuple(high)] += step
    return gradient


def climb(
    client: Client, goals: list[tuple[str, str]], steps: int, seed: int = 1
) -> list[Climb]:
    """Ascends for several (prompt, "grey" or "noise") goals at once, one request a step."""
    rng = np.random.default_rng(seed)
    count = len(goals)
    base = np.full((count, 3, SIDE, SIDE), 0.5, np.float32)
    for index, (_, start) in enumerate(goals):
        if start == "noise":
            base[index] = rng.uniform(0.1, 0.9, base[index].shape)
    matrices = [enlarging(n, SIDE) for n in RATES]
    grids = [np.zeros((count, 3, n, n), np.float32) for n in RATES]
    first = [np.zeros_like(grid) for grid in grids]
    second = [np.zeros_like(grid) for grid in grids]
    climbs = [Climb(prompt, start) for prompt, start in goals]
    prompts = [prompt for prompt, _ in goals]
    kept = {round(steps * part) for part in (0, 0.06, 0.15, 0.3, 0.55, 1)}

    for step in range(steps + 1):
        # The noise of the start fades, so that it is a start and not a lasting disturbance.
        fade = max(0.0, 1 - step / (0.5 * steps))
        start = 0.5 + (base - 0.5) * fade
        picture = start + blur(to_colours(sum(map(enlarge, grids, matrices))))
        shown = picture.clip(0, 1)
        for entry, score in zip(climbs, client.score(shown, prompts, pairwise=True)):
            entry.scores.append(float(score))
        if step in kept:
            for entry, pixels in zip(climbs, shown):
                entry.frames.append((step, as_bytes(pixels)))
        if step == steps:
            break

        shifts = rng.integers(-4, 5, (VIEWS, 2))
        views = [
            np.roll(shown, tuple(shift), (2, 3)) + rng.normal(0, 0.04, shown.shape)
            for shift in shifts
        ]
        result = client.gradient(
            np.concatenate(views).astype(np.float32), prompts * VIEWS, loss="spherical",
            pairwise=True,
        )
        parts = np.split(np.asarray(result.gradient), VIEWS)
        slope = sum(
            np.roll(part, tuple(-shift), (2, 3)) for part, shift in zip(parts, shifts)
        ) / VIEWS
        slope /= np.sqrt((slope**2).mean((1, 2, 3), keepdims=True)) + 1e-12
        # Clipped pixels are only pulled back, never pushed further.
        outside = (picture < 0) & (slope > 0) | (picture > 1) & (slope < 0)
        slope = np.where(outside, 0, slope) + 4 * (picture - shown)
        slope = from_colours(blur(slope + SMOOTHNESS * variation_gradient(picture)))
        slow = 1 - 0.85 * step / steps
        state = zip(grids, matrices, first, second, RATES.values())
        for grid, matrix, mean, square, rate in state:
            part = reduce(slope, matrix)
            mean += 0.1 * (part - mean)
            square += 0.01 * (part * part - square)
            correction = np.sqrt(1 - 0.99 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            grid -= rate * slow * correction * mean / (np.sqrt(square) + 1e-6)
    return climbs


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    """float [3, H, W] in 0–1 to uint8 [H, W, 3]."""
    return (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
