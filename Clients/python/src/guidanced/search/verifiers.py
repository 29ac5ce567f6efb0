"""Judges of candidates: a client's scores, and several judges as one."""

from __future__ import annotations

from typing import Any, Protocol, Union

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ArgumentError
from ..results import Handle, ResultArray
from .candidates import Score
from .noise import Doubles


class Scoring(Protocol):
    """What ``scorer`` needs of a client."""

    def score(
        self,
        images: Any,
        prompts: Any,
        *,
        metric: str = ...,
        model: str | None = ...,
        strict: bool = ...,
    ) -> ResultArray:
        """As ``Client.score``."""


def scorer(
    client: Scoring,
    prompt: Union[str, Handle],
    *,
    metric: str = "cosine",
    model: str | None = None,
) -> Score:
    """Scores of images for one prompt by a daemon; NaN for images that it cannot use."""

    def score(images: Any) -> Doubles:
        rows = client.score(images, prompt, metric=metric, model=model, strict=False)
        return np.asarray(rows, dtype=np.float64)[:, 0]

    return score


def mean_ranks(scores: ArrayLike) -> Doubles:
    """Each candidate's rank averaged over judges, float64 [N]: 1 is best, ties by order.

    Ranks do not depend on the judges' units.

    Args:
        scores: [judges, N], greater for better; NaN ranks last. ``-mean_ranks(…)`` is a score.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ArgumentError(f"scores: expected [judges, N], found {list(table.shape)}")
    order = np.argsort(np.where(np.isnan(table), np.inf, -table), axis=1, kind="stable")
    ranks = np.empty_like(table)
    np.put_along_axis(ranks, order, np.arange(1, table.shape[1] + 1, dtype=np.float64), axis=1)
    result: Doubles = ranks.mean(axis=0)
    return result
