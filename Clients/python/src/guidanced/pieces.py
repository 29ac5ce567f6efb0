"""One element of what a caller hands in as images, as the wire carries it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import pillow
from .errors import BadImage, BadTensor, Error, UnreadableFile
from .wire import Input, as_frame

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Shape:
    """What is known of an element before it is read.

    Attributes:
        count: its items: N of an array [N, …], else 1.
        batched: whether it is such an array.
        gradient: the shape of a gradient with respect to it; ``None`` where only the daemon knows it
            (an encoded file), or where it is no image.
    """

    count: int = 1
    batched: bool = False
    gradient: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Piece:
    """Some or all items of an element, ready to be sent in one frame."""

    input: Input
    count: int

    @property
    def size(self) -> int:
        """Bytes of the frame."""
        return len(as_frame(self.input.payload))

    @property
    def pixels(self) -> int:
        """Height × width of one item; 0 for a file that does not say it in its first bytes."""
        data, shape = self.input.payload, self.input.shape
        if self.input.datatype == "UINT8":
            return shape[1] * shape[2]
        if self.input.datatype != "BYTES":
            return shape[2] * shape[3]
        header = bytes(data[:24]) if isinstance(data, bytes) else b""
        if not header.startswith(_PNG) or header[12:16] != b"IHDR":
            return 0
        return int.from_bytes(header[16:20], "big") * int.from_bytes(header[20:24], "big")

    def part(self, start: int, end: int) -> Piece:
        """Some of the items, without a copy."""
        if start == 0 and end == self.count:
            return self
        data = np.asarray(self.input.payload)[start:end]
        return Piece(Input("images", self.input.datatype, data, data.shape), end - start)


def shape_of(element: Any) -> Shape:
    """An element's items and shape. Never fails: ``read`` tells what is wrong with it."""
    sides = getattr(element, "shape", None)
    if pillow.is_pil_image(element):
        try:
            return Shape(gradient=(3, element.height, element.width))
        except Exception:
            return Shape()
    if not isinstance(sides, tuple) or isinstance(element, memoryview):
        return Shape()
    sides = tuple(int(side) for side in sides)
    count = sides[0] if len(sides) == 4 and sides[0] > 0 else 1
    if len(sides) not in (3, 4) or 0 in sides:
        return Shape(count, count > 1)
    *ahead, first, second, last = sides
    is_bytes = str(getattr(element, "dtype", "")).endswith("uint8")
    if first in _channels(is_bytes) and (not is_bytes or _is_tensor(element)):
        planar = (3, second, last)
    elif is_bytes and last in (3, 4):
        planar = (3, first, second)
    else:
        return Shape(count, len(sides) == 4)
    return Shape(count, len(sides) == 4, (*ahead, *planar))


def read(element: Any) -> Piece:
    """An element's items for the wire.

    Raises BadImage, BadTensor or UnreadableFile; whether a PNG file is whole is for the daemon to say.
    """
    try:
        return _read(element)
    except Error:
        raise
    except Exception as problem:
        # Whatever a library says of an image that it was handed: a tensor without data, a device
        # that is gone, memory that is used up.
        raise BadImage(f"{type(element).__name__}: {pillow.words(problem)}") from problem


def _read(element: Any) -> Piece:
    if isinstance(element, (str, os.PathLike)):
        return _encoded(_content(element))
    if isinstance(element, (bytes, bytearray, memoryview)):
        return _encoded(bytes(element))
    if pillow.is_pil_image(element):
        return _decoded(pillow.to_wire(element))
    if _is_tensor(element):
        return _tensor(element)
    if isinstance(element, np.ndarray):
        return _array(element)
    if callable(getattr(element, "read", None)):
        return _encoded(_rest(element))
    if callable(getattr(element, "__array__", None)):
        return _array(np.asarray(element))
    raise BadTensor(
        "expected a path, bytes, a file object, a PIL image, a numpy array or a torch tensor, found "
        f"{type(element).__name__}"
    )


