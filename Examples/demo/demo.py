"""From nothing to a running daemon: rank, classify, look at gradients, and climb them.

    python Examples/demo/demo.py --bin .build/release/guidanced --out demo

Needs numpy, pyzmq, Pillow, and Debian's fonts-noto-color-emoji. Exits with 1 when a ranking is
wrong or a climb does not rise, and with 2 when the daemon misbehaves.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "Clients/python/src")]

import page  # noqa: E402
import sheets  # noqa: E402
from climb import climb  # noqa: E402
from colours import heat_over  # noqa: E402
from findings import Findings, Heat, Named, RankedPrompt  # noqa: E402
from gallery import FONT, Picture, render  # noqa: E402
from guidanced import Client, Error  # noqa: E402

PROMPTS = [
    # prompt, the file that must come first
    ("a slice of pizza on a blue background", "pizza"),
    ("a cat face", "cat"),
    ("a red circle above a green star", "circle above star"),
    ("a green star above a red circle", "star above circle"),
    ("a green circle above a red star", "colours swapped"),
    ("a yellow square to the left of a pink heart", "square left of heart"),
    ("a yellow square to the right of a pink heart", "square right of heart"),
    ("a picture of an octopus", "octopus"),
    ("a blue star on a yellow background", "blue star"),
    ("a cat face next to a slice of pizza", "cat and pizza"),
    ("a photo of a bicycle", "bicycle"),
    ("a purple heart", "purple heart"),
    ("an orange square on a blue background", "orange square"),
]
HEATS = [
    ("cat and pizza", ["a cat face", "a slice of pizza", "a green background"]),
    ("circle above star", ["a red circle", "a green star", "a white background"]),
]
GOALS = [
    ("a red circle on a white background", "grey"),
    ("a red circle on a white background", "noise"),
    ("a slice of pizza on a blue background", "grey"),
    ("a slice of pizza on a blue background", "noise"),
]


def main() -> int:
    arguments = parse()
    if not FONT.is_file():
        print(f"{FONT} is missing: install Debian's fonts-noto-color-emoji", file=sys.stderr)
        return 2
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    pictures = render(out / "gallery")
    makers = sorted({picture.maker for picture in pictures})
    say(f"drew {len(pictures)} PNG files with {', '.join(makers)}")

    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        daemon = Daemon(arguments.bin, Path(folder))
        try:
            with Client(daemon.endpoint, control=daemon.control, timeout=120) as client:
                seconds = daemon.wait_until_ready(client)
                findings = explore(client, pictures, arguments.steps)
                findings.timings["daemon start, to ready"] = seconds
        except (Error, DaemonTrouble) as problem:
            print(f"✗ {problem}\n{daemon.log.read_text()}", file=sys.stderr)
            daemon.kill()
            return 2
        status = daemon.stop()
    say(f"stopped the daemon with SIGTERM: exit status {status}")
    findings.timings = dict(sorted(findings.timings.items(), key=lambda entry: entry[1]))

    page.write(findings, out / "index.html")
    sheets.ranked_gallery(findings, out / "gallery.png")
    sheets.heat_maps(findings, out / "heatmap.png")
    sheets.climb_curves(findings, out / "curve.png")
    sheets.summary(findings, out / "summary.png")
    say(f"wrote {out}/index.html, gallery.png, heatmap.png, curve.png, summary.png")
    if status != 0:
        print(f"✗ the daemon ended with status {status}", file=sys.stderr)
        return 2
    print("✓ all right" if findings.all_right else "✗ not all as it should be")
    return 0 if findings.all_right else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release/guidanced")
    parser.add_argument("--out", type=Path, default=ROOT / "demo")
    parser.add_argument("--steps", type=int, default=80, help="steps of each climb")
    return parser.parse_args()


class DaemonTrouble(Exception):
    """The daemon did not start, or did not become ready."""


class Daemon:
    """`guidanced serve` on the embedded model."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/work"
        self.control = f"ipc://{folder}/control"
        self.log = folder / "log"
        command = [str(binary), "serve", "--bind", self.endpoint, "--control", self.control]
        self._started = time.perf_counter()
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_until_ready(self, client: Client) -> float:
        """Seconds from the start of the process until `health` says ready."""
        while time.perf_counter() - self._started < 60:
            if self._process.poll() is not None:
                raise DaemonTrouble(f"the daemon ended with status {self._process.returncode}")
            try:
                if client.health()["ready"]:
                    seconds = time.perf_counter() - self._started
                    say(f"started the daemon: ready after {seconds:.2f} s")
                    return seconds
            except ConnectionError:
                continue
            time.sleep(0.01)
        raise DaemonTrouble("the daemon was not ready after 60 s")

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def explore(client: Client, pictures: list[Picture], steps: int) -> Findings:
    """Asks the daemon everything and prints the answers."""
    findings = Findings()
    model = client.models()[0]
    findings.model = str(model.get("name", ""))
    findings.fingerprint = str(model.get("fingerprint", ""))
    files = [picture.path for picture in pictures]

    heading("Ranking")
    start = time.perf_counter()
    for prompt, expected in PROMPTS:
        order = [(pictures[r.index], r.score) for r in client.rank(files, prompt)]
        ranked = RankedPrompt(prompt, expected, order)
        findings.rankings.append(ranked)
        best = ", ".join(f"{picture.name} {score:.3f}" for picture, score in order[:3])
        print(f"  {'✓' if ranked.is_right else '✗'} {prompt:<40} {best}")
    each = (time.perf_counter() - start) / len(PROMPTS)
    findings.timings[f"to rank {len(pictures)} files for a prompt"] = each

    heading("Classification")
    start = time.perf_counter()
    labels = [picture.label for picture in pictures]
    classes = client.classify(files, labels)
    findings.timings[f"to classify {len(pictures)} files"] = time.perf_counter() - start
    for picture, row in zip(pictures, classes.probabilities):
        best = [(labels[i], float(row[i])) for i in np.argsort(-row)[:3]]
        named = Named(picture, best)
        findings.names.append(named)
        mark = "✓" if named.is_right else "·"
        print(f"  {mark} {picture.name:<18} {best[0][0]} ({100 * best[0][1]:.0f}%)")

    heading("Gradients")
    by_name = {picture.name: picture for picture in pictures}
    for name, prompts in HEATS:
        for prompt in prompts:
            findings.heats.append(heat_of(client, by_name[name], prompt))
        print(f"  {name}: {', '.join(prompts)}")

    start = time.perf_counter()
    findings.climbs = climb(client, GOALS, steps)
    seconds = time.perf_counter() - start
    findings.timings[f"for {len(GOALS)} climbs of {steps} steps"] = seconds
    for entry in findings.climbs:
        print(
            f"  {entry.prompt}, from {entry.start:<5}: {entry.scores[0]:+.3f} → "
            f"{entry.scores[-1]:+.3f}  {spark(entry.scores)}"
        )
    return findings


