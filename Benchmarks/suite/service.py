"""The rows about the daemon as a process: transport, memory, start-up, conditioning, preprocessing."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median

import numpy as np
from PIL import Image

from guidanced import Client, Error

from . import report
from .models import FOLDER, MODELS
from .pictures import photograph, shapes
from .plan import Plan
from .rounds import OURS, Effort, Failed, alternate, paired_ratio
from .rows import Row, Section, Target, gap
from .served import Served, Wire
from .towers import ours

PROMPTS = ["a red circle", "a photo of a dog", "two green squares on a white background",
           "a painting of the sea in a storm"]


class ServiceRows:
    """Measures what does not depend on a peer's precision. B/32 stands for a checkpoint."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._model = MODELS["vit-b-32"]
        self.section = Section("Daemon", f"{datetime.now():%Y-%m-%d %H:%M}")

    def measure(self) -> Section:
        """All chosen rows; what fails is a gap."""
        rows: dict[str, Callable[[], None]] = {
            "daemon": self._against_in_process, "ping": self._round_trip, "flat": self._flat,
            "start": self._start, "preprocess": self._preprocess, "condition": self._condition,
        }
        for name, body in rows.items():
            if name in self._plan.rows:
                print(f"bench: {name}", file=sys.stderr, flush=True)
                try:
                    body()
                except (Failed, Error, OSError) as problem:
                    self._add(gap(name, str(problem)))
        return self.section

    def _add(self, row: Row) -> None:
        self.section.rows.append(row)

    def _against_in_process(self) -> None:
        """Float images of the model's own size through the Python client, and the same in process."""
        for precision in self._plan.precisions:
            work = f"daemon against in process, ViT-B/32 {precision}, image, batch 8"
            target = Target.share(0.97)
            try:
                self._model.make()
                images = np.random.default_rng(5).random((8, 3, 224, 224), dtype=np.float32)
                arguments = ["--model", f"default={self._model.folder}", "--precision", precision]
                with ours(self._plan, self._model.folder, precision) as process, Served(
                    self._plan.binary, f"daemon-{precision}", *arguments
                ) as daemon, daemon.client() as client:
                    found = alternate(
                        {"in process": lambda: process.measure("image", 8),
                         "daemon": lambda: timed(lambda: client.embed_image(images))},
                        self._plan.effort,
                    )
            except Failed as problem:
                self._add(gap(work, str(problem), target))
                continue
            inside, outside = found["in process"], found["daemon"]
            share = paired_ratio(outside, inside)
            problems = [s.problem for s in (inside, outside) if s.problem is not None]
            if share is None or inside.median is None or outside.median is None:
                self._add(gap(work, "; ".join(problems), target))
                continue
            self._add(Row(work, f"{report.digits(8 / outside.median)} images/s",
                          f"{report.digits(8 / inside.median)} images/s (in process)",
                          f"{100 * share:.0f} %", share, target))

    def _round_trip(self) -> None:
        with Served(self._plan.binary, "ping") as daemon:
            with Wire(daemon.endpoint) as wire:
                bare = sorted(self._pings(wire))
            with daemon.client() as client:
                client.ping()
                through = [client.ping() for _ in range(self._plan.pings)]
        middle = median(bare)
        self._add(Row(
            "empty round trip over ipc, bare socket", report.seconds(middle), value=middle,
            target=Target(100e-6, False, "≤ 100 µs"),
            notes=(f"99th percentile {report.seconds(bare[int(0.99 * len(bare))])}, "
                   f"{len(bare)} requests; the asking side is pyzmq",)))
        self._add(Row("empty round trip over ipc, Python client", report.seconds(median(through))))

    def _pings(self, wire: Wire) -> list[float]:
        found = []
        for number in range(self._plan.pings + 100):
            header = json.dumps({"id": f"p{number}", "op": "ping"}).encode()
            start = time.perf_counter()
            if wire.ask(header, timeout=5) is None:
                raise Failed("ping: no reply in 5 s")
            found.append(time.perf_counter() - start)
        return found[100:]

    def _flat(self) -> None:
        """The resident set before and after many requests of four kinds, on the built-in model."""
        count = self._plan.flat_requests
        picture = io.BytesIO()
        shapes(1, 96)[0].save(picture, "PNG")
        floats = np.random.default_rng(6).random((3, 64, 64), dtype=np.float32)
        with Served(self._plan.binary, "flat") as daemon, daemon.client() as client:
            kinds: list[Callable[[int], object]] = [
                lambda number: client.score(picture.getvalue(), f"picture number {number}"),
                lambda number: client.embed_image(floats),
                lambda number: client.embed_text([f"prompt {number}", "a red circle"]),
                lambda number: client.gradient(floats, PROMPTS[number % len(PROMPTS)]),
            ]
            for number in range(500):
                kinds[number % len(kinds)](number)
            before = daemon.resident()
            for number in range(count):
                kinds[number % len(kinds)](500 + number)
            growth = daemon.resident() - before
        self._add(Row(
            f"memory, growth over {count:,} requests", report.mebibytes(growth),
            f"{report.mebibytes(before)} before", value=float(growth),
            target=Target(2 * 2**20, False, "≤ 2 MiB"),
            notes=("score of a PNG, image and text embeddings, gradient in turn, "
                   "after 500 such requests",)))

    def _start(self) -> None:
        """From the start of the process to `health` that says ready, and to the first text answered."""
        self._started("start, embedded model", [], 0.2)
        self._model.make()
        for path in sorted(self._model.folder.glob("*.safetensors")):
            with open(path, "rb") as file:  # into the file cache
                while file.read(1 << 24):
                    pass
        for precision in self._plan.precisions:
            self._started(
                f"start, ViT-B/32 {precision}, warm file cache",
                ["--model", f"default={self._model.folder}", "--precision", precision], 1.0)
            self._first_text(
                f"first text answered, ViT-B/32 {precision}, warm file cache",
                ["--model", f"default={self._model.folder}", "--precision", precision])

    def _started(self, work: str, arguments: list[str], limit: float) -> None:
        target = Target(limit, False, f"≤ {limit:g} s")
        found = []
        try:
            for _ in range(self._plan.starts):
                with Served(self._plan.binary, "start", *arguments) as daemon:
                    found.append(daemon.seconds)
        except Failed as problem:
            self._add(gap(work, str(problem), target))
            return
        middle = median(found)
        self._add(Row(work, report.seconds(middle), value=middle, target=target))

    def _first_text(self, work: str, arguments: list[str]) -> None:
        """From the start of the process to the reply to `embed_text`, sent before the daemon listens."""
        header = json.dumps({"id": "t", "op": "embed_text", "params": {"texts": PROMPTS[:1]}}).encode()
        found = []
        try:
            for _ in range(self._plan.starts):
                start = time.perf_counter()
                with Served(self._plan.binary, "first-text", *arguments, wait=False) as daemon, Wire(
                    daemon.endpoint
                ) as wire:
                    reply = wire.ask(header, timeout=120)
                    found.append(time.perf_counter() - start)
                    if reply is None or json.loads(reply)["status"] != "ok":
                        raise Failed(f"embed_text: {reply!r}")
        except Failed as problem:
            self._add(gap(work, str(problem)))
            return
        self._add(Row(work, report.seconds(median(found))))

    def _preprocess(self) -> None:
        """Decode and resize of a 1024² PNG to the model's 224², and Pillow at the same."""
        work, target = "preprocessing, PNG 1024² to 224²", Target.times(1)
        path = photograph(FOLDER / "photograph.png")
        data = path.read_bytes()

        def pillow() -> float:
            def body() -> None:
                image = Image.open(io.BytesIO(data)).convert("RGB")
                image.resize((224, 224), Image.Resampling.BICUBIC)
            return timed(body)

        try:
            self._model.make()
            with ours(self._plan, self._model.folder, "f32", "--image", str(path)) as process:
                found = alternate(
                    {OURS: lambda: process.measure("preprocess", 1), "Pillow": pillow},
                    Effort(max(5, self._plan.effort.rounds)))
        except Failed as problem:
            found = alternate({"Pillow": pillow}, Effort(5))
            theirs = found["Pillow"].median or 0.0
            self._add(Row(work, peer=f"{report.seconds(theirs)} (Pillow)", target=target,
                          notes=(str(problem),)))
            return
        ratio = paired_ratio(found[OURS], found["Pillow"])
        mine, theirs = found[OURS].median, found["Pillow"].median or 0.0
        if ratio is None or mine is None:
            self._add(Row(work, peer=f"{report.seconds(theirs)} (Pillow)", target=target,
                          notes=(found[OURS].problem or "not measured",)))
            return
        self._add(Row(work, report.seconds(mine), f"{report.seconds(theirs)} (Pillow)",
                      f"{ratio:.2f}×", ratio, target))

    def _condition(self) -> None:
        """How long `condition` takes for a prompt that it has answered before."""
        work = "condition, prompt answered before"
        self._model.make()
        with Served(self._plan.binary, "condition", "--model", f"default={self._model.folder}"
                    ) as daemon, daemon.client() as client:
            try:
                first = timed(lambda: condition(client))
                again = [timed(lambda: condition(client)) for _ in range(200)]
            except Error as problem:
                self._add(gap(work, f"{problem.code}: {problem.message}"))
                return
        self._add(Row(work, report.seconds(median(again)), f"{report.seconds(first)} (first time)",
                      f"{first / median(again):.0f}×"))


def condition(client: Client) -> None:
    """One `condition` request as samplers send it: prompt and negative prompt."""
    client.request("condition", {"prompts": ["a lighthouse in a storm, dramatic light"],
                                 "negative_prompts": ["blurry"]})


def timed(body: Callable[[], object]) -> float:
    """Seconds; an error of the daemon becomes Failed."""
    start = time.perf_counter()
    try:
        body()
    except Error as problem:
        if problem.code == "unknown_op":
            raise
        raise Failed(f"{problem.code}: {problem.message}") from None
    return time.perf_counter() - start
