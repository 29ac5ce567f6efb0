"""Pictures for tests, drawn apart from everything that the model was trained with.

Shapes are distance fields in numpy, emoji the font's glyphs on their own; no sizes, colours,
backgrounds or code are shared with the training renderer (``drawing.py``), and nothing here may be
used for training. Needs numpy and Pillow alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 112
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SHAPES = ("circle", "square", "triangle", "star")
COLOURS = {
    "red": (0.88, 0.10, 0.12),
    "green": (0.10, 0.62, 0.18),
    "blue": (0.08, 0.22, 0.90),
    "yellow": (0.97, 0.87, 0.05),
    "orange": (0.96, 0.52, 0.04),
    "purple": (0.50, 0.12, 0.60),
    "pink": (0.98, 0.56, 0.74),
    "black": (0.03, 0.03, 0.03),
}
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "grey": (0.55, 0.55, 0.55), "cyan": (0.2, 0.8, 0.85)}
# The second thing's direction from the first: columns, rows.
RELATIONS = {
    "to the left of": (1, 0),
    "to the right of": (-1, 0),
    "above": (0, 1),
    "below": (0, -1),
}
PLACES = {
    "in the top left corner": (-1, -1),
    "at the top": (0, -1),
    "in the top right corner": (1, -1),
    "on the left": (-1, 0),
    "in the center": (0, 0),
    "on the right": (1, 0),
    "in the bottom left corner": (-1, 1),
    "at the bottom": (0, 1),
    "in the bottom right corner": (1, 1),
}


@dataclass(frozen=True)
class Figure:
    """A coloured shape with its centre and half its extent, in fractions of the picture."""

    shape: str
    colour: str
    x: float = 0.5
    y: float = 0.5
    reach: float = 0.25

    @property
    def phrase(self) -> str:
        """What it is, with its article."""
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.colour} {self.shape}"


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A field that is positive inside the shape; ``u`` and ``v`` are -1…1 over its extent, ``v``
    downwards, and a unit of the field is about one of theirs."""
    if shape == "circle":
        return 1 - np.hypot(u, v)
    if shape == "square":
        return 0.88 - np.maximum(abs(u), abs(v))
    if shape == "triangle":
        # Equilateral, standing on its side.
        return np.minimum(0.5 - (v - 0.1), 0.5 - (abs(u) * 0.866 - (v - 0.1) * 0.5))
    if shape == "star":
        angle = np.arctan2(u, -v)
        turn = abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        radius = np.hypot(u, v)
        tip, notch = np.array([1.0, 0.0]), 0.4 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
        edge = notch - tip
        normal = np.array([edge[1], -edge[0]]) / np.hypot(*edge)
        outwards = normal * np.sign(normal @ tip)
        px, py = radius * np.cos(turn), radius * np.sin(turn)
        return (tip[0] - px) * outwards[0] + (tip[1] - py) * outwards[1]
    raise ValueError(shape)


def draw(figures: list[Figure], background: str, side: int = SIDE) -> np.ndarray:
    """The picture [side, side, 3] in bytes; later figures lie over earlier ones."""
    picture = np.ones((side, side, 3)) * BACKGROUNDS[background]
    rows, columns = (np.mgrid[0:side, 0:side] + 0.5) / side
    for f in figures:
        field = _inside(f.shape, (columns - f.x) / f.reach, (rows - f.y) / f.reach)
        # One pixel of ramp at the edge.
        cover = np.clip(field * f.reach * side + 0.5, 0, 1)[..., None]
        picture = picture * (1 - cover) + np.array(COLOURS[f.colour]) * cover
    return np.round(picture * 255).astype(np.uint8)


def single(shape: str, colour: str, rng: np.random.Generator) -> np.ndarray:
    """One figure of some size, somewhere."""
    reach = rng.uniform(0.2, 0.4)
    x, y = rng.uniform(reach, 1 - reach, 2)
    return draw([Figure(shape, colour, x, y, reach)], _behind(rng))


def placed(shape: str, colour: str, place: str, rng: np.random.Generator) -> np.ndarray:
    """One figure in one of the nine places."""
    dx, dy = PLACES[place]
    reach = rng.uniform(0.14, 0.2)
    x, y = (0.5 + d * (0.48 - reach) + rng.uniform(-0.015, 0.015) for d in (dx, dy))
    return draw([Figure(shape, colour, x, y, reach)], _behind(rng))


def pair(
    first: tuple[str, str], second: tuple[str, str], relation: str, rng: np.random.Generator
) -> np.ndarray:
    """Two figures (shape, colour), the first in the relation to the second."""
    dx, dy = RELATIONS[relation]
    apart = rng.uniform(0.22, 0.26)
    slant = rng.uniform(-0.06, 0.06)
    figures = [
        Figure(
            *thing,
            x=0.5 + sign * (dx * apart + dy * slant),
            y=0.5 + sign * (dy * apart + dx * slant),
            reach=rng.uniform(0.13, 0.2),
        )
        for thing, sign in ((first, -1), (second, 1))
    ]
    return draw(figures, _behind(rng))


def _behind(rng: np.random.Generator) -> str:
    return list(BACKGROUNDS)[int(rng.integers(len(BACKGROUNDS)))]


def two_things(rng: np.random.Generator) -> tuple[tuple[str, str], tuple[str, str]]:
    """Two coloured shapes that differ in both."""
    shapes, colours = rng.permutation(SHAPES)[:2], rng.permutation(list(COLOURS))[:2]
    return (str(shapes[0]), str(colours[0])), (str(shapes[1]), str(colours[1]))


def emoji(text: str, rng: np.random.Generator, side: int = 160) -> np.ndarray:
    """An emoji near the middle of a white or light picture [side, side, 3], as a web page has it."""
    font = ImageFont.truetype(str(FONT), 109)
    glyph = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(glyph).text((30, 30), text, font=font, embedded_color=True)
    box = glyph.getbbox()
    if box is None:
        raise ValueError(f"no glyph for {text!r}")
    glyph = glyph.crop(box)
    share = rng.uniform(0.6, 0.9) * side / max(glyph.size)
    glyph = glyph.resize(
        (round(glyph.width * share), round(glyph.height * share)), Image.Resampling.LANCZOS
    )
    paper = tuple(int(v) for v in rng.integers(225, 256, 3))
    page = Image.new("RGB", (side, side), paper)
    left, top = (
        round((side - extent) / 2 + rng.uniform(-0.05, 0.05) * side)
        for extent in (glyph.width, glyph.height)
    )
    page.paste(glyph, (left, top), glyph)
    return np.asarray(page)
