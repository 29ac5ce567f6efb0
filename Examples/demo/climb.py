"""Gradient ascent on pixels with nothing but the daemon's gradients and numpy.

The picture is a sum of grids of several sizes, each enlarged to the whole: fine detail costs as
much as broad form, so what arises is smooth instead of speckled. Each step looks at the picture
through a few random shifts and a little noise, which keeps it from fitting one pixel grid, and
Adam takes the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from guidanced import Client

SIDE = 96
GRIDS = (3, 6, 12, 24, 48, 96)
VIEWS = 2
SMOOTHNESS = 0.6


@dataclass
class Climb:
    """One ascent: its prompt, its scores at each step, and some of its pictures [H, W, 3] bytes."""

    prompt: str
    start: str
    scores: list[float] = field(default_factory=list)
    frames: list[tuple[int, np.ndarray]] = field(default_factory=list)


def enlarge(grid: np.ndarray, side: int) -> np.ndarray:
    """[…, n, n] to […, side, side], each cell a block of side / n pixels."""
    return grid.repeat(side // grid.shape[-1], -2).repeat(side // grid.shape[-1], -1)


def reduce(pixels: np.ndarray, n: int) -> np.ndarray:
    """The transpose of ``enlarge``: the sums over the blocks."""
    block = pixels.shape[-1] // n
    return pixels.reshape(*pixels.shape[:-2], n, block, n, block).sum((-3, -1))


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
    grids = [np.zeros((count, 3, n, n), np.float32) for n in GRIDS]
    first = [np.zeros_like(grid) for grid in grids]
    second = [np.zeros_like(grid) for grid in grids]
    climbs = [Climb(prompt, start) for prompt, start in goals]
    prompts = [prompt for prompt, _ in goals]
    kept = {round(steps * part) for part in (0, 0.06, 0.15, 0.3, 0.55, 1)}

    for step in range(steps + 1):
        # The noise of the start fades, so that it is a start and not a lasting disturbance.
        fade = max(0.0, 1 - step / (0.5 * steps))
        start = 0.5 + (base - 0.5) * fade
        picture = start + blur(sum(enlarge(grid, SIDE) for grid in grids))
        shown = picture.clip(0, 1)
        for entry, score in zip(climbs, client.score(shown, prompts, pairwise=True)):
            entry.scores.append(float(score))
        if step in kept:
            for entry, pixels in zip(climbs, shown):
                entry.frames.append((step, as_bytes(pixels)))
        if step == steps:
            break

        shifts = rng.integers(-6, 7, (VIEWS, 2))
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
        slope = blur(slope + SMOOTHNESS * variation_gradient(picture))
        rate = 0.022 * (1 - 0.8 * step / steps)
        for grid, mean, square in zip(grids, first, second):
            part = reduce(slope, grid.shape[-1])
            mean += 0.1 * (part - mean)
            square += 0.01 * (part * part - square)
            correction = np.sqrt(1 - 0.99 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            grid -= rate * correction * mean / (np.sqrt(square) + 1e-6)
    return climbs


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    """float [3, H, W] in 0–1 to uint8 [H, W, 3]."""
    return (pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
