"""Seeded pictures: coloured shapes on grounds, and one large photograph-like file."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def shapes(count: int, size: int) -> list[Image.Image]:
    """RGB pictures of one to four ellipses, boxes and triangles."""
    generator = random.Random(7)

    def colour() -> tuple[int, int, int]:
        return generator.randrange(256), generator.randrange(256), generator.randrange(256)

    found = []
    for _ in range(count):
        image = Image.new("RGB", (size, size), colour())
        draw = ImageDraw.Draw(image)
        for _ in range(generator.randint(1, 4)):
            x, y = generator.randrange(size), generator.randrange(size)
            reach = generator.randint(size // 8, size // 2)
            box = (x - reach, y - reach, x + reach, y + reach)
            kind = generator.randrange(3)
            if kind == 0:
                draw.ellipse(box, fill=colour())
            elif kind == 1:
                draw.rectangle(box, fill=colour())
            else:
                draw.polygon([(x, y - reach), (x - reach, y + reach), (x + reach, y + reach)],
                             fill=colour())
        found.append(image)
    return found


def photograph(path: Path, size: int = 1024) -> Path:
    """A PNG of smooth colours with film grain, which compresses about as a photograph does."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (size // 32, size // 32, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    grain = generator.integers(-4, 5, (size, size, 3))
    pixels = np.clip(np.asarray(smooth).astype(int) + grain, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
