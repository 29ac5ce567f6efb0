"""What `condition` costs beside its towers: an answer from the cache over ipc, and weights, schedules and chunks.

    python Benchmarks/conditioning.py [--bin .build/release/guidanced] [--layers 4]

Needs the Python client. The towers have Stable Diffusion XL's widths and few layers, because neither figure
depends on their depth: the cached answer runs no tower, and the extra time is compared with full depth
(12 and 32 layers) by the layers' number.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Tests" / "Clients"), str(ROOT / "Clients" / "python" / "src")]

import checkpoints as make  # noqa: E402
from daemon import Daemon  # noqa: E402
from guidanced import Client  # noqa: E402


def milliseconds(call: Callable[[], object], rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)


def report(name: str, times: list[float]) -> None:
    print(f"{name:<58} median {statistics.median(times):8.3f} ms   p99 {times[int(len(times) * 0.99)]:8.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=str(ROOT / ".build/release/guidanced"))
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    os.environ["GUIDANCED_BIN"] = options.bin
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        path = make.write(
            Path(folder) / "xl.safetensors",
            make.prefixed("conditioner.embedders.0.transformer.", make.text_tower(1, 768, options.layers, None))
            | make.prefixed(
                "conditioner.embedders.1.model.",
                make.open_clip_names(make.text_tower(2, 1280, options.layers, 1280)),
            ),
        )
        running = Daemon(Path(folder), "--model", f"xl={path}")
        with Client(running.endpoint, timeout=120) as g:

            def ask(recipe: str, prompt: str, **arguments: object) -> object:
                return g.condition(prompt, recipe, **arguments)  # type: ignore[arg-type]

            report("ping", milliseconds(g.ping, 2000))
            for recipe in ["sd1", "sdxl"]:
                ask(recipe, "a red circle")
                times = milliseconds(lambda: ask(recipe, "a red circle"), 2000)
                report(f"cached prompt, {recipe}", times)
                times = milliseconds(
                    lambda: g.request(
                        "condition", {"prompts": ["a red circle"], "recipe": recipe, "accounting": False}
                    ),
                    2000,
                )
                report(f"cached prompt, {recipe}, without accounting", times)
            number = iter(range(10**9))
            # One new row of tokens a call in each encoder, whatever the syntax.
            ask("sdxl", "", syntax="comfy")
            for name, syntax, prompt in [
                ("plain", "plain", "a cat {} on a mat"),
                ("weights, a1111", "a1111", "a (cat:1.3) {} on a [mat]"),
                ("weights, comfy", "comfy", "a (cat:1.3) {} on a (mat:0.9)"),
            ]:
                times = milliseconds(
                    lambda: ask("sdxl", prompt.format(next(number)), syntax=syntax, negative="", steps=20), 30
                )
                report(f"new prompt, sdxl, {options.layers} layers, {name}", times)
        running.stop()


if __name__ == "__main__":
    main()
