"""A row of the table: what was measured, what is wanted, and whether it is met."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """A bound on a row's value: ``at_least`` or ``at_most``, and how to say it."""

    bound: float
    at_least: bool
    text: str

    @classmethod
    def times(cls, bound: float) -> Target:
        return cls(bound, True, f"≥ {bound:g}×")

    @classmethod
    def share(cls, bound: float) -> Target:
        return cls(bound, True, f"≥ {100 * bound:g} %")

    @classmethod
    def at_most_share(cls, bound: float) -> Target:
        return cls(bound, False, f"≤ {100 * bound:g} %")

    def met_by(self, value: float) -> bool:
        """False for NaN."""
        if math.isnan(value):
            return False
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Row:
    """One line.

    ``value`` is what the target bounds; ``None`` is a gap, whose reason is in ``notes``.
    ``medians`` has the seconds of every contestant.
    """

    work: str
    ours: str = "–"
    peer: str = "–"
    ratio: str = "–"
    value: float | None = None
    target: Target | None = None
    notes: tuple[str, ...] = ()
    medians: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> str:
        if self.target is None:
            return "–"
        if self.value is None:
            return "gap"
        return "yes" if self.target.met_by(self.value) else "**no**"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Row:
        """From ``document()``."""
        values = dict(document)
        target = values.pop("target")
        values["notes"] = tuple(values["notes"])
        return cls(target=None if target is None else Target(**target), **values)


def gap(work: str, reason: str, target: Target | None = None) -> Row:
    """A row that could not be measured."""
    return Row(work, target=target, notes=(reason,))


@dataclass
class Section:
    """The rows of one model and precision, or of the daemon, measured together."""

    title: str
    date: str
    rows: list[Row] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"title": self.title, "date": self.date, "versions": self.versions,
                "notes": self.notes, "rows": [row.document() for row in self.rows]}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Section:
        """From ``document()``."""
        rows = [Row.of(row) for row in document["rows"]]
        return cls(document["title"], document["date"], rows, dict(document["versions"]),
                   list(document["notes"]))

    def merged_with(self, newer: Section) -> Section:
        """The newer rows in the place of those about the same work; the others stay."""
        fresh = {row.work: row for row in newer.rows}
        rows = [fresh.pop(row.work, row) for row in self.rows] + list(fresh.values())
        return Section(self.title, newer.date, rows, self.versions | newer.versions, newer.notes)