def _content(path: str | os.PathLike[str]) -> bytes:
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as problem:
        raise UnreadableFile(f"{name}: {problem.strerror or pillow.words(problem)}") from problem
    except ValueError as problem:  # a null character
        raise UnreadableFile(f"{name!r}: {pillow.words(problem)}") from problem


def _rest(file: Any) -> bytes:
    """A file object's content, from the beginning where it can go back, as Pillow reads it."""
    name = getattr(file, "name", None)
    where = name if isinstance(name, str) else type(file).__name__
    try:
        try:
            file.seek(0)
        except (AttributeError, OSError):
            pass  # a pipe: what is left of it
        data = file.read()
    except (OSError, ValueError) as problem:
        raise UnreadableFile(f"{where}: {pillow.words(problem)}") from problem
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UnreadableFile(f"{where}: expected a file opened in binary mode, which gives bytes")
    return bytes(data)


def _encoded(data: bytes) -> Piece:
    if not data:
        raise BadImage("no bytes")
    is_png = data.startswith(_PNG)
    decoded = None if is_png else pillow.decode(data)
    if decoded is not None:
        return _decoded(decoded)
    return Piece(Input("images", "BYTES", data, content_type="image/png" if is_png else None), 1)


def _decoded(found: bytes | NDArray[np.uint8]) -> Piece:
    if isinstance(found, bytes):
        return Piece(Input("images", "BYTES", found, content_type="image/png"), 1)
    return _array(found)


def _is_tensor(element: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(element, torch.Tensor)


def _tensor(tensor: Any) -> Piece:
    torch = sys.modules["torch"]
    tensor = tensor.detach().cpu()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:
        return _floats(tensor.view(torch.int16).numpy().view(np.uint16), "BF16")
    if tensor.dtype == torch.uint8 and tensor.ndim in (3, 4) and tensor.shape[-3] in (3, 4):
        # Torch's order of channels; the wire's has them last.
        return _bytes(np.moveaxis(tensor.numpy(), -3, -1))
    return _array(tensor.numpy())


def _array(array: NDArray[Any]) -> Piece:
    if array.dtype == np.uint8:
        return _bytes(array)
    if array.dtype.kind == "f" and array.dtype.itemsize == 2:
        return _floats(array.astype("<f2", copy=False), "FP16")
    if array.dtype.kind == "f":
        return _floats(array.astype("<f4", copy=False), "FP32")
    raise BadTensor(
        f"expected uint8 [H, W, 3] or floats [3, H, W] in 0–1, found {array.dtype} "
        f"{list(array.shape)}"
    )


def _bytes(array: NDArray[Any]) -> Piece:
    if array.ndim not in (3, 4) or array.shape[-1] not in (3, 4):
        hint = "; channels come last in uint8 arrays" if 3 in array.shape[:2] else ""
        raise BadTensor(
            f"expected a uint8 array [H, W, 3], [H, W, 4] or [N, H, W, …], found "
            f"{list(array.shape)}{hint}"
        )
    return _whole(array, "UINT8")


def _floats(array: NDArray[Any], datatype: str) -> Piece:
    if array.ndim not in (3, 4) or array.shape[-3] != 3:
        hint = "; channels come first in float arrays" if array.shape[-1:] == (3,) else ""
        raise BadTensor(
            f"expected a float array [3, H, W] or [N, 3, H, W], found {list(array.shape)}{hint}"
        )
    return _whole(array, datatype)


def _whole(array: NDArray[Any], datatype: str) -> Piece:
    full = array.shape if array.ndim == 4 else (1, *array.shape)
    if 0 in full:
        raise BadTensor(f"an array without pixels, {list(array.shape)}")
    data = np.ascontiguousarray(array).reshape(full)
    return Piece(Input("images", datatype, data, full), full[0])


def _channels(is_bytes: bool) -> tuple[int, ...]:
    return (3, 4) if is_bytes else (3,)
