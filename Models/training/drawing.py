"""Drawing scenes: sprites of emoji and shapes over backgrounds, then the flaws of real pictures."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from emoji_names import SPRITE, Emoji, shape_glyphs
from scenes import ANCHORS, COLOURS, SHAPES, SIZE, Background, Scene, Thing

# Drawings of each shape beside the plain one.
_VARIANTS = 10
_RESAMPLING = (
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.LANCZOS,
    Image.Resampling.BOX,
)
# Cells along one side of the coverage map: sixteen to a patch of 8 x 8 pixels.
CELLS = 32


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


def _shape_mask(shape: str, rng: np.random.Generator | None = None) -> Image.Image:
    """The coverage of a shape in a square of SPRITE pixels, drawn four times as large.

    With ``rng`` its proportions vary as widely as people's drawings of it do.
    """
    n = 4 * SPRITE
    mask = Image.new("L", (n, n), 0)
    draw = ImageDraw.Draw(mask)

    def vary(value: float, low: float, high: float) -> float:
        return value if rng is None else float(rng.uniform(low, high))

    def polygon(points: list[tuple[float, float]], fill: int = 255) -> None:
        draw.polygon([(x * n, y * n) for x, y in points], fill=fill)

    def ellipse(box: tuple[float, float, float, float], fill: int = 255) -> None:
        draw.ellipse([v * n for v in box], fill=fill)

    match shape:
        case "circle":
            ellipse((0, 0, 1, 1))
        case "square":
            edge = vary(0.06, 0.0, 0.1)
            box = [v * n for v in (edge, edge, 1 - edge, 1 - edge)]
            radius = n * max(0.0, vary(0.0, -0.15, 0.16))
            draw.rounded_rectangle(box, radius, fill=255)
        case "triangle":
            top, foot = vary(0.05, 0.0, 0.14), vary(0.0, 0.0, 0.1)
            polygon([(0.5, top), (1 - foot, 0.93), (foot, 0.93)])
        case "star":
            polygon(_polygon(5, inner=vary(0.42, 0.36, 0.56)))
        case "heart":
            if rng is None or rng.random() < 0.5:
                low = vary(0.97, 0.9, 1.0)
                ellipse((0, 0.08, 0.54, 0.6))
                ellipse((0.46, 0.08, 1, 0.6))
                polygon([(0.045, 0.47), (0.955, 0.47), (0.5, low)])
            else:
                t = np.linspace(0, 2 * math.pi, 80)
                x = 0.5 + np.sin(t) ** 3 / 2
                y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
                polygon(list(zip(x, 0.45 - y / 32, strict=True)))
        case "diamond":
            half = vary(0.36, 0.3, 0.5)
            polygon([(0.5, 0), (0.5 + half, 0.5), (0.5, 1), (0.5 - half, 0.5)])
        case "pentagon":
            polygon(_polygon(5))
        case "hexagon":
            flat = rng is None or rng.random() < 0.5
            polygon(_polygon(6, math.pi / 6 if flat else 0.0))
        case "cross":
            low = vary(0.34, 0.3, 0.42)
            draw.rectangle((low * n, 0, (1 - low) * n, n), fill=255)
            draw.rectangle((0, low * n, n, (1 - low) * n), fill=255)
        case "ring":
            low = vary(0.24, 0.12, 0.28)
            ellipse((0, 0, 1, 1))
            ellipse((low, low, 1 - low, 1 - low), 0)
        case "crescent":
            near, up = vary(0.3, 0.2, 0.38), vary(-0.05, -0.05, 0.05)
            ellipse((0, 0, 1, 1))
            ellipse((near, up, near + 0.9, up + 0.9), 0)
        case "rectangle":
            top = vary(0.25, 0.18, 0.3)
            draw.rectangle((0, top * n, n, (1 - top) * n), fill=255)
        case "oval":
            top = vary(0.22, 0.15, 0.25)
            ellipse((0, top, 1, 1 - top))
        case "semicircle":
            ellipse((0, 0.25, 1, 1.25))
            draw.rectangle((0, 0.75 * n, n, 1.3 * n), fill=0)
        case "arrow":
            head, tail, neck = vary(0.1, 0.05, 0.2), vary(0.36, 0.34, 0.42), vary(0.5, 0.45, 0.65)
            upper = [(0, tail), (neck, tail), (neck, head), (1, 0.5)]
            polygon(upper + [(x, 1 - y) for x, y in reversed(upper[:3])])
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
        rng = np.random.default_rng(5)
        self._masks = {
            s: [
                [mask.resize((n, n), Image.Resampling.BOX) for n in sizes]
                for mask in [_shape_mask(s), *(_shape_mask(s, rng) for _ in range(_VARIANTS))]
            ]
            for s in SHAPES
        }
        self._glyphs = {
            key: [
                [p.convert("RGBa").resize((n, n), Image.Resampling.BOX) for n in sizes]
                for _, p in glyphs
            ]
            for key, glyphs in shape_glyphs().items()
        }

    def sprite(self, thing: Thing, side: int, rng: np.random.Generator) -> np.ndarray:
        """A premultiplied RGBA sprite [side', side', 4] in 0…1, jittered, perhaps mirrored."""
        level = 0 if side > SPRITE // 2 else 1 if side > SPRITE // 4 else 2
        turned = rng.random() < 0.25
        angle = float(rng.uniform(-14, 14)) if turned else 0.0
        flip = rng.random() < 0.5
        glyphs = self._glyphs.get((thing.shape, thing.colour))
        painted = thing.emoji >= 0
        if painted:
            picture = self._emoji[thing.emoji][level]
            flip = flip and self.emoji[thing.emoji].flippable
        elif glyphs and rng.random() < 0.15:
            picture, painted = glyphs[int(rng.integers(len(glyphs)))][level], True
        else:
            variant = int(rng.integers(1, _VARIANTS + 1)) if rng.random() < 0.7 else 0
            picture = self._masks[thing.shape][variant][level]
        if turned:
            picture = picture.rotate(angle, Image.Resampling.BILINEAR)
        way = _RESAMPLING[0 if rng.random() < 0.6 else int(rng.integers(len(_RESAMPLING)))]
        picture = picture.resize((side, side), way)
        pixels = np.asarray(picture, np.float32) / 255
        if flip:
            pixels = pixels[:, ::-1]
        if painted:
            return pixels
        colour = named_colour(thing.colour, rng)
        if rng.random() < 0.12:
            # No anti-aliasing.
            pixels = (pixels > 0.5).astype(np.float32)
        body, edge = pixels[..., None], rng.random()
        if edge < 0.1 and side > 12:
            # An outline: the inside is the shape worn down by a pixel or two.
            inner = np.asarray(
                Image.fromarray((pixels * 255).astype(np.uint8)).filter(ImageFilter.MinFilter(3)),
                np.float32,
            )[..., None] / 255
            line = np.float32(rng.choice((0.0, 0.0, 1.0)))
            return np.concatenate([inner * colour + (body - inner) * line, body], -1)
        return np.concatenate([body * colour, body], -1)


def named_colour(name: str, rng: np.random.Generator) -> np.ndarray:
    """A colour in 0…1 that people would still call by the name."""
    anchors = ANCHORS[name]
    known = rng.random() < 0.6
    rgb = COLOURS[name] if known else anchors[int(rng.integers(len(anchors)))]
    colour = np.array(rgb, np.float32) / 255
    if not known and rng.random() < 0.5:
        return colour
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
    return draw_with_coverage(scene, palette, rng)[0]


def draw_with_coverage(
    scene: Scene, palette: Palette, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The clean picture [SIZE, SIZE, 3] in 0…1 and each object's visible coverage
    [objects, SIZE, SIZE]."""
    canvas = _draw_background(scene.background, {p.thing.colour for p in scene.objects}, rng)
    coverage = np.zeros((len(scene.objects), SIZE, SIZE), np.float32)
    shadow = rng.random() < 0.06
    for number, placed in enumerate(scene.objects):
        sprite = palette.sprite(placed.thing, max(6, round(placed.size)), rng)
        side = len(sprite)
        left, top = round(placed.x - side / 2), round(placed.y - side / 2)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, SIZE), min(top + side, SIZE)
        if x0 >= x1 or y0 >= y1:
            continue
        cut = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
        if shadow:
            canvas[y0 + 1 : y1 + 1, x0 + 1 : x1 + 1] *= (
                1 - 0.4 * cut[: SIZE - 1 - y0, : SIZE - 1 - x0, 3:]
            )
        canvas[y0:y1, x0:x1] *= 1 - cut[..., 3:]
        canvas[y0:y1, x0:x1] += cut[..., :3]
        coverage[:number, y0:y1, x0:x1] *= 1 - cut[..., 3]
        coverage[number, y0:y1, x0:x1] = cut[..., 3]
    return canvas, coverage


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
    pixels = np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.06:
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG", quality=int(rng.integers(35, 92)))
        pixels = np.asarray(Image.open(packed).convert("RGB"))
    return pixels
