"""Renders sections as Markdown, and keeps them between partial runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .rounds import OURS
from .rows import Section

HEADINGS = ("work", "ours", "best peer (which)", "ratio", "target", "met?")


def table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned."""
    body = [[_cell(cell) for cell in line] for line in lines]
    widths = [max(len(row[i]) for row in [list(headings), *body]) for i in range(len(headings))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [list(headings), rule, *body]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def seconds(value: float) -> str:
    """Three significant digits in the unit that fits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or unit == "µs":
            return f"{digits(value * factor)} {unit}"
    raise AssertionError("unreachable")


def digits(value: float) -> str:
    """About three significant digits, without an exponent."""
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"


def mebibytes(count: float) -> str:
    return f"{count / 2**20:,.0f} MiB"


def section(part: Section) -> str:
    """One section: the table, every contestant's median, and the notes."""
    lines = [f"## {part.title}", "", f"Measured {part.date}.", ""]
    lines.append(
        table(
            HEADINGS,
            [(r.work, r.ours, r.peer, r.ratio, r.target.text if r.target else "–", r.met)
             for r in part.rows],
        )
    )
    all_medians = _medians(part)
    if all_medians:
        lines += ["", "Medians of all, milliseconds for the whole batch:", "", all_medians]
    notes = [f"- {row.work}: {note}" for row in part.rows for note in row.notes]
    notes += [f"- {note}" for note in part.notes]
    if notes:
        lines += ["", "Notes and gaps:", "", *dict.fromkeys(notes)]
    return "\n".join(lines)


def _medians(part: Section) -> str:
    rows = [row for row in part.rows if len(row.medians) > 1]
    names = list(dict.fromkeys(name for row in rows for name in row.medians))
    names.sort(key=lambda name: name != OURS)
    if not names:
        return ""
    return table(
        ("work", *names),
        [(row.work, *(digits(1e3 * row.medians[n]) if n in row.medians else "–" for n in names))
         for row in rows],
    )


def document(machine: Mapping[str, str], sections: Sequence[Section], command: str) -> str:
    """The whole of RESULTS.md."""
    versions: dict[str, str] = {}
    for part in sections:
        versions |= part.versions
    counted = [row for part in sections for row in part.rows if row.target is not None]
    met = sum(row.met == "yes" for row in counted)
    gaps = sum(row.met == "gap" for row in counted)
    parts = [
        "# Benchmark results",
        f"Written by `{command}`; `Benchmarks/README.md` explains the rows. Random weights of the "
        "real shapes. Contestants take turns in rounds; a ratio is the median over the rounds of "
        "the ratio within a round, to the strongest peer at the same precision. Only ratios "
        "mean something on another machine.",
        f"{met} of {len(counted)} targets met, {gaps} not measured.",
        table(("machine", ""), machine.items()),
        table(("software", "version"), versions.items()),
        *(section(part) for part in sections),
    ]
    return "\n\n".join(parts) + "\n"


class Store:
    """Sections of earlier partial runs, so that one model can be measured again by itself."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self._path = path
        self.sections: dict[str, Section] = {}
        if not fresh and path.is_file():
            for entry in json.loads(path.read_text()):
                self.sections[entry["title"]] = Section.of(entry)

    def add(self, part: Section) -> Section:
        """Merges a section and writes all of them; returns the merged one."""
        earlier = self.sections.get(part.title)
        merged = part if earlier is None else earlier.merged_with(part)
        self.sections[part.title] = merged
        self._path.parent.mkdir(parents=True, exist_ok=True)
        documents = [entry.document() for entry in self.sections.values()]
        self._path.write_text(json.dumps(documents, indent=1, ensure_ascii=False) + "\n")
        return merged
