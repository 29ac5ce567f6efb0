"""What callers hand in as images, turned into the wire's inputs without changing an item's place."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .wire import Input, as_frame

Images = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, NDArray[Any], Sequence[Any], Any]
"""One image, one batch, or a list that mixes any of these:

- a path (``str`` or ``os.PathLike``) or the ``bytes`` of an encoded file; PNG goes to the daemon as
  it is, other formats are decoded here when Pillow is installed and can read them;
- a PIL image;
- a ``uint8`` array ``[H, W, 3]``, ``[H, W, 4]``, ``[N, H, W, 3]`` or ``[N, H, W, 4]``, 0–255;
- a float array or torch tensor ``[3, H, W]`` or ``[N, 3, H, W]``, 0–1 (float16, float32, bfloat16 as
  they are, float64 as float32); it takes the differentiable preprocessing.
"""

MERGE_LIMIT = 1 << 20
"""Neighbouring raw arrays of one shape travel in one frame while each is at most this many bytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = frozenset({"1", "L", "LA", "P", "I;16", "I"})


@dataclass(frozen=True)
class Piece:
    """One element of the caller's list: ``count`` items in one frame.

    ``gradient_shape`` is the shape of the gradient with respect to this element, ``None`` where only
    the daemon knows it (an encoded file). ``batched`` tells ``[N, …]`` from a single image.
    """

    input: Input
    count: int
    batched: bool
    gradient_shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Collected:
    """All images of one call, in the caller's order.

    ``single`` is true when the caller gave one element and no list.
    """

    pieces: tuple[Piece, ...]
    single: bool

    @property
    def count(self) -> int:
        """How many items the daemon will count."""
        return sum(piece.count for piece in self.pieces)

    def inputs(self) -> list[Input]:
        """The request's inputs; runs of small raw arrays of equal shape are joined in order."""
        merged: list[Input] = []
        run: list[Piece] = []
        for piece in self.pieces:
            if run and not _joins(run[-1], piece):
                merged.append(_join(run))
                run = []
            run.append(piece)
        if run:
            merged.append(_join(run))
        return merged


def collect(images: Images) -> Collected:
    """Reads and checks images of any accepted form.

    Raises TypeError or ValueError naming the element that is no image, and OSError for a path that
    cannot be read. Whether a file can be decoded is for the daemon to say, item by item.
    """
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError("images: expected at least one image, found an empty list")
        return Collected(
            tuple(_piece(entry, f"images[{index}]") for index, entry in enumerate(images)),
            single=False,
        )
    return Collected((_piece(images, "images"),), single=True)


def _piece(image: Any, where: str) -> Piece:
    if isinstance(image, (str, os.PathLike)):
        return _encoded(Path(image).read_bytes())
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _encoded(bytes(image))
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(image, pil.Image):
        return _pil(image, where)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        return _tensor(image, torch, where)
    if isinstance(image, np.ndarray):
        return _array(image, where)
    raise TypeError(
        f"{where}: expected a path, bytes, a PIL image, a numpy array or a torch tensor, "
        f"found {type(image).__name__}"
    )


def _encoded(data: bytes) -> Piece:
    if not data.startswith(_PNG):
        decoded = _decode_elsewhere(data)
        if decoded is not None:
            return decoded
    kind = "image/png" if data.startswith(_PNG) else None
    return Piece(Input("images", "BYTES", data, content_type=kind), 1, False, None)


def _decode_elsewhere(data: bytes) -> Piece | None:
    """A JPEG, WebP, … decoded by Pillow; None when that is not possible."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _pil(image, "images")
    except Exception:  # whatever Pillow finds wrong, the daemon reports for this item alone
        return None


def _pil(image: Any, where: str) -> Piece:
    if image.mode in ("RGB", "RGBA"):
        return _array(np.asarray(image, dtype=np.uint8), where)
    if image.mode in _PNG_MODES:
        # Palettes, grey and bilevel pictures keep their mode, whose conversion is part of parity.
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", compress_level=1)
        return _encoded(buffer.getvalue())
    return _array(np.asarray(image.convert("RGB"), dtype=np.uint8), where)


def _tensor(tensor: Any, torch: Any, where: str) -> Piece:
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        bits = tensor.view(torch.int16).numpy().view(np.uint16)
        return _floats(bits, "BF16", where)
    return _array(tensor.numpy(), where)


def _array(array: NDArray[Any], where: str) -> Piece:
    if array.dtype == np.uint8:
        return _bytes(array, where)
    if array.dtype.kind == "f" and array.dtype.itemsize == 2:
        return _floats(array.astype("<f2", copy=False), "FP16", where)
    if array.dtype.kind == "f":
        return _floats(array.astype("<f4", copy=False), "FP32", where)
    raise TypeError(
        f"{where}: expected uint8 [H, W, 3] or floats [3, H, W] in 0–1, found {array.dtype} "
        f"{list(array.shape)}"
    )


def _bytes(array: NDArray[Any], where: str) -> Piece:
    shape = array.shape
    if array.ndim not in (3, 4) or shape[-1] not in (3, 4):
        hint = "; channels come last in uint8 arrays" if 3 in shape[:2] else ""
        raise ValueError(
            f"{where}: expected a uint8 array [H, W, 3], [H, W, 4] or [N, H, W, …], "
            f"found {list(shape)}{hint}"
        )
    batched = array.ndim == 4
    full = shape if batched else (1, *shape)
    _require_items(full, where)
    planar = (3, full[1], full[2])
    data = np.ascontiguousarray(array).reshape(full)
    return Piece(
        Input("images", "UINT8", data, full),
        full[0],
        batched,
        (full[0], *planar) if batched else planar,
    )


def _floats(array: NDArray[Any], datatype: str, where: str) -> Piece:
    shape = array.shape
    if array.ndim not in (3, 4) or shape[-3] != 3:
        hint = "; channels come first in float arrays" if shape[-1:] == (3,) else ""
        raise ValueError(
            f"{where}: expected a float array [3, H, W] or [N, 3, H, W], found {list(shape)}{hint}"
        )
    batched = array.ndim == 4
    full = shape if batched else (1, *shape)
    _require_items(full, where)
    data = np.ascontiguousarray(array).reshape(full)
    return Piece(Input("images", datatype, data, full), full[0], batched, shape)


def _require_items(shape: tuple[int, ...], where: str) -> None:
    if 0 in shape:
        raise ValueError(f"{where}: an array without pixels, {list(shape)}")


def _joins(first: Piece, second: Piece) -> bool:
    a, b = first.input, second.input
    return (
        a.datatype == b.datatype != "BYTES"
        and a.shape[1:] == b.shape[1:]
        and _size(a) // a.shape[0] <= MERGE_LIMIT
        and _size(a) <= 16 * MERGE_LIMIT
        and _size(b) <= 16 * MERGE_LIMIT
    )


def _size(entry: Input) -> int:
    return len(as_frame(entry.payload))


def _join(run: Sequence[Piece]) -> Input:
    if len(run) == 1:
        return run[0].input
    data = np.concatenate([np.asarray(piece.input.payload) for piece in run])
    return Input("images", run[0].input.datatype, data, data.shape)
