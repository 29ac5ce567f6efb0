"""The best of several pictures of a prompt; ``guidanced.diffusers`` has these names, too."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .arguments import numbers, strings, whole
from .client import Client
from .errors import ArgumentError, ItemError
from .images import Images
from .search import mean_ranks

_COMBINATIONS = ("rank_mean", "weighted", "zscore")


@dataclass(frozen=True)
class Chosen:
    """A picture that was kept.

    Attributes:
        image: as it was handed in, or as the pipeline made it.
        index: its number among all; for ``best_of`` its seed is ``seed`` + index.
        score: what it was chosen by, greater for better.
        scores: by each metric.
    """

    image: Any
    index: int
    score: float
    scores: tuple[float, ...]


def rerank(
    images: Sequence[Images],
    prompt: str,
    keep: int | None = None,
    *,
    client: Client,
    metrics: Union[str, Sequence[str]] = "cosine",
    combine: str = "rank_mean",
    metric_weights: Union[Sequence[float], None] = None,
    model: str | None = None,
) -> list[Chosen]:
    """Pictures in the order of how well they fit a prompt, best first, ties by their order.

    Args:
        images: a list of single images of any form, or an array [N, …].
        keep: how many to return, all by default.
        metrics: names that ``Client.score`` knows.
        combine: of several metrics: ``"rank_mean"`` (minus the mean of ranks), ``"zscore"`` (the mean of
            scores in standard deviations from their mean) or ``"weighted"`` (the sum of scores times
            ``metric_weights``).

    Raises:
        ItemError: when no picture can be judged; single ones that cannot are left out.
    """
    names = strings(metrics, "metrics")
    if combine not in _COMBINATIONS:
        raise ArgumentError(f"combine: expected one of {_COMBINATIONS}, found {combine!r}")
    weights = None if metric_weights is None else numbers(metric_weights, "metric_weights")
    if (combine == "weighted") != (weights is not None) or len(weights or names) != len(names):
        raise ArgumentError("metric_weights: one a metric, with combine='weighted' and not else")
    pictures = list(images)
    rows = [client.score(pictures, prompt, metric=name, model=model, strict=False) for name in names]
    table = np.stack([np.asarray(row, dtype=np.float64)[:, 0] for row in rows])
    if table.shape[1] != len(pictures):
        raise ArgumentError("images: expected single images in the list, found a batch among them")
    valid = np.flatnonzero(~np.isnan(table).any(axis=0))
    if valid.size == 0:
        raise ItemError(rows[0].items, [])
    combined = _combined(table[:, valid], combine, weights)
    order = np.argsort(-combined, kind="stable")
    if keep is not None:
        order = order[: whole(keep, "keep", range(1, 1 << 31))]
    return [
        Chosen(
            pictures[valid[place]],
            int(valid[place]),
            float(combined[place]),
            tuple(table[:, valid[place]].tolist()),
        )
        for place in order
    ]


def _combined(
    table: NDArray[np.float64], combine: str, weights: Sequence[float] | None
) -> NDArray[np.float64]:
    """One number a picture, of all metrics [M, N]."""
    result: NDArray[np.float64]
    if weights is not None:
        result = np.asarray(weights) @ table
    elif len(table) == 1:
        result = table[0]
    elif combine == "rank_mean":
        result = -mean_ranks(table)
    else:
        spread = table.std(axis=1, keepdims=True)
        away = table - table.mean(axis=1, keepdims=True)
        result = np.divide(away, spread, out=np.zeros_like(table), where=spread > 0).mean(axis=0)
    return result


def best_of(
    pipe: Any,
    prompt: str,
    n: int = 4,
    keep: int = 1,
    *,
    client: Client,
    metrics: Union[str, Sequence[str]] = "cosine",
    combine: str = "rank_mean",
    metric_weights: Union[Sequence[float], None] = None,
    model: str | None = None,
    seed: int = 0,
    batch: int = 1,
    judged_by: str | None = None,
    **arguments: Any,
) -> list[Chosen]:
    """The best of N pictures that a pipeline makes of a prompt, best first.

    Args:
        pipe: a diffusers pipeline, which gives PIL images.
        seed: of the first picture; the others have the seeds behind it, each a generator of its own, so
            that ``batch`` changes no noise.
        batch: how many are made at once.
        judged_by: the prompt for the judges, by default the pipeline's.
        arguments: of the pipeline, such as ``num_inference_steps`` or what ``encode`` gives; with
            ``prompt_embeds`` among them the pipeline does not see the prompt.
    """
    for name in ("generator", "num_images_per_prompt", "output_type", "prompt"):
        if name in arguments:
            raise ArgumentError(f"{name}: best_of sets it itself")
    torch: Any = importlib.import_module("torch")
    count = whole(n, "n", range(1, 1 << 31))
    size = whole(batch, "batch", range(1, 1 << 31))
    pictures: list[Any] = []
    while len(pictures) < count:
        first = seed + len(pictures)
        seeds = range(first, min(first + size, seed + count))
        generators = [torch.Generator("cpu").manual_seed(number) for number in seeds]
        given = arguments if "prompt_embeds" in arguments else {"prompt": prompt, **arguments}
        made = pipe(num_images_per_prompt=len(generators), generator=generators, **given).images
        if len(made) != len(generators):
            raise ArgumentError(f"pipe: gave {len(made)} pictures, expected {len(generators)}")
        pictures += made
    return rerank(
        pictures,
        prompt if judged_by is None else judged_by,
        keep,
        client=client,
        metrics=metrics,
        combine=combine,
        metric_weights=metric_weights,
        model=model,
    )
