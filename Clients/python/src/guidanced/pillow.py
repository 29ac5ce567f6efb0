"""Pillow's images and files that only Pillow can read, as the references convert them.

transformers makes RGB of an image before anything else: over white where it has alpha or a
transparent colour, and with ``convert("RGB")`` otherwise. open_clip resizes first and converts then.
The difference shows in palettes and bilevel images, which Pillow resizes by their nearest pixel: those
keep their mode on the wire (as PNG files written here), so that the daemon can do either.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BadImage, DaemonWarning

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def is_pil_image(value: object) -> bool:
    """Whether a value is a Pillow image; Pillow is not imported for the question."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def to_wire(image: Any) -> bytes | NDArray[np.uint8]:
    """A Pillow image as a PNG file, or as uint8 [H, W, 3] or [H, W, 4].

    Raises BadImage in Pillow's words for an image that was closed, is truncated or has a mode that it
    cannot convert.
    """
    _warn_if_turned(image)
    try:
        image.load()
        if image.mode in ("RGB", "RGBA") and not _has_key(image):
            return np.asarray(image, dtype=np.uint8)
        if image.mode == "P":
            return _palette_png(image)
        if image.mode == "1" and not _has_key(image):
            return _bilevel_png(image)
        if image.mode == "La":
            image = image.convert("LA")  # the one mode that Pillow converts in two steps only
        has_alpha = "A" in image.getbands() or _has_key(image)
        return np.asarray(image.convert("RGBA" if has_alpha else "RGB"), dtype=np.uint8)
    except Exception as problem:
        raise BadImage(words(problem)) from problem


def decode(data: bytes) -> bytes | NDArray[np.uint8] | None:
    """A JPEG, WebP, … file as ``to_wire`` gives it; ``None`` without Pillow or for no image at all.

    Raises BadImage in Pillow's words for a file whose format it knows and whose content is damaged.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            return to_wire(image)
    except UnidentifiedImageError:
        return None
    except BadImage:
        raise
    except Exception as problem:
        raise BadImage(words(problem)) from problem


def words(problem: BaseException) -> str:
    """What an exception of another library says."""
    return str(problem) or type(problem).__name__


def _warn_if_turned(image: Any) -> None:
    """Says that a picture lies on its side, as the daemon says it of PNG files."""
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # metadata that cannot be read change no pixel
        return
    if orientation in range(2, 9):
        warnings.warn(
            f"EXIF orientation {orientation}; the pixels were used as they are stored, not turned "
            "(PIL.ImageOps.exif_transpose turns them)",
            DaemonWarning,
            stacklevel=3,
        )


def _has_key(image: Any) -> bool:
    return image.info.get("transparency") is not None


def _palette_png(image: Any) -> bytes:
    # Each entry is what Pillow makes of a pixel with its number, also where the palette is short.
    ramp = image.crop((0, 0, 256, 1))
    ramp.putdata(range(256))
    has_alpha = _has_key(image)
    palette = np.asarray(ramp.convert("RGBA" if has_alpha else "RGB"), dtype=np.uint8)[0]
    chunks = [(b"PLTE", palette[:, :3].tobytes())]
    if has_alpha:
        chunks.append((b"tRNS", palette[:, 3].tobytes()))
    return _png(image.size, 8, 3, np.asarray(image, dtype=np.uint8), chunks)


def _bilevel_png(image: Any) -> bytes:
    return _png(image.size, 1, 0, np.packbits(np.asarray(image, dtype=bool), axis=1), [])


def _png(
    size: tuple[int, int],
    depth: int,
    colour_type: int,
    rows: NDArray[np.uint8],
    chunks: list[tuple[bytes, bytes]],
) -> bytes:
    """A PNG file of rows of bytes, without filters."""
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    filtered = np.insert(rows, 0, 0, axis=1)
    parts = [_SIGNATURE]
    for name, data in (
        (b"IHDR", header),
        *chunks,
        (b"IDAT", zlib.compress(filtered.tobytes(), 1)),
        (b"IEND", b""),
    ):
        parts += [struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))]
    return b"".join(parts)
