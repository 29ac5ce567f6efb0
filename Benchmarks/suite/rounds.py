"""Alternating measurements: who is measured when, and what the figures of one run say.

The machine is shared and its speed drifts, so only figures of the same round are compared: a ratio
is the median over the rounds of (peer's seconds / our seconds) within a round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

OURS = "guidanced"

Contestant = Callable[[], float]
"""Does the work once and returns the seconds; raises ``Failed``."""


class Failed(Exception):
    """A contestant cannot do the work; the message says why."""


@dataclass
class Series:
    """One contestant's seconds, one a round; or the problem that ended it."""

    seconds: list[float] = field(default_factory=list)
    problem: str | None = None

    @property
    def median(self) -> float | None:
        return median(self.seconds) if self.seconds and self.problem is None else None


@dataclass(frozen=True)
class Effort:
    """How long one work may be measured.

    ``rounds`` of ordinary work; as few as three when they would take longer than ``most`` seconds,
    as many as five times ``rounds`` while they take less than ``least`` seconds.
    """

    rounds: int = 5
    least: float = 4.0
    most: float = 60.0

    def rounds_of(self, seconds: float) -> int:
        """The number of rounds when one takes ``seconds``."""
        if not math.isfinite(seconds) or seconds <= 0:
            return self.rounds
        if seconds * self.rounds > self.most:
            return max(min(3, self.rounds), int(self.most / seconds))
        return max(self.rounds, min(5 * self.rounds, int(self.least / seconds)))


def alternate(contestants: Mapping[str, Contestant], effort: Effort) -> dict[str, Series]:
    """Measures all in turn: one warm-up each, then rounds, each round beginning one further on.

    One that fails is not asked again and keeps its problem; the others go on.
    """
    found = {name: Series() for name in contestants}

    def ask(name: str) -> float | None:
        if found[name].problem is None:
            try:
                return contestants[name]()
            except Failed as problem:
                found[name].problem = str(problem)
        return None

    for name in contestants:
        ask(name)
    names = list(contestants)
    rounds, number = 1, 0
    while number < rounds:
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            seconds = ask(name)
            if seconds is not None:
                found[name].seconds.append(seconds)
        if number == 0:
            rounds = effort.rounds_of(sum(sum(series.seconds) for series in found.values()))
        number += 1
    return found


def paired_ratio(ours: Series, peer: Series) -> float | None:
    """How many times as fast we are: the median of the rounds' ratios, or None without figures."""
    if ours.problem is not None or peer.problem is not None:
        return None
    pairs = list(zip(ours.seconds, peer.seconds, strict=True))
    return median(theirs / mine for mine, theirs in pairs) if pairs else None


@dataclass(frozen=True)
class Comparison:
    """One work: our median seconds, the strongest peer, and the ratio to it."""

    ours: float | None
    peer: str | None
    theirs: float | None
    ratio: float | None
    medians: dict[str, float]
    problems: dict[str, str]


def compare(waves: Sequence[Mapping[str, Series]]) -> Comparison:
    """Finds the strongest peer among all waves, each of which has our own series in it.

    The strongest is the one with the lowest ratio; without figures of ours, with the lowest median.
    """
    medians: dict[str, float] = {}
    problems: dict[str, str] = {}
    peers: list[tuple[float, str, float, float | None]] = []
    mine: list[float] = []
    for wave in waves:
        ours = wave.get(OURS, Series(problem="not measured"))
        for name, series in wave.items():
            if series.problem is not None:
                problems[name] = series.problem
            middle = series.median
            if middle is None:
                continue
            if name == OURS:
                mine.extend(series.seconds)
                continue
            medians[name] = middle
            ratio = paired_ratio(ours, series)
            peers.append((middle if ratio is None else ratio, name, middle, ratio))
    if mine:
        medians[OURS] = median(mine)
    # A wave in which ours failed has no ratios; do not let its seconds compete with ratios.
    if any(entry[3] is not None for entry in peers):
        peers = [entry for entry in peers if entry[3] is not None]
    if not peers:
        return Comparison(medians.get(OURS), None, None, None, medians, problems)
    _, name, theirs, ratio = min(peers)
    return Comparison(medians.get(OURS), name, theirs, ratio, medians, problems)


def waves_of(needs: Mapping[str, int], ours: int, available: int) -> list[list[str]]:
    """Splits peers into groups that fit into memory together with our process.

    Args:
        needs: bytes that each peer takes, in the order in which they are tried.
        ours: bytes of our own process, which is in every group.
        available: bytes of the machine.

    A peer that does not fit by itself gets a group of its own: the estimate may be too high.
    """
    groups: list[tuple[int, list[str]]] = []
    for name, need in needs.items():
        for index, (used, names) in enumerate(groups):
            if used + need <= available:
                groups[index] = (used + need, [*names, name])
                break
        else:
            groups.append((ours + need, [name]))
    return [names for _, names in groups] or [[]]


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share their mean rank. NaN for constant input."""
    if len(first) != len(second):
        raise ValueError(f"expected two of one length, found {len(first)} and {len(second)}")
    a, b = _ranks(first), _ranks(second)
    mean = (len(a) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b))
    return covariance / spread if spread > 0 else math.nan


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in range(start, end):
            ranks[order[place]] = (start + end + 1) / 2
        start = end
    return ranks
