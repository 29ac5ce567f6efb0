"""The demo's pictures: real PNG files, drawn by programs other than the daemon."""

from __future__ import annotations

import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 256
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FONT_SIZE = 109
"""The one size that the colour-bitmap font is drawn at."""

COLOURS = {
    "red": (214, 35, 35),
    "orange": (245, 140, 20),
    "yellow": (248, 216, 40),
    "green": (35, 155, 60),
    "blue": (35, 80, 215),
    "purple": (125, 40, 165),
    "pink": (248, 135, 185),
    "brown": (125, 75, 30),
    "black": (18, 18, 20),
    "white": (247, 247, 245),
    "grey": (130, 130, 132),
    "cyan": (40, 200, 210),
}


@dataclass(frozen=True)
class Picture:
    """One file of the gallery.

    ``label`` is what it shows, in a few words, for classification; ``maker`` drew and wrote it.
    """

    path: Path
    label: str
    maker: str = "Pillow"

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Thing:
    """An emoji (its characters) or a shape (its name and colour), centred at (x, y) in 0–1."""

    what: str
    colour: str = ""
    x: float = 0.5
    y: float = 0.5
    size: float = 0.68
    turn: float = 0.0


SCENES: list[tuple[str, str, str, list[Thing]]] = [
    # file name, label, background, things
    ("pizza", "slice of pizza", "blue", [Thing("🍕", turn=8)]),
    ("cat", "cat face", "yellow", [Thing("🐱", size=0.72)]),
    ("apple", "red apple", "white", [Thing("🍎", size=0.6)]),
    ("rocket", "rocket", "purple", [Thing("🚀", size=0.74)]),
    ("guitar", "guitar", "grey", [Thing("🎸", size=0.78)]),
    ("octopus", "octopus", "cyan", [Thing("🐙", x=0.46, y=0.55)]),
    ("cactus", "cactus", "orange", [Thing("🌵", size=0.74)]),
    ("bicycle", "bicycle", "green", [Thing("🚲", size=0.76)]),
    ("umbrella", "umbrella", "pink", [Thing("☂", size=0.7)]),
    ("red circle", "red circle", "white", [Thing("circle", "red", size=0.6)]),
    ("blue star", "blue star", "yellow", [Thing("star", "blue", size=0.72, turn=-6)]),
    ("green triangle", "green triangle", "black", [Thing("triangle", "green", size=0.62)]),
    # Twins: the same two things in each other's places, and in each other's colours.
    (
        "circle above star",
        "red circle above a green star",
        "white",
        [Thing("circle", "red", y=0.28, size=0.4), Thing("star", "green", y=0.73, size=0.4)],
    ),
    (
        "star above circle",
        "green star above a red circle",
        "white",
        [Thing("star", "green", y=0.28, size=0.4), Thing("circle", "red", y=0.73, size=0.4)],
    ),
    (
        "colours swapped",
        "green circle above a red star",
        "white",
        [Thing("circle", "green", y=0.28, size=0.4), Thing("star", "red", y=0.73, size=0.4)],
    ),
    (
        "cat and pizza",
        "cat next to a slice of pizza",
        "green",
        [Thing("🐱", x=0.28, size=0.42), Thing("🍕", x=0.73, size=0.42)],
    ),
    (
        "square left of heart",
        "yellow square to the left of a pink heart",
        "grey",
        [Thing("square", "yellow", x=0.27, size=0.38), Thing("heart", "pink", x=0.73, size=0.4)],
    ),
    (
        "square right of heart",
        "yellow square to the right of a pink heart",
        "grey",
        [Thing("heart", "pink", x=0.27, size=0.4), Thing("square", "yellow", x=0.73, size=0.38)],
    ),
]


