"""Pictures for tests, drawn by Pillow and numpy."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30),
    "blue": (30, 70, 220),
    "green": (30, 160, 50),
    "yellow": (250, 220, 30),
    "white": (248, 248, 248),
    "black": (10, 10, 10),
}


def shape(kind: str, colour: str, background: str = "white", size: int = 128) -> Image.Image:
    """A coloured circle, square or triangle in the middle of a plain background."""
    image = Image.new("RGB", (4 * size, 4 * size), COLOURS[background])
    draw = ImageDraw.Draw(image)
    low, high = 4 * size * 0.22, 4 * size * 0.78
    if kind == "circle":
        draw.ellipse((low, low, high, high), fill=COLOURS[colour])
    elif kind == "square":
        draw.rectangle((low, low, high, high), fill=COLOURS[colour])
    else:
        draw.polygon([(2 * size, low), (high, high), (low, high)], fill=COLOURS[colour])
    return image.resize((size, size), Image.Resampling.LANCZOS)


def png(image: Image.Image | np.ndarray) -> bytes:
    """The bytes of a PNG file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def planar(image: Image.Image | np.ndarray) -> np.ndarray:
    """float32 [3, H, W] in 0–1."""
    return (np.asarray(image, np.float32) / 255).transpose(2, 0, 1).copy()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def raw_png(width: int, height: int, compressed: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file with any header and any (already compressed) pixel data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", compressed)
        + chunk(b"IEND", b"")
    )


def bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A file of about 1 MB that unpacks to 1.2 GB of black."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    parts = [packer.compress(row) for _ in range(height)]
    parts.append(packer.flush())
    return raw_png(width, height, b"".join(parts))
