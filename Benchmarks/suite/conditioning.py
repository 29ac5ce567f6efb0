"""What a prompt's language costs beside the towers: weights, chunks and schedules.

Each case is a request with the feature and a plain one that runs as many rows of tokens through the
same towers; what the first takes longer is the cost. No prompt is sent twice, so that none is cached;
only the empty prompt is, which dialects weigh against.
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from guidanced import Client, Error

from . import report
from .models import MODELS
from .pipelines import PIPELINES, Pipeline
from .plan import Plan
from .prompts import CASES, WEIGHED_AGAINST_EMPTY, Params
from .rounds import Failed, Series, alternate
from .rows import Row, Section, Target, gap
from .served import Served

TARGET = Target.at_most_share(0.01)
CACHED = Target(1e-3, False, "≤ 1 ms")
FEATURED, PLAIN = "featured", "plain"


def shares(featured: Series, plain: Series) -> list[float]:
    """What the feature adds, as shares of the plain request of the same round, least first."""
    pairs = zip(featured.seconds, plain.seconds, strict=True)
    return sorted(with_feature / without - 1 for with_feature, without in pairs)


def median_between(ordered: Sequence[float]) -> tuple[float, float]:
    """The two values between which the median of what they were drawn from lies, at 95 %.

    Their ranks are n/2 ± 0.98·√n: the binomial distribution's, by the normal one.
    """
    count = len(ordered)
    reach = 0.98 * math.sqrt(count)
    return (ordered[max(0, math.floor(count / 2 - reach))],
            ordered[min(count - 1, math.floor(count / 2 + reach))])


def percent(value: float) -> str:
    """With a sign and one digit behind the point."""
    tenths = round(1000 * value)
    return f"{'−' if tenths < 0 else '+'}{abs(tenths) / 10:.1f} %"


def cost(work: str, found: dict[str, Series]) -> Row:
    """The row of one case."""
    featured, plain = found[FEATURED], found[PLAIN]
    problems = [series.problem for series in (featured, plain) if series.problem is not None]
    if problems or featured.median is None or plain.median is None:
        return gap(work, "; ".join(problems) or "not measured", TARGET)
    ordered = shares(featured, plain)
    low, high = median_between(ordered)
    return Row(
        work, report.seconds(featured.median),
        f"{report.seconds(plain.median)} (as many plain rows)", percent(median(ordered)),
        median(ordered), TARGET,
        (f"median of {len(ordered)} pairs, at 95 % between {percent(low)} and {percent(high)}",))


@dataclass(frozen=True)
class Asking:
    """Sends requests of one pipeline's recipe."""

    client: Client
    pipeline: Pipeline

    def __call__(self, params: Params) -> tuple[float, int]:
        """The seconds until the reply, and how many rows of tokens were run for it."""
        start = time.perf_counter()
        try:
            reply = self.client.request("condition", {**params, "recipe": self.pipeline.recipe})
        except Error as problem:
            raise Failed(f"{problem.code}: {problem.message}") from None
        seconds = time.perf_counter() - start
        return seconds, reply.result["cache"]["rows"]

    def seconds(self, params: Params, rows: int) -> float:
        """The seconds until the reply, which must have taken this number of rows."""
        seconds, found = self(params)
        if found != rows:
            raise Failed(f"expected {rows} rows through the towers, found {found}")
        return seconds


class ConditioningRows:
    """Measures through the daemon, with the encoders of whole pipelines."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._source = random.Random(20)
        models = {model.name for model in plan.models}
        self.pipelines = [p for p in PIPELINES if set(p.encoders) <= models]
        self.section = Section("Conditioning", f"{datetime.now():%Y-%m-%d %H:%M}")

    def measure(self) -> Section:
        """All rows; what fails is a gap. None for pipelines whose models are not measured."""
        for pipeline in self.pipelines:
            for precision in self._plan.precisions:
                name = f"{pipeline.title} {precision}"
                print(f"bench: conditioning, {name}", file=sys.stderr, flush=True)
                try:
                    self._measure(pipeline, precision, name)
                except (Failed, OSError) as problem:
                    self.section.rows.append(gap(f"conditioning, {name}", str(problem), TARGET))
        return self.section

    def _measure(self, pipeline: Pipeline, precision: str, name: str) -> None:
        for encoder in pipeline.encoders:
            MODELS[encoder].make()
        with tempfile.TemporaryDirectory(prefix="guidanced-bench-") as folder:
            path = pipeline.write(Path(folder) / "pipeline")
            with Served(
                self._plan.binary, f"conditioning-{precision}", "--model", f"default={path}",
                "--precision", precision, timeout=600,
            ) as daemon, daemon.client() as client:
                ask = Asking(client, pipeline)
                self._once(ask, name)
                for case in CASES:
                    rows = case.rows_in(len(pipeline.encoders))
                    found = alternate(
                        {FEATURED: lambda: ask.seconds(case.featured(self._source), rows),
                         PLAIN: lambda: ask.seconds(
                             case.plain(self._source, len(pipeline.encoders)), rows)},
                        self._plan.conditioning)
                    self.section.rows.append(cost(f"{case.name}, {name}", found))
                self._cached(ask, name)

    def _once(self, ask: Asking, name: str) -> None:
        """What the first prompt that is weighed against the empty one runs beside its own rows."""
        rows = [ask(WEIGHED_AGAINST_EMPTY.featured(self._source))[1] for _ in range(2)]
        # A1111's and compel's prompts ask for it as well, to fill up shorter ones.
        self.section.notes.append(
            f"{name}: the empty prompt is encoded once, with the first prompt that needs it "
            f"({rows[0]} rows of tokens instead of {rows[1]}), and kept.")

    def _cached(self, ask: Asking, name: str) -> None:
        params = WEIGHED_AGAINST_EMPTY.featured(self._source)
        first, _ = ask(params)
        again = [ask.seconds(params, 0) for _ in range(self._plan.pings // 4)]
        middle = median(again)
        self.section.rows.append(Row(
            f"prompt answered before, comfy, {name}", report.seconds(middle),
            f"{report.seconds(first)} (first time)", f"{first / middle:,.0f}×", middle, CACHED))
