"""What the client's methods return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .errors import ItemFailure

FloatArray = NDArray[np.float32]
"""A float32 numpy array."""


class ResultArray(np.ndarray[Any, np.dtype[np.float32]]):
    """A float32 numpy array that knows which of its items failed.

    Attributes:
        items: failures of single items, by index; their rows are NaN. Empty unless the call was
            made with ``strict=False``, and on arrays computed from this one.
        fingerprint: digest of the weights that produced the numbers, as the daemon gives it.
    """

    items: tuple[ItemFailure, ...]
    fingerprint: str | None

    def __new__(
        cls,
        values: NDArray[Any],
        items: Iterable[ItemFailure] = (),
        fingerprint: str | None = None,
    ) -> ResultArray:
        array = np.asarray(values, dtype=np.float32).view(cls)
        array.items = tuple(items)
        array.fingerprint = fingerprint
        return array

    def __array_finalize__(self, source: Any) -> None:
        self.items = ()
        self.fingerprint = None

    def __reduce__(self) -> Any:
        whole: Any = super().__reduce__()
        make, arguments, state = whole
        return make, arguments, (state, self.items, self.fingerprint)

    def __setstate__(self, state: Any) -> None:
        values, self.items, self.fingerprint = state
        super().__setstate__(values)


@dataclass(frozen=True)
class Ranked:
    """An image's place in a ranking: its index among the caller's items, and its score."""

    index: int
    score: float


class Ranking(list[Ranked]):
    """Images, best first, ties by index; ``items`` are the failures, which have no rank."""

    def __init__(self, ranked: Iterable[Ranked] = (), items: Iterable[ItemFailure] = ()) -> None:
        super().__init__(ranked)
        self.items: tuple[ItemFailure, ...] = tuple(items)


@dataclass(frozen=True)
class Classification:
    """Zero-shot classification of N images among L labels.

    ``probabilities`` is float32 [N, L], each row summing to 1 (NaN for a failed item).
    """

    probabilities: FloatArray
    labels: tuple[str, ...]
    items: tuple[ItemFailure, ...] = ()

    @property
    def best(self) -> list[str | None]:
        """The most probable label of each image, ``None`` for a failed one."""
        return [
            None if np.isnan(row).any() else self.labels[int(np.argmax(row))]
            for row in self.probabilities
        ]


@dataclass(frozen=True)
class Gradient:
    """The gradient of a loss with respect to images; an optimiser *descends* it.

    Attributes:
        gradient: float32 d(loss)/d(pixels in 0–1), planar: [N, 3, H, W] for one batch, [3, H, W]
            for one image, and for a list of images a list with one such array an element.
        loss: float32 [N].
        score: float32 [N], the cosine with the weighted prompts.
        items: failures of single items (their values are NaN), with ``strict=False``.
    """

    gradient: Union[FloatArray, list[FloatArray]]
    loss: FloatArray
    score: FloatArray
    items: tuple[ItemFailure, ...] = ()
    fingerprint: str | None = None


@dataclass(frozen=True)
class Tokenization:
    """Token ids of texts, from the start token to the end token, without padding.

    ``dropped`` says per text what truncation cut off, as the daemon reports it.
    """

    tokens: list[list[int]]
    dropped: Sequence[Any] = ()
    items: tuple[ItemFailure, ...] = ()


@dataclass(frozen=True)
class ConditioningSegment:
    """What a sampler is conditioned on during some of its steps.

    Attributes:
        until_step: one more than the segment's last step, counted from 0; ``None`` when it holds for
            all steps.
        hidden_states: float32 [M, T, D], or ``None`` when the recipe has none.
        pooled: float32 [M, P], or ``None``.
        negative_hidden_states, negative_pooled: the same for the negative prompts, as many tokens.
    """

    until_step: int | None
    hidden_states: FloatArray | None
    pooled: FloatArray | None
    negative_hidden_states: FloatArray | None
    negative_pooled: FloatArray | None


@dataclass(frozen=True)
class Conditioning:
    """The vectors that a sampler is conditioned on, for N prompts.

    A row is a prompt; a prompt in several parts (``AND``) has a row a part, and ``report["rows"]``
    says which prompt each row belongs to and with which weight.

    Attributes:
        hidden_states: float32 [M, T, D], or ``None`` when the recipe has none.
        pooled: float32 [M, P], or ``None``.
        negative_hidden_states, negative_pooled: the same for the negative prompts.
        report: the daemon's account: recipe, encoders, and for every prompt and encoder the rows of
            token ids, weights, ends and dropped text.
        time_ids, negative_time_ids: float32 [M, 6] or [M, 5] where the recipe has them.
        segments: one, or for scheduled prompts one a stretch of steps; the arrays above are the first
            one's.
    """

    hidden_states: FloatArray | None
    pooled: FloatArray | None
    negative_hidden_states: FloatArray | None
    negative_pooled: FloatArray | None
    report: dict[str, Any]
    time_ids: FloatArray | None = None
    negative_time_ids: FloatArray | None = None
    segments: tuple[ConditioningSegment, ...] = ()
    fingerprint: str | None = None


@dataclass(frozen=True)
class ImageConditioning:
    """What image-conditioned samplers take, for N images.

    Attributes:
        image_embeddings, negative_image_embeddings: float32 [N, D], for ``unclip`` and ``ip-adapter``.
        hidden_states, negative_hidden_states: float32 [N, T, W], for ``ip-adapter-plus``.
        items: failures of single images (their rows are NaN), with ``strict=False``.
    """

    image_embeddings: FloatArray | None
    negative_image_embeddings: FloatArray | None
    hidden_states: FloatArray | None
    negative_hidden_states: FloatArray | None
    items: tuple[ItemFailure, ...] = ()
    fingerprint: str | None = None


@dataclass(frozen=True)
class Handle:
    """Prompts that the daemon keeps encoded; pass it to ``gradient`` and others in their place.

    ``conditioning`` holds what was prepared for ``condition``, by the wire's names.

    A handle belongs to the client that made it, and to pickled copies of that client. It outlives a
    restart of the daemon, because the client prepares it anew where the daemon does not know it
    (``params`` is what it sends then).
    """

    id: str
    prompts: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    metric: str = "cosine"
    model: str | None = None
    conditioning: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    result: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
