"""Token ids and embeddings of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ..arguments import Texts, listed, text_problem
from ..errors import ArgumentError, Error, ItemFailure, MalformedReply, TooLarge
from ..limits import Limits
from ..results import ResultArray, Tokenization
from .asking import Ask, Plan, Session, checked
from .over_images import Outcome, embedding_width


def tokenize(
    session: Session, texts: Texts, *, model: str | None, long_prompts: str, strict: bool
) -> Plan[Tokenization]:
    """Token ids, and what truncation dropped."""
    params = {"long_prompts": long_prompts}
    # A token is at most a byte, and an id at most seven characters with its comma.
    outcome = yield from _over_texts(session, "tokenize", texts, params, model, returned=8)
    tokens: list[list[int]] = [[] for _ in range(outcome.count)]
    dropped: list[Any] = [None] * outcome.count
    for part in outcome.parts:
        found = part.reply.result.get("tokens")
        if not isinstance(found, list) or len(found) != len(part.indices):
            raise MalformedReply(f"result.tokens is no list of {len(part.indices)} entries")
        cut_off = part.reply.result.get("dropped")
        if not isinstance(cut_off, list):
            cut_off = []
        for index, ids, rest in zip_longest(part.indices, found, cut_off[: len(found)]):
            tokens[index] = list(ids) if isinstance(ids, list) else []
            dropped[index] = rest
    return checked(Tokenization(tokens, dropped, outcome.items), outcome.items, strict)


def embed_text(
    session: Session,
    texts: Texts,
    *,
    model: str | None,
    normalize: bool,
    long_prompts: str,
    strict: bool,
) -> Plan[ResultArray]:
    """float32 [N, D]."""
    params = {"normalize": normalize, "long_prompts": long_prompts}
    outcome = yield from _over_texts(session, "embed_text", texts, params, model)
    width = 0 if outcome.parts else (yield from embedding_width(session, model, "text"))
    rows = outcome.rows("embeddings", (None,), width)
    return checked(ResultArray(rows, outcome.items, outcome.fingerprint), outcome.items, strict)


def cut(
    texts: Sequence[str], limits: Limits, most: int, returned: int = 1
) -> Iterator[tuple[str, ...]]:
    """Texts in stretches that a header has room for.

    Args:
        most: texts in one.
        returned: bytes of the reply's header for each byte of a text.
    """
    start, size = 0, 0
    for index, text in enumerate(texts):
        each = encoded_size(text) * returned + 64 * (returned > 1) + 1
        if index > start and (index - start >= most or size + each > limits.header_room):
            yield tuple(texts[start:index])
            start, size = index, 0
        size += each
    if start < len(texts):
        yield tuple(texts[start:])


def encoded_size(text: str) -> int:
    """Bytes of a text in a header."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8"))


def _over_texts(
    session: Session,
    op: str,
    texts: Texts,
    params: Mapping[str, Any],
    model: str | None,
    returned: int = 1,
) -> Plan[Outcome]:
    """The replies of an operation to all texts; what no request can carry fails alone."""
    entries = listed(texts, "texts")
    limits = yield from session.limits(0)
    outcome = Outcome(len(entries))
    sendable: list[int] = []
    for index, entry in enumerate(entries):
        problem = _problem(entry, limits)
        if problem is None:
            sendable.append(index)
        else:
            outcome.failures.append(ItemFailure(index, problem))
    start = 0
    for stretch in cut([entries[i] for i in sendable], limits, limits.texts_at_once, returned):
        pending = [sendable[start : start + len(stretch)]]
        start += len(stretch)
        while pending:
            indices = pending.pop()
            full = {"texts": [entries[i] for i in indices], **params}
            try:
                answer = yield Ask(op, full, model=model)
            except TooLarge as problem:
                if problem.field is not None and not problem.field.startswith("params.texts"):
                    raise
                if len(indices) == 1:
                    outcome.failures.append(ItemFailure(indices[0], problem))
                else:
                    middle = len(indices) // 2
                    pending += [indices[middle:], indices[:middle]]
            else:
                outcome.take(indices, answer.reply)
    return outcome


def _problem(text: object, limits: Limits) -> Error | None:
    """Why a text cannot be sent at all."""
    found = text_problem(text)
    if found is not None:
        return ArgumentError(found)
    size = len(str(text).encode("utf-8"))
    room = min(limits.text_bytes, limits.header_room)
    if size > room or encoded_size(str(text)) > limits.header_room:
        return TooLarge(f"a text of {size} bytes; the daemon takes {room}")
    return None