def render(folder: Path) -> list[Picture]:
    """Draws the whole gallery into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for name, label, background, things in SCENES:
        path = folder / f"{name}.png"
        draw_scene(background, things).save(path)
        pictures.append(Picture(path, label))
    return pictures + by_other_programs(folder)


def draw_scene(background: str, things: list[Thing]) -> Image.Image:
    """Things on a background that is a little lighter in the middle, as a lamp would light it."""
    canvas = lit(COLOURS[background]).convert("RGBA")
    for thing in things:
        sprite = shape_sprite(thing) if thing.colour else emoji_sprite(thing.what)
        side = round(thing.size * SIDE)
        sprite = sprite.rotate(thing.turn, Image.Resampling.BICUBIC)
        sprite = sprite.resize((side, side), Image.Resampling.LANCZOS)
        corner = (round(thing.x * SIDE - side / 2), round(thing.y * SIDE - side / 2))
        shadow = Image.new("RGBA", canvas.size)
        shadow.paste((0, 0, 0, 70), (corner[0] + 3, corner[1] + 5), sprite.getchannel("A"))
        canvas.alpha_composite(shadow.filter(ImageFilter.GaussianBlur(4)))
        layer = Image.new("RGBA", canvas.size)
        layer.paste(sprite, corner)
        canvas.alpha_composite(layer)
    return canvas.convert("RGB")


def lit(colour: tuple[int, int, int]) -> Image.Image:
    """A plain colour with a soft light from above, and grain."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    light = 1.05 - 0.16 * ((columns - 0.5) ** 2 + (rows - 0.35) ** 2)
    grain = np.random.default_rng(5).normal(0, 1.2, (SIDE, SIDE, 1))
    pixels = np.array(colour)[None, None] * light[..., None] + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def emoji_sprite(text: str) -> Image.Image:
    """An emoji in its colours, trimmed and padded to a square."""
    font = ImageFont.truetype(str(FONT), FONT_SIZE)
    image = Image.new("RGBA", (180, 180))
    ImageDraw.Draw(image).text((20, 20), text, font=font, embedded_color=True)
    box = image.getbbox()
    if box is None:
        raise RuntimeError(f"{FONT} has no picture for {text!r}")
    image = image.crop(box)
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def shape_sprite(thing: Thing) -> Image.Image:
    """A coloured shape, drawn large and reduced."""
    n = 1024
    mask = Image.new("L", (n, n), 0)
    draw = ImageDraw.Draw(mask)
    if thing.what == "circle":
        draw.ellipse((8, 8, n - 8, n - 8), fill=255)
    elif thing.what == "square":
        draw.rectangle((60, 60, n - 60, n - 60), fill=255)
    elif thing.what == "triangle":
        draw.polygon([(n / 2, 60), (n - 8, n - 90), (8, n - 90)], fill=255)
    elif thing.what == "star":
        points = []
        for corner in range(10):
            radius = n / 2 * (1 if corner % 2 == 0 else 0.42)
            angle = math.pi * (corner / 5 - 0.5)
            points.append((n / 2 + radius * math.cos(angle), n / 2 + radius * math.sin(angle)))
        draw.polygon(points, fill=255)
    elif thing.what == "heart":
        t = np.linspace(0, 2 * math.pi, 400)
        x = 16 * np.sin(t) ** 3
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        draw.polygon(list(zip(n / 2 + x * 30, n * 0.47 - y * 30)), fill=255)
    else:
        raise ValueError(thing.what)
    image = Image.new("RGBA", (n, n), COLOURS[thing.colour] + (255,))
    image.putalpha(mask)
    return image.resize((n // 4, n // 4), Image.Resampling.LANCZOS)


def by_other_programs(folder: Path) -> list[Picture]:
    """Two files that ImageMagick and netpbm draw and write, where they are installed.

    They are a palette PNG and an interlaced one: what one meets in the world.
    """
    pictures = []
    magick = imagemagick()
    if magick:
        path = folder / "purple heart.png"
        outline = "path 'M 128,216 C 20,140 30,50 88,50 C 112,50 128,72 128,86 C 128,72 144,50 " \
            "168,50 C 226,50 236,140 128,216 Z'"
        subprocess.run(
            [magick, "-size", f"{SIDE}x{SIDE}", f"xc:rgb{COLOURS['white']}", "-fill",
             f"rgb{COLOURS['purple']}", "-draw", outline, f"PNG8:{path}"],
            check=True, capture_output=True,
        )
        pictures.append(Picture(path, "purple heart", "ImageMagick, palette"))
    if shutil.which("pnmtopng"):
        path = folder / "orange square.png"
        rows, columns = np.mgrid[0:SIDE, 0:SIDE]
        inside = (abs(rows - 128) < 76) & (abs(columns - 128) < 76)
        pixels = np.where(inside[..., None], COLOURS["orange"], COLOURS["blue"]).astype(np.uint8)
        portable = f"P6\n{SIDE} {SIDE}\n255\n".encode() + pixels.tobytes()
        written = subprocess.run(
            ["pnmtopng", "-interlace", "-force"], input=portable, check=True, capture_output=True
        )
        path.write_bytes(written.stdout)
        pictures.append(Picture(path, "orange square", "netpbm, interlaced"))
    return pictures


def imagemagick() -> str | None:
    """ImageMagick's program, under whichever name and in whichever folder it is."""
    for folder in ("/usr/bin", "/usr/local/bin", "/opt/bin"):
        for name in ("magick", "convert"):
            program = Path(folder) / name
            if not program.is_file():
                continue
            said = subprocess.run([program, "--version"], capture_output=True, text=True)
            if "ImageMagick" in said.stdout:
                return str(program)
    return None
