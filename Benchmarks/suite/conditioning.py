"""What a prompt's language costs beside the towers: weights, chunks and schedules.

Each case is a request with the feature and one in plain text that runs as many rows of tokens through
the same towers; what the first takes more than the second is the cost. No prompt is sent twice, so
nothing of it is cached.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from guidanced import Client, Error

from . import report
from .rounds import Effort, Failed, Series, alternate
from .rows import Row, Target, gap

TARGET = Target.at_most_share(0.01)
CHUNK = 75
"""Content tokens of a row."""

# One token each in CLIP's vocabulary.
WORDS = (
    "cat dog red blue green house tree river mountain city night light rain snow gold silver old young "
    "woman man child bird horse fish flower garden forest beach ocean sky cloud star moon sun fire water "
    "stone wood glass metal paper street bridge tower castle train ship car road door window table chair "
    "book lamp mirror clock hat coat dress crown sword portrait painting photo sketch"
).split()


def words(source: random.Random, count: int) -> list[str]:
    """As many tokens, drawn anew for each prompt."""
    return source.choices(WORDS, k=count)


@dataclass(frozen=True)
class Case:
    """A feature of a prompt's language, and plain text with as many rows.

    ``featured`` makes the parameters of ``condition`` that have the feature; ``rows`` is how many
    rows of tokens an encoder runs for them, and how many prompts of one row the plain request has.
    """

    name: str
    rows: int
    featured: Callable[[random.Random], dict[str, Any]]

    def plain(self, source: random.Random) -> dict[str, Any]:
        """One request of ``rows`` plain prompts that fill a row each."""
        return {"prompts": [" ".join(words(source, CHUNK)) for _ in range(self.rows)]}


def weighted(syntax: str, *forms: str) -> Callable[[random.Random], dict[str, Any]]:
    """75 words, of which some have weights: every fifth one is put into a form, in turn."""

    def make(source: random.Random) -> dict[str, Any]:
        turn = itertools.cycle(forms)
        spelled = [next(turn).format(word) if number % 5 == 2 else word
                   for number, word in enumerate(words(source, CHUNK))]
        return {"prompts": [" ".join(spelled)], "syntax": syntax}

    return make


def weakened(source: random.Random) -> dict[str, Any]:
    """compel's weight below 1: one row more without the fragment, one for the pooled vector."""
    spelled = words(source, CHUNK)
    spelled[10] = f"({' '.join(spelled[10:14])})0.6"
    del spelled[11:14]
    return {"prompts": [" ".join(spelled)], "syntax": "compel", "long_prompts": "truncate"}


def chunked(source: random.Random) -> dict[str, Any]:
    return {"prompts": [" ".join(words(source, 3 * CHUNK))], "long_prompts": "chunk"}


def chunked_and_weighted(source: random.Random) -> dict[str, Any]:
    spelled = [f"({word}:1.2)" if number % 9 == 4 else word
               for number, word in enumerate(words(source, 3 * CHUNK))]
    return {"prompts": [" ".join(spelled)], "syntax": "a1111", "long_prompts": "chunk"}


def scheduled(source: random.Random) -> dict[str, Any]:
    """Four segments of steps: 74 words, of which one changes twice, and another once."""
    first = words(source, 72)
    changing = f"[[{source.randrange(10**6)}:{source.randrange(10**6)}:5]:castle:15]"
    return {"prompts": [" ".join(first[:30]) + f" {changing} " + " ".join(first[30:60])
                        + " [bridge:river:10]"], "syntax": "a1111", "steps": 20}


CASES = (
    Case("weights, a1111", 1, weighted("a1111", "({}:1.3)", "[{}]", "(({}))")),
    Case("weights, comfy", 1, weighted("comfy", "({}:1.3)", "({}:0.8)", "(({}))")),
    Case("weights, compel", 2, weighted("compel", "{}++", "({})1.3")),
    Case("weights below 1, compel", 3, weakened),
    Case("3 chunks, plain", 3, chunked),
    Case("3 chunks and weights, a1111", 3, chunked_and_weighted),
    Case("schedule of 4 texts, a1111", 4, scheduled),
)


@dataclass
class Cost:
    """The pairs of one case: seconds with the feature and in plain text, round by round."""

    featured: Series = field(default_factory=Series)
    plain: Series = field(default_factory=Series)

    @property
    def shares(self) -> list[float]:
        """What the feature adds, as shares of the plain request of the same round."""
        pairs = zip(self.featured.seconds, self.plain.seconds, strict=True)
        return [with_feature / without - 1 for with_feature, without in pairs]

    @property
    def seconds(self) -> float:
        """What it adds: the median of the rounds' differences."""
        pairs = zip(self.featured.seconds, self.plain.seconds, strict=True)
        return median(with_feature - without for with_feature, without in pairs)
