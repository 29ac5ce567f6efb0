"""Prompts that use a feature of a prompt language, and plain ones that run as many rows of tokens."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Params = dict[str, Any]
"""Of `condition`."""

CHUNK = 75
"""Content tokens of a row."""

# One token each in CLIP's vocabulary.
WORDS = (
    "cat dog red blue green house tree river mountain city night light rain snow gold silver old "
    "young woman man child bird horse fish flower garden forest beach ocean sky cloud star moon "
    "sun fire water stone wood glass metal paper street bridge tower castle train ship car road "
    "door window table chair book lamp mirror clock hat coat dress crown sword portrait photo"
).split()


def words(source: random.Random, count: int) -> list[str]:
    """As many tokens, drawn anew for each prompt."""
    return source.choices(WORDS, k=count)


@dataclass(frozen=True)
class Case:
    """A feature of a prompt language.

    ``featured`` makes the parameters of a request that has it. They take ``rows`` rows of tokens
    in each encoder, and ``pooled`` more in one that gives a pooled vector.
    """

    name: str
    rows: int
    featured: Callable[[random.Random], Params]
    pooled: int = 0

    def rows_in(self, encoders: int) -> int:
        """Rows in all encoders together: one without a pooled vector, or two, the second with."""
        return self.rows if encoders == 1 else 2 * self.rows + self.pooled

    def plain(self, source: random.Random, encoders: int) -> Params:
        """Plain prompts that run the same number of rows in each encoder, full ones."""
        first = [" ".join(words(source, CHUNK)) for _ in range(self.rows)]
        if encoders == 1 or self.pooled == 0:
            return {"prompts": first}
        # A prompt that is repeated runs once: only the second encoder has more rows.
        count = self.rows + self.pooled
        return {"prompts": first + first[-1:] * self.pooled,
                "prompts_2": [" ".join(words(source, CHUNK)) for _ in range(count)]}


def weighted(syntax: str, *forms: str) -> Callable[[random.Random], Params]:
    """A full row of which every fifth word has a weight, in one form after the other."""

    def make(source: random.Random) -> Params:
        turn = itertools.cycle(forms)
        spelled = [next(turn).format(word) if number % 5 == 2 else word
                   for number, word in enumerate(words(source, CHUNK))]
        return {"prompts": [" ".join(spelled)], "syntax": syntax}

    return make


def weakened(source: random.Random) -> Params:
    """compel's weight below 1, which also runs the row without the fragment."""
    found = words(source, CHUNK)
    spelled = [*found[:10], f"({' '.join(found[10:14])})0.6", *found[14:]]
    return {"prompts": [" ".join(spelled)], "syntax": "compel"}


def chunked(source: random.Random) -> Params:
    """Three full rows."""
    return {"prompts": [" ".join(words(source, 3 * CHUNK))], "long_prompts": "chunk"}


def chunked_and_weighted(source: random.Random) -> Params:
    """Three full rows with 25 weights."""
    spelled = [f"({word}:1.2)" if number % 9 == 4 else word
               for number, word in enumerate(words(source, 3 * CHUNK))]
    return {"prompts": [" ".join(spelled)], "syntax": "a1111", "long_prompts": "chunk"}


def scheduled(source: random.Random) -> Params:
    """Four texts over twenty steps: one word changes twice, another once."""
    found = words(source, 60)
    # Numbers are several tokens; there is room for them.
    first, second = source.sample(range(1000), 2)
    spelled = [*found[:30], f"[[{first}:{second}:5]:castle:15]", *found[30:], "[bridge:river:10]"]
    return {"prompts": [" ".join(spelled)], "syntax": "a1111", "steps": 20}


WEIGHED_AGAINST_EMPTY = Case(
    "weights, comfy", 1, weighted("comfy", "({}:1.3)", "({}:0.8)", "(({}))"))
CASES = (
    Case("weights, a1111", 1, weighted("a1111", "({}:1.3)", "[{}]", "(({}))")),
    WEIGHED_AGAINST_EMPTY,
    Case("weights, compel", 1, weighted("compel", "{}++", "({})1.3"), pooled=1),
    Case("a weight below 1, compel", 2, weakened, pooled=1),
    Case("3 chunks, plain", 3, chunked),
    Case("3 chunks with weights, a1111", 3, chunked_and_weighted),
    Case("schedule of 4 texts, a1111", 4, scheduled),
)
