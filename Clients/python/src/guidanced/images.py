"""What callers hand in as images, cut into requests without changing an item's place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, Error, ItemError, ItemFailure, TooLarge
from .limits import FEWEST_IMAGES, Limits
from .pieces import Piece, Shape, read, shape_of
from .wire import Input

Images = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, NDArray[Any], Sequence[Any], Any]
"""One image, one batch, or a list that mixes any of these:

- a path (``str`` or ``os.PathLike``), the ``bytes`` of an encoded file, or a file object opened in
  binary mode; PNG goes to the daemon as it is, other formats are decoded here when Pillow is installed
  and can read them;
- a PIL image of any mode;
- a ``uint8`` array ``[H, W, 3]``, ``[H, W, 4]``, ``[N, H, W, 3]`` or ``[N, H, W, 4]``, 0–255;
- a ``uint8`` torch tensor in torch's order, ``[3, H, W]``, ``[4, H, W]`` or ``[N, …]``, or in that of arrays;
- a float array or torch tensor ``[3, H, W]`` or ``[N, 3, H, W]``, 0–1 (float16, float32, bfloat16 as
  they are, float64 as float32); it takes the differentiable preprocessing.
"""

MERGE_LIMIT = 1 << 20
"""Neighbouring raw arrays of one shape travel in one frame while each is at most this many bytes."""

_ENTRY = 120
"""More than the bytes that a frame's entry takes up in the header."""


@dataclass(frozen=True)
class Listed:
    """All images of one call, in the caller's order, not read yet.

    ``single`` is true when the caller gave one element and no list.
    """

    elements: tuple[Any, ...]
    shapes: tuple[Shape, ...]
    single: bool

    @property
    def count(self) -> int:
        """The items of all elements."""
        return sum(shape.count for shape in self.shapes)


@dataclass
class Batch:
    """What one request holds: pieces, and the items' numbers in the call."""

    pieces: list[Piece] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    size: int = 0
    pixels: int = 0

    def add(self, piece: Piece, first: int) -> None:
        """Puts a piece, whose items are numbered from ``first``, behind the others."""
        self.pieces.append(piece)
        self.indices += range(first, first + piece.count)
        self.size += piece.size
        self.pixels += piece.pixels * piece.count

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

    def halves(self) -> tuple[Batch, Batch]:
        """The first and the second half of the items; there are at least two."""
        middle = len(self.indices) // 2
        first, second = Batch(), Batch()
        place = 0
        for piece in self.pieces:
            cut = min(max(middle - place, 0), piece.count)
            if cut > 0:
                first.add(piece.part(0, cut), self.indices[place])
            if cut < piece.count:
                second.add(piece.part(cut, piece.count), self.indices[place + cut])
            place += piece.count
        return first, second


def list_images(images: Images) -> Listed:
    """The elements of what a caller gave, and what is known of them unread.

    Raises ArgumentError for an empty list.
    """
    single = _is_element(images)
    elements: tuple[Any, ...] = (images,) if single else _all(images)
    if not elements:
        raise ArgumentError("images: expected at least one image, found none")
    return Listed(elements, tuple(map(shape_of, elements)), single)


def _all(images: Any) -> tuple[Any, ...]:
    return tuple(images)


def _is_element(images: Any) -> bool:
    if isinstance(images, (list, tuple)):
        return False
    for name in ("shape", "read", "__fspath__", "convert", "__array__"):
        if hasattr(images, name):
            return True
    # A generator, a map, the values of a dictionary; a single thing that is no image is one, too.
    return isinstance(images, (str, bytes, bytearray, dict)) or not isinstance(images, Iterable)


def inputs_of(images: Images) -> list[Input]:
    """The inputs of one request with all images, for ``Client.request``.

    Raises ItemError for images that cannot be read.
    """
    return whole_batch(list_images(images), Limits()).inputs()


def whole_batch(listed: Listed, limits: Limits) -> Batch:
    """All images for one request, whatever a large call is cut into.

    Raises ItemError for images that cannot be read, and TooLarge.
    """
    batch = Batch()
    failures: list[ItemFailure] = []
    for entry in batches(listed, limits):
        if isinstance(entry, ItemFailure):
            failures.append(entry)
        else:
            for piece in entry.pieces:
                batch.add(piece, len(batch.indices))
    if failures:
        raise ItemError(failures, None) from failures[0].error
    if batch.size > limits.request_bytes:
        raise TooLarge(f"{batch.size} bytes; the daemon takes {limits.request_bytes} in one request")
    return batch


def batches(
    listed: Listed, limits: Limits, reply_bytes: int = 0
) -> Iterator[Batch | ItemFailure]:
    """The images cut into requests, each read only when its turn comes, and what failed unsent.

    Args:
        reply_bytes: of the operation's outputs, for each pixel.
    """
    pixels = limits.pixels_at_once(reply_bytes)
    # Up to so many images are one request.
    most = limits.images_at_once if listed.count > FEWEST_IMAGES else limits.images
    batch = Batch()
    first = 0
    for element, shape in zip(listed.elements, listed.shapes):
        indices = range(first, first + shape.count)
        first += shape.count
        try:
            piece = read(element)
            _require_room(piece, limits)
        except Error as problem:
            for index in indices:
                yield ItemFailure(index, problem)
            continue
        each = piece.size // piece.count
        start = 0
        while start < piece.count:
            if batch.pieces and (
                _is_full(batch, each, most, limits) or batch.pixels + piece.pixels > pixels
            ):
                yield batch
                batch = Batch()
            fitting = min(
                (limits.bytes_at_once - batch.size) // max(each, 1),
                (pixels - batch.pixels) // max(piece.pixels, 1),
            )
            end = min(piece.count, start + max(1, fitting), start + most - len(batch.indices))
            batch.add(piece.part(start, end), indices[start])
            start = end
    if batch.pieces:
        yield batch


def _require_room(piece: Piece, limits: Limits) -> None:
    each = piece.size // piece.count
    if each > limits.request_bytes:
        raise TooLarge(f"{each} bytes; the daemon takes {limits.request_bytes} in one request")


def _is_full(batch: Batch, each: int, most: int, limits: Limits) -> bool:
    """Whether there is no room for another image of so many bytes."""
    frames = len(batch.pieces) + 1
    return (
        len(batch.indices) >= most
        or frames > limits.inputs
        or batch.size + each > limits.bytes_at_once
        or frames * _ENTRY > limits.header_room // 2
    )


def _joins(first: Piece, second: Piece) -> bool:
    a, b = first.input, second.input
    return (
        a.datatype == b.datatype != "BYTES"
        and a.shape[1:] == b.shape[1:]
        and first.size // first.count <= MERGE_LIMIT
        and first.size <= 16 * MERGE_LIMIT
        and second.size <= 16 * MERGE_LIMIT
    )


def _join(run: Sequence[Piece]) -> Input:
    if len(run) == 1:
        return run[0].input
    data = np.concatenate([np.asarray(piece.input.payload) for piece in run])
    return Input("images", run[0].input.datatype, data, data.shape)
