"""Seeded inputs, the same for every peer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .peer import END, START, TEXT_TOKENS, Checkpoint

_CONTENT = 8
"""Content tokens of a short prompt; ten with the marks."""


def pixels(checkpoint: Checkpoint, batch: int) -> NDArray[np.float32]:
    """Normalised pixels [batch, 3, S, S]."""
    size = checkpoint.image_size
    if size is None:
        raise ValueError(f"{checkpoint.folder.name} has no image tower")
    return np.random.default_rng(1).standard_normal((batch, 3, size, size), dtype=np.float32)


def tokens(batch: int, full: bool) -> NDArray[np.int64]:
    """Token rows [batch, 77]: short prompts padded with the end token, or full ones."""
    count = TEXT_TOKENS - 2 if full else _CONTENT
    rows = np.full((batch, TEXT_TOKENS), END, dtype=np.int64)
    rows[:, 0] = START
    rows[:, 1 : 1 + count] = np.random.default_rng(2).integers(300, 40000, (batch, count))
    return rows


def targets(checkpoint: Checkpoint, batch: int) -> NDArray[np.float32]:
    """Text embeddings [batch, D] for the score gradient."""
    shape = (batch, checkpoint.embedding_width)
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32)
