"""Drawing scenes: sprites of emoji and shapes over backgrounds, then the flaws of real pictures."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from emoji_names import SPRITE, Emoji
from scenes import COLOURS, SHAPES, SIZE, Background, Scene, Thing


def _polygon(
    corners: int, turn: float = 0.0, inner: float | None = None
) -> list[tuple[float, float]]:
    """Corners on the unit circle around (0.5, 0.5); every second one at ``inner`` for stars."""
    count = corners * (2 if inner else 1)
    points = []
    for i in range(count):
        radius = 0.5 * (inner if inner and i % 2 else 1.0)
        angle = -math.pi / 2 + turn + 2 * math.pi * i / count
        points.append((0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    return points


def _shape_mask(shape: str) -> Image.Image:
    """The coverage of a shape in a square of SPRITE pixels, drawn four times as large."""
    n = 4 * SPRITE
    mask = Image.new("L", (n, n), 0)
    draw = ImageDraw.Draw(mask)

    def polygon(points: list[tuple[float, float]], fill: int = 255) -> None:
        draw.polygon([(x * n, y * n) for x, y in points], fill=fill)

    def ellipse(box: tuple[float, float, float, float], fill: int = 255) -> None:
        draw.ellipse([v * n for v in box], fill=fill)

    match shape:
        case "circle":
            ellipse((0, 0, 1, 1))
        case "square":
            draw.rectangle((0.06 * n, 0.06 * n, 0.94 * n, 0.94 * n), fill=255)
        case "triangle":
            polygon([(0.5, 0.05), (1, 0.93), (0, 0.93)])
        case "star":
            polygon(_polygon(5, inner=0.42))
        case "heart":
            ellipse((0, 0.08, 0.54, 0.6))
            ellipse((0.46, 0.08, 1, 0.6))
            polygon([(0.045, 0.47), (0.955, 0.47), (0.5, 0.97)])
        case "diamond":
            polygon([(0.5, 0), (0.86, 0.5), (0.5, 1), (0.14, 0.5)])
        case "pentagon":
            polygon(_polygon(5))
        case "hexagon":
            polygon(_polygon(6, math.pi / 6))
        case "cross":
            draw.rectangle((0.34 * n, 0, 0.66 * n, n), fill=255)
            draw.rectangle((0, 0.34 * n, n, 0.66 * n), fill=255)
        case "ring":
            ellipse((0, 0, 1, 1))
            ellipse((0.24, 0.24, 0.76, 0.76), 0)
        case "crescent":
            ellipse((0, 0, 1, 1))
            ellipse((0.3, -0.05, 1.2, 0.85), 0)
        case "rectangle":
            draw.rectangle((0, 0.25 * n, n, 0.75 * n), fill=255)
        case "oval":
            ellipse((0, 0.22, 1, 0.78))
        case "semicircle":
            ellipse((0, 0.25, 1, 1.25))
            draw.rectangle((0, 0.75 * n, n, 1.3 * n), fill=0)
        case "arrow":
            polygon(
                [(0, 0.36), (0.5, 0.36), (0.5, 0.1), (1, 0.5), (0.5, 0.9), (0.5, 0.64), (0, 0.64)]
            )
        case _:
            raise ValueError(shape)
    return mask.resize((SPRITE, SPRITE), Image.Resampling.BOX)


class Palette:
    """Sprites at three sizes, so that drawing one small costs little."""

    def __init__(self, emoji: list[Emoji]) -> None:
        self.emoji = emoji
        sizes = (SPRITE, SPRITE // 2, SPRITE // 4)
        # Premultiplied, so that scaling mixes colours by their coverage.
        self._emoji = [
            [e.sprite.convert("RGBa").resize((n, n), Image.Resampling.BOX) for n in sizes]
            for e in emoji
        ]
        self._masks = {
            s: [_shape_mask(s).resize((n, n), Image.Resampling.BOX) for n in sizes] for s in SHAPES
        }

    def sprite(self, thing: Thing, side: int, rng: np.random.Generator) -> np.ndarray:
        """A premultiplied RGBA sprite [side', side', 4] in 0…1, jittered, perhaps mirrored."""
        level = 0 if side > SPRITE // 2 else 1 if side > SPRITE // 4 else 2
        turned = rng.random() < 0.25
        angle = float(rng.uniform(-14, 14)) if turned else 0.0
        flip = rng.random() < 0.5
        if thing.emoji >= 0:
            picture = self._emoji[thing.emoji][level]
            flip = flip and self.emoji[thing.emoji].flippable
        else:
            picture = self._masks[thing.shape][level]
            flip = flip and thing.shape != "arrow"
        if turned:
            picture = picture.rotate(angle, Image.Resampling.BILINEAR)
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
        pixels = np.asarray(picture, np.float32) / 255
        if flip:
            pixels = pixels[:, ::-1]
        if thing.emoji >= 0:
            return pixels
        colour = named_colour(thing.colour, rng)
        return np.concatenate([pixels[..., None] * colour, pixels[..., None]], -1)


def named_colour(name: str, rng: np.random.Generator) -> np.ndarray:
    """A colour in 0…1 that people would still call by the name."""
    colour = np.array(COLOURS[name], np.float32) / 255
    spread = 0.03 if name in ("black", "white", "grey", "yellow", "orange") else 0.06
    jitter = rng.normal(0, spread, 3).astype(np.float32)
    if name in ("black", "white", "grey"):
        jitter[:] = jitter[0]
    return np.clip(colour * np.float32(rng.uniform(0.9, 1.06)) + jitter, 0, 1)


_RAMP = np.linspace(0, 1, SIZE, dtype=np.float32)


def _draw_background(
    background: Background, taken: set[str], rng: np.random.Generator
) -> np.ndarray:
    names = [c for c in COLOURS if c not in taken]
    if background.kind == "plain":
        return np.broadcast_to(named_colour(background.colour, rng), (SIZE, SIZE, 3)).copy()
    a = rng.random(3, dtype=np.float32)
    b = named_colour(names[rng.integers(len(names))], rng)
    if background.kind == "gradient":
        angle = rng.uniform(0, 2 * math.pi)
        t = _RAMP[None] * math.cos(angle) + _RAMP[:, None] * math.sin(angle)
        t = (t - t.min()) / (t.max() - t.min())
    elif background.kind == "cloud":
        coarse = rng.random((rng.integers(2, 12), rng.integers(2, 12)), dtype=np.float32)
        t = np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    elif background.kind == "split":
        t = np.broadcast_to((rng.uniform(0.3, 0.7) < _RAMP).astype(np.float32), (SIZE, SIZE))
        t = t.T if rng.random() < 0.5 else t
    else:
        wave = np.sin(_RAMP * rng.uniform(10, 45) + rng.uniform(0, 6)) > 0
        t = np.broadcast_to(wave.astype(np.float32), (SIZE, SIZE))
        t = t.T if rng.random() < 0.5 else t
    return a + (b - a) * t[..., None]


def draw(scene: Scene, palette: Palette, rng: np.random.Generator) -> np.ndarray:
    """The clean picture [SIZE, SIZE, 3] in 0…1."""
    canvas = _draw_background(scene.background, {p.thing.colour for p in scene.objects}, rng)
    for placed in scene.objects:
        sprite = palette.sprite(placed.thing, max(6, round(placed.size)), rng)
        side = len(sprite)
        left, top = round(placed.x - side / 2), round(placed.y - side / 2)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, SIZE), min(top + side, SIZE)
        if x0 >= x1 or y0 >= y1:
            continue
        cut = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
        canvas[y0:y1, x0:x1] *= 1 - cut[..., 3:]
        canvas[y0:y1, x0:x1] += cut[..., :3]
    return canvas


def spoil(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, blur and noise in moderation; the bytes [SIZE, SIZE, 3] of the picture."""
    if rng.random() < 0.35:
        canvas = (canvas - 0.5) * rng.uniform(0.8, 1.1) + 0.5 + rng.uniform(-0.06, 0.06)
    blur = rng.random()
    if blur < 0.2:
        picture = Image.fromarray(np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8))
        if blur < 0.08:
            side = int(rng.integers(28, 56))
            picture = picture.resize((side, side), Image.Resampling.BILINEAR)
            picture = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        else:
            picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3)))
        canvas = np.asarray(picture, np.float32) / 255
    noise = rng.random()
    if noise < 0.35:
        sigma = rng.uniform(0.01, 0.07) if noise < 0.29 else rng.uniform(0.07, 0.16)
        canvas = canvas + sigma * rng.standard_normal((SIZE, SIZE, 3), np.float32)
    return np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
