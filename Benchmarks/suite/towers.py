"""The rows of one model: its towers against the peers, precision by precision."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from . import report
from .lines import LineProcess
from .machine import OtherWork, available_memory
from .models import FOLDER, LOGS, ROOT, Model
from .plan import Plan
from .rounds import OURS, Comparison, Failed, Series, alternate, compare, waves_of
from .rows import Row, Section, Target, gap

TOWERS = {"image": "vision", "gradient": "vision", "text": "text", "text77": "text"}

_NAMES = {
    "image": ("image, batch {}", "images/s"),
    "gradient": ("score gradient, batch {}", "gradients/s"),
    "text": ("prompt embedding, short prompts, batch {}", "prompts/s"),
    "text77": ("hidden states, 77 tokens, batch {}", "prompts/s"),
}

PEERS = {
    "torch": "PyTorch",
    "torch-compile": "PyTorch compiled",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
"""The engines of peers.worker, and what the table calls them."""

_BESIDE = {"torch": 1.3, "torch-compile": 2.4, "onnxruntime": 2.3, "openvino": 2.3}
"""Memory that an engine takes, in multiples of the tower in fp32: packed copies, and loading."""

_PROCESS = 700 << 20
"""Memory of a peer's process without any weights: the libraries and activations."""


_QUIET = 0.05
"""The share of the machine that others may use without a note."""


def target_of(work: str, batch: int, precision: str) -> Target | None:
    """The bound on the ratio to the strongest peer."""
    if work == "image":
        return Target.times(1.5 if batch == 1 else 1.2)
    if work == "gradient":
        if batch == 1:
            return Target.times(3)
        return Target.times(1.8 if precision == "bf16" else 2)
    return Target.times(5 if work == "text" else 1.2)


def can(name: str, work: str, precision: str) -> bool:
    """Whether a contestant takes part in a row at all."""
    if work == "gradient":
        return name in (OURS, "torch", "torch-compile")
    return name != "onnxruntime" or precision == "f32"


def title_of(work: str, batch: int) -> str:
    return _NAMES[work][0].format(batch)


def comparison_row(work: str, batch: int, precision: str, found: Comparison) -> Row:
    """The row of one work against the peers."""
    unit = _NAMES[work][1]

    def rate(seconds: float) -> str:
        return f"{report.digits(batch / seconds)} {unit}"

    notes = [f"{PEERS.get(name, name)}: {why}" for name, why in found.problems.items()]
    peer = "–"
    if found.peer is not None and found.theirs is not None:
        peer = f"{rate(found.theirs)} ({PEERS.get(found.peer, found.peer)})"
    return Row(
        work=title_of(work, batch),
        ours="–" if found.ours is None else rate(found.ours),
        peer=peer,
        ratio="–" if found.ratio is None else f"{found.ratio:.2f}×",
        value=found.ratio,
        target=target_of(work, batch, precision),
        notes=tuple(notes),
        medians={PEERS.get(name, name): value for name, value in found.medians.items()},
    )


def peak_row(model: Model, batch: int, seconds: float | None, gflops: float | None,
             reason: str) -> Row:
    """How near the image tower comes to what the machine can do."""
    work = f"image, batch {batch}, of the peak"
    target = Target.share(0.9)
    if model.vision is None or seconds is None or gflops is None:
        return gap(work, reason, target)
    limit = 1e9 * gflops / model.vision.operations
    share = batch / seconds / limit
    needed = share * model.vision.needed / model.vision.operations
    return Row(
        work=work,
        ours=f"{report.digits(batch / seconds)} images/s",
        peer=f"{report.digits(limit)} images/s (limit at {report.digits(gflops)} GFLOP/s)",
        ratio=f"{100 * share:.0f} %",
        value=share,
        target=target,
        notes=(f"{100 * needed:.0f} % counting only operations that the pooled output needs",),
    )


def memory_row(resident: int, packed: int, activations: int) -> Row:
    """The resident set against 1.15 × packed weights + the activation budget."""
    limit = 1.15 * packed + activations
    return Row(
        work="memory, resident set",
        ours=report.mebibytes(resident),
        peer=f"{report.mebibytes(limit)} (1.15 × {report.mebibytes(packed)} packed "
             f"+ {report.mebibytes(activations)} activations)",
        ratio=f"{resident / limit:.2f}×",
        value=resident / limit,
        target=Target(1.0, False, "≤ 1×"),
    )