def heat_of(client: Client, picture: Picture, prompt: str, copies: int = 12) -> Heat:
    """The size of the gradient at each pixel, averaged over noisy copies (SmoothGrad,
    arXiv 1706.03825, with squares), blurred a little, and scaled to 0–1."""
    with Image.open(picture.path) as image:
        pixels = np.asarray(image.convert("RGB").resize((128, 128), Image.Resampling.LANCZOS))
    clean = pixels.astype(np.float32).transpose(2, 0, 1) / 255
    noise = np.random.default_rng(3).normal(0, 0.08, (copies, *clean.shape)).astype(np.float32)
    gradient = np.asarray(client.gradient(clean + noise, prompt).gradient)
    size = np.sqrt((gradient**2).sum(1).mean(0))
    size = (size / np.percentile(size, 99)).clip(0, 1)
    blurred = Image.fromarray((size * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(3.5))
    smooth = np.asarray(blurred, np.float32)
    smooth = (smooth - smooth.min()) / max(1.0, float(np.ptp(smooth)))
    large = Image.fromarray((smooth * 255).astype(np.uint8)).resize(
        (256, 256), Image.Resampling.BICUBIC
    )
    base = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC))
    return Heat(picture, prompt, heat_over(base, np.asarray(large, np.float32) / 255))


def spark(values: list[float], width: int = 32) -> str:
    """A line of blocks that rise with the values."""
    picked = [values[round(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    low, high = min(picked), max(picked)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (v - low) / max(high - low, 1e-9))] for v in picked)


def heading(text: str) -> None:
    print(f"\n{text}")


def say(text: str) -> None:
    print(f"• {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
