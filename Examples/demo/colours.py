"""Colours and heat maps."""

from __future__ import annotations

import numpy as np
from PIL import Image

_STOPS = np.array(
    [[10, 8, 30], [70, 15, 105], [165, 45, 95], [238, 105, 40], [252, 190, 60], [255, 252, 215]],
    np.float32,
)
"""From cold to hot, in equal steps of lightness."""

LINES = ["#e4572e", "#2e86ab", "#f2a541", "#5b8c5a"]
"""One colour a curve."""


def heat_colours(values: np.ndarray) -> np.ndarray:
    """float [H, W] in 0–1 to colours [H, W, 3] in 0–255."""
    place = values.clip(0, 1) * (len(_STOPS) - 1)
    low = np.minimum(place.astype(int), len(_STOPS) - 2)
    part = (place - low)[..., None]
    return _STOPS[low] * (1 - part) + _STOPS[low + 1] * part


def heat_over(picture: np.ndarray, heat: np.ndarray) -> Image.Image:
    """A heat map [H, W] in 0–1 laid over a greyed picture [H, W, 3] bytes."""
    grey = picture.mean(-1, keepdims=True) * 0.55 + 40
    strength = (0.25 + 0.75 * heat.clip(0, 1) ** 0.7)[..., None]
    mixed = grey * (1 - strength) + heat_colours(heat) * strength
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