class ModelRows:
    """Measures one model in one precision."""

    def __init__(self, plan: Plan, model: Model, precision: str, peak: Mapping[str, float],
                 peak_problem: str) -> None:
        self._plan = plan
        self._model = model
        self._precision = precision
        self._peak = peak
        self._peak_problem = peak_problem
        now = f"{datetime.now():%Y-%m-%d %H:%M}"
        self.section = Section(f"{model.title}, {precision}", now)

    def measure(self) -> Section:
        """All chosen rows; what fails is a gap."""
        try:
            self._model.make()
        except Failed as problem:
            self.section.rows.append(gap("all", str(problem)))
            return self.section
        for kind in ("vision", "text"):
            works = [(work, batch) for work, tower in TOWERS.items()
                     if tower == kind and work in self._plan.rows
                     for batch in self._plan.batches_of(work, self._model)]
            if works and self._model.tower(kind) is not None:
                self._tower(kind, works)
        if "memory" in self._plan.rows:
            self._memory()
        return self.section

    def _tower(self, kind: str, works: Sequence[tuple[str, int]]) -> None:
        engines = [name for name in self._plan.engines
                   if any(can(name, work, self._precision) for work, _ in works)]
        base = self._model.bytes("f32", kind)
        scale = 0.6 if self._precision == "bf16" else 1.0
        needs = {name: int(_BESIDE[name] * base * (1 if name == "openvino" else scale)) + _PROCESS
                 for name in engines}
        # Packed weights, the transposes that gradients need, and the file while it is read.
        ours = int(2.5 * self._model.bytes(self._precision)) + self._model.bytes("f32") // 4
        found: dict[tuple[str, int], list[dict[str, Series]]] = {key: [] for key in works}
        for wave in waves_of(needs, ours, int(0.9 * available_memory())):
            with ExitStack() as stack:
                running, broken = self._start(stack, kind, wave)
                for work, batch in works:
                    able = {name: partial(process.measure, work, batch)
                            for name, process in running.items()
                            if can(name, work, self._precision)}
                    lost = {name: Series(problem=why) for name, why in broken.items()
                            if can(name, work, self._precision)}
                    if found[work, batch] and not set(able) - {OURS}:
                        found[work, batch].append(lost)  # ours was measured in an earlier group
                        continue
                    self._say(f"{title_of(work, batch)}: {', '.join(able)}")
                    others = OtherWork([running[name].process.pid for name in able])
                    series = alternate(able, self._plan.effort)
                    self._note_others(title_of(work, batch), others.share())
                    found[work, batch].append({**series, **lost})
        for (work, batch), waves in found.items():
            result = compare(waves)
            self.section.rows.append(comparison_row(work, batch, self._precision, result))
            if work == "image" and batch > 1:
                reason = "ours was not measured" if result.ours is None else self._peak_problem
                self.section.rows.append(peak_row(
                    self._model, batch, result.ours, self._peak.get(self._precision), reason))

    def _start(self, stack: ExitStack, kind: str, wave: Sequence[str]
               ) -> tuple[dict[str, LineProcess], dict[str, str]]:
        """Ours and a wave of peers, each loaded and stopped; and those that did not start."""
        running: dict[str, LineProcess] = {}
        broken: dict[str, str] = {}
        for name in [OURS, *wave]:
            self._say(f"starting {PEERS.get(name, name)} ({kind})")
            try:
                if name == OURS:
                    process = ours(self._plan, self._model.folder, self._precision)
                else:
                    process = self._peer(name, kind)
                    self.section.versions.update(process.ready.get("versions", {}))
            except Failed as problem:
                broken[name] = str(problem)
                continue
            stack.callback(process.close)
            running[name] = process
            threads = process.ready.get("threads")
            if threads != self._plan.threads:
                self._note(f"{PEERS.get(name, name)} runs {threads} threads, "
                           f"not {self._plan.threads}")
        return running, broken

    def _peer(self, name: str, kind: str) -> LineProcess:
        command = [sys.executable, "-m", "peers.worker", "--engine", name,
                   "--precision", self._precision, "--tower", kind,
                   "--checkpoint", str(self._model.folder), "--threads", str(self._plan.threads)]
        if name in ("onnxruntime", "openvino"):
            command += ["--onnx", str(self._model.exported(kind))]
        log = LOGS / f"{self._model.name}-{self._precision}-{kind}-{name}.log"
        return LineProcess(
            name, command, log, cwd=ROOT / "Benchmarks",
            environment={"TORCHINDUCTOR_CACHE_DIR": str(FOLDER / "inductor"),
                         "HF_HUB_OFFLINE": "1"},
        )

    def _memory(self) -> None:
        """In a process of its own, after every kind of work at the largest batch."""
        target = Target(1.0, False, "≤ 1×")
        try:
            with ours(self._plan, self._model.folder, self._precision) as process:
                for work, kind in TOWERS.items():
                    if self._model.tower(kind) is not None:
                        batches = self._plan.batches_of(work, self._model)
                        process.measure(work, max(batches, default=1))
                stats = process.ask("stats")
                resident = process.memory()["VmRSS"]
            packed, activations = stats.get("packed_bytes"), stats.get("activation_bytes")
            if not isinstance(packed, int) or not isinstance(activations, int):
                raise Failed(f"expected packed_bytes and activation_bytes, found {stats}")
            self.section.rows.append(memory_row(resident, packed, activations))
        except Failed as problem:
            self.section.rows.append(gap("memory, resident set", str(problem), target))

    def _note_others(self, title: str, share: float) -> None:
        """Says so when the figures were disturbed."""
        if share > _QUIET:
            self._note(f"{title}: disturbed, {100 * share:.0f} % of the machine's time went to "
                       "other processes")

    def _note(self, text: str) -> None:
        if text not in self.section.notes:
            self.section.notes.append(text)

    def _say(self, text: str) -> None:
        print(f"bench: {self.section.title}: {text}", file=sys.stderr, flush=True)


def ours(plan: Plan, model: Path | str, precision: str, *extra: str) -> LineProcess:
    """Our own process, in one precision. ``model`` is a folder or ``embedded:default``."""
    command = [str(plan.binary), "bench", "--model", str(model), "--precision", precision,
               "--interactive", *extra]
    return LineProcess(OURS, command, LOGS / f"guidanced-{precision}.log")
