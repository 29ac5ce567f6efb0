"""Measures the daemon against its peers and fills the table of targets.

    python Benchmarks/bench.py [--quick] [--models vit-b-32 …] [--rows image …] [--rounds N]

Runs in the reference environment (`make bench`). Random-weight checkpoints, exported towers and
logs go to bench/. A run writes its rows to Benchmarks/RESULTS.md and keeps those of earlier runs
that it did not measure again, unless --fresh is given.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[1] / "Clients/python/src")]

from suite import machine, report  # noqa: E402
from suite.conditioning import ConditioningRows  # noqa: E402
from suite.int8 import Int8Rows  # noqa: E402
from suite.models import FOLDER, MODELS, ROOT  # noqa: E402
from suite.plan import PRECISIONS, ROWS, Plan  # noqa: E402
from suite.rounds import Effort, Failed  # noqa: E402
from suite.rows import Section  # noqa: E402
from suite.service import ServiceRows  # noqa: E402
from suite.towers import PEERS, TOWERS, ModelRows  # noqa: E402

BATCHES = {"image": (1, 8, 32), "gradient": (1, 8), "text": (1, 8), "text77": (1, 8)}
QUICK_BATCHES = {"image": (1, 8), "gradient": (1,), "text": (8,), "text77": (8,)}


def parse() -> tuple[Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release/guidanced")
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="MODEL",
                        help=f"of {', '.join(MODELS)}; all by default, vit-b-32 with --quick")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", default=ROWS,
                        help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--batches", nargs="+", type=int, metavar="N",
                        help="of the batch sizes that are measured, only these")
    parser.add_argument("--peers", nargs="*", choices=PEERS, metavar="PEER",
                        help=f"of {', '.join(PEERS)}; all by default, without torch-compile "
                             "with --quick")
    parser.add_argument("--rounds", type=int, help="5 by default, 3 with --quick; fewer for slow work")
    parser.add_argument("--quick", action="store_true", help="an impression in a few minutes")
    parser.add_argument("--fresh", action="store_true", help="forget the rows of earlier runs")
    parser.add_argument("--out", type=Path, default=ROOT / "Benchmarks/RESULTS.md")
    given = parser.parse_args()
    quick = given.quick
    rounds = given.rounds or (3 if quick else 5)
    if rounds < 1:
        parser.error("--rounds: expected 1 or more")
    names = given.models or (["vit-b-32"] if quick else list(MODELS))
    peers = given.peers
    if peers is None:
        peers = [name for name in PEERS if not (quick and name == "torch-compile")]
    conditioning = Effort(5, least=4.0, most=10.0) if quick else Plan.conditioning
    if given.rounds:
        conditioning = replace(conditioning, rounds=given.rounds)
    plan = Plan(
        binary=given.bin.resolve(),
        models=tuple(MODELS[name] for name in names),
        precisions=tuple(given.precisions),
        rows=frozenset(given.rows),
        effort=Effort(rounds, least=1.0 if quick else 4.0, most=20.0 if quick else 60.0),
        threads=machine.threads(),
        engines=tuple(peers),
        batches=QUICK_BATCHES if quick else BATCHES,
        flat_requests=1_000 if quick else 10_000,
        pings=500 if quick else 2_000,
        starts=3 if quick else 5,
        conditioning=conditioning,
    )
    return plan, given


def sections(plan: Plan) -> Iterator[Section]:
    """All parts of the table, each when it is measured."""
    peak, problem = {}, ""
    try:
        peak = machine.peaks(plan.binary)
    except Failed as failure:
        problem = f"guidanced bench --peak: {failure}"
    if plan.rows & {*TOWERS, "memory"}:
        for model in plan.models:
            for precision in plan.precisions:
                yield ModelRows(plan, model, precision, peak, problem).measure()
    if plan.rows & {"int8", "spearman"}:
        yield Int8Rows(plan, plan.models).measure()
    if plan.rows & {"daemon", "ping", "flat", "start", "preprocess", "condition"}:
        yield ServiceRows(plan).measure()
    if "conditioning" in plan.rows:
        found = ConditioningRows(plan).measure()
        if found.rows:
            yield found


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends too
    plan, given = parse()
    if given.batches:
        kept = {work: tuple(n for n in sizes if n in given.batches)
                for work, sizes in plan.batches.items()}
        plan = Plan(**{**vars(plan), "batches": kept})
    if not plan.binary.is_file():
        print(f"bench: {plan.binary}: build the daemon first (make build)", file=sys.stderr)
        return 66
    store = report.Store(FOLDER / "results.json", given.fresh)
    described = machine.describe()
    for part in sections(plan):
        part.versions["guidanced"] = machine.our_version(plan.binary)
        print(report.section(store.add(part)), end="\n\n", flush=True)
        text = report.document(described, list(store.sections.values()), "make bench")
        given.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
