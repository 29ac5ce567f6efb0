"""The rows about int8: its speed beside our own bf16, and whether it ranks as fp32 does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from statistics import mean

import numpy as np

from guidanced import DaemonWarning, Error
from guidanced.images import inputs_of

from . import report
from .models import Model
from .plan import Plan
from .rounds import Failed, Series, alternate, paired_ratio, spearman
from .rows import Row, Section, Target, gap
from .served import Served
from .service import PROMPTS
from .pictures import shapes
from .towers import ours

_PICTURES = 96
_FASTER = Target.times(1.6)
_ALIKE = Target(0.999, True, "≥ 0.999")


class Int8Rows:
    """One model's int8 scoring."""

    def __init__(self, plan: Plan, models: Sequence[Model]) -> None:
        self._plan = plan
        self._models = models
        self.section = Section("int8 scoring", f"{datetime.now():%Y-%m-%d %H:%M}")

    def measure(self) -> Section:
        """Throughput of every model with an image tower; ranks of the first, and of the built-in."""
        pictured = [model for model in self._models if model.vision is not None]
        if "int8" in self._plan.rows:
            for model in pictured:
                for batch in self._plan.batches_of("image", model):
                    if batch > 1:
                        self.section.rows.append(self._throughput(model, batch))
        if "spearman" in self._plan.rows:
            self.section.rows.append(self._ranks("embedded model", "embedded:default"))
            for model in pictured[:1]:
                try:
                    model.make()
                    self.section.rows.append(self._ranks(model.title, str(model.folder)))
                except Failed as problem:
                    self.section.rows.append(gap(f"Spearman, {model.title}", str(problem), _ALIKE))
        return self.section

    def _throughput(self, model: Model, batch: int) -> Row:
        work = f"{model.title}, image, batch {batch}, int8 against our bf16"
        print(f"bench: {work}", file=sys.stderr, flush=True)
        try:
            model.make()
            with ExitStack() as stack:
                running = {p: stack.enter_context(ours(self._plan, model.folder, p))
                           for p in ("int8", "bf16")}
                found = alternate({p: partial(process.measure, "image", batch)
                                   for p, process in running.items()}, self._plan.effort)
        except Failed as problem:
            return gap(work, str(problem), _FASTER)
        ratio = paired_ratio(found["int8"], found["bf16"])
        if ratio is None:
            return gap(work, "; ".join(s.problem for s in found.values() if s.problem), _FASTER)

        def rate(series: Series) -> str:
            return "–" if series.median is None else f"{report.digits(batch / series.median)} images/s"

        return Row(work, rate(found["int8"]), f"{rate(found['bf16'])} (our bf16)",
                   f"{ratio:.2f}×", ratio, _FASTER)

    def _ranks(self, title: str, checkpoint: str) -> Row:
        work = f"Spearman of int8 and fp32 scores, {title}, {_PICTURES} pictures"
        print(f"bench: {work}", file=sys.stderr, flush=True)
        try:
            exact = self._scores(checkpoint, "f32")
            rough = self._scores(checkpoint, "int8")
        except (Failed, Error) as problem:
            return gap(work, str(problem), _ALIKE)
        found = [spearman(exact[:, i].tolist(), rough[:, i].tolist()) for i in range(len(PROMPTS))]
        value = mean(found)
        return Row(work, f"{value:.5f}", value=value, target=_ALIKE,
                   notes=(f"mean over {len(found)} prompts, lowest {min(found):.5f}",))

    def _scores(self, checkpoint: str, precision: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Cosines [pictures, prompts] from a daemon that was asked for the precision and used it."""
        arguments = ["--model", f"default={checkpoint}", "--precision", precision]
        params = {"prompts": PROMPTS, "metric": "cosine", "precision": precision}
        inputs = inputs_of(shapes(_PICTURES, 224))
        with Served(self._plan.binary, f"spearman-{precision}", *arguments) as daemon, \
                daemon.client() as client, warnings.catch_warnings():
            warnings.simplefilter("ignore", DaemonWarning)
            reply = client.request("score", params, inputs)
        refused = [text for text in reply.warnings if "precision" in text]
        if refused and precision != "f32":
            raise Failed(f"the daemon does not know params.precision: {refused[0]}")
        used = reply.result.get("precision", precision)
        if used != precision:
            raise Failed(f"asked for {precision}, the daemon used {used}")
        scores = np.asarray(reply.outputs["scores"], dtype=np.float32)
        if scores.shape != (_PICTURES, len(PROMPTS)) or not np.isfinite(scores).all():
            raise Failed(f"scores {scores.shape}: expected {(_PICTURES, len(PROMPTS))}, all finite")
        return scores
