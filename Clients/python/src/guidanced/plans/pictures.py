"""Embeddings, scores, rankings and classes of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np

from ..arguments import Texts, strings, whole
from ..errors import MalformedReply
from ..images import Images, Listed, list_images
from ..results import Classification, Handle, Ranked, Ranking, ResultArray
from .asking import Plan, Session, checked
from .over_images import Outcome, Wording, embedding_width, over_images, prompts_of
from .texts import cut


def embed_image(
    session: Session, images: Images, *, normalize: bool, model: str | None, strict: bool
) -> Plan[ResultArray]:
    """float32 [N, D]."""
    listed = list_images(images)
    params = {"normalize": normalize}
    outcome = yield from over_images(session, "embed_image", listed, params, Wording(), model)
    width = 0 if outcome.parts else (yield from embedding_width(session, model, "vision"))
    rows = outcome.rows("embeddings", (None,), width)
    return checked(ResultArray(rows, outcome.items, outcome.fingerprint), outcome.items, strict)


def score(
    session: Session,
    images: Images,
    prompts: Union[Texts, Handle],
    *,
    metric: str,
    pairwise: bool,
    long_prompts: str | None,
    model: str | None,
    strict: bool,
) -> Plan[ResultArray]:
    """float32 [N, P], with ``pairwise`` [N]."""
    listed = list_images(images)
    params = {"metric": metric, "pairwise": pairwise}
    if isinstance(prompts, Handle) or pairwise:
        parts = [prompts]
    else:
        limits = yield from session.limits(listed.count)
        parts = list(cut(strings(prompts, "prompts"), limits, limits.texts))
    columns: list[ResultArray] = []
    for part in parts:
        wording, count = prompts_of(
            part, params, images=listed.count, pairwise=pairwise, long_prompts=long_prompts
        )
        outcome = yield from over_images(session, "score", listed, params, wording, model)
        rows = outcome.rows("scores", () if pairwise else (count,))
        columns.append(ResultArray(rows, outcome.items, outcome.fingerprint))
    first = columns[0]
    items = _without_repeats(columns)
    values = first if len(columns) == 1 else np.concatenate(columns, axis=1)
    return checked(ResultArray(values, items, first.fingerprint), items, strict)


def _without_repeats(columns: Sequence[ResultArray]) -> tuple[Any, ...]:
    """One failure an item, though each stretch of prompts has met it anew."""
    found = {failure.index: failure for column in reversed(columns) for failure in column.items}
    return tuple(found[index] for index in sorted(found))


def rank(
    session: Session,
    images: Images,
    prompt: Union[str, Handle],
    *,
    top_k: int | None,
    metric: str,
    long_prompts: str | None,
    model: str | None,
    strict: bool,
) -> Plan[Ranking]:
    """Best first, ties by index."""
    listed = list_images(images)
    params: dict[str, Any] = {"metric": metric}
    if top_k is not None:
        params["top_k"] = whole(top_k, "top_k")
    wording, _ = prompts_of(
        prompt, params, name="prompt", images=listed.count, long_prompts=long_prompts
    )
    outcome = yield from over_images(session, "rank", listed, params, wording, model)
    ranked = [entry for part in outcome.parts for entry in _ranked(part.reply.result, part.indices)]
    if len(outcome.parts) > 1:
        ranked.sort(key=lambda entry: (-entry.score, entry.index))
    result = Ranking(ranked[: params.get("top_k", len(ranked))], outcome.items)
    return checked(result, outcome.items, strict)


def _ranked(result: Mapping[str, Any], indices: Sequence[int]) -> list[Ranked]:
    ranking = result.get("ranking")
    if not isinstance(ranking, list):
        raise MalformedReply("result.ranking is no list")
    found = []
    for entry in ranking:
        index = entry.get("index") if isinstance(entry, dict) else None
        value = entry.get("score") if isinstance(entry, dict) else None
        if not isinstance(index, int) or not isinstance(value, (int, float)):
            raise MalformedReply(f"result.ranking holds {entry!r:.80}")
        if not 0 <= index < len(indices):
            raise MalformedReply(f"result.ranking holds the index {index} of {len(indices)} images")
        found.append(Ranked(indices[index], float(value)))
    return found


def classify(
    session: Session,
    images: Images,
    labels: Texts,
    *,
    templates: Union[Texts, None],
    long_prompts: str | None,
    model: str | None,
    strict: bool,
) -> Plan[Classification]:
    """Probabilities float32 [N, L]."""
    listed: Listed = list_images(images)
    names = strings(labels, "labels")
    texts: dict[str, Any] = {"labels": list(names)}
    if templates is not None:
        texts["templates"] = list(strings(templates, "templates"))
    if long_prompts is not None:
        texts["long_prompts"] = long_prompts
    outcome: Outcome = yield from over_images(
        session, "classify", listed, {}, Wording(texts), model
    )
    rows = outcome.rows("probabilities", (len(names),))
    return checked(Classification(rows, names, outcome.items), outcome.items, strict)
