"""The models that are measured: their shapes, what they cost, and their files under bench/."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .rounds import Failed

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "bench"
LOGS = FOLDER / "logs"


@dataclass(frozen=True)
class Tower:
    """A transformer: ``tokens`` rows of ``width`` through ``layers`` blocks, and a projection.

    ``patch`` is the number of values of a patch (3·p·p), 0 for text.
    """

    tokens: int
    width: int
    inner: int
    layers: int
    projection: int
    patch: int = 0

    @property
    def weights(self) -> int:
        """The number of weights in matrices, without token and position embeddings."""
        block = 4 * self.width**2 + 2 * self.width * self.inner
        return self.layers * block + self.width * self.projection + self.patch * self.width

    @property
    def operations(self) -> float:
        """Floating-point operations of one item through the whole tower; a multiply-add is two.

        Matrix products only: norms, softmax and activations are not counted.
        """
        return 2.0 * (
            (self.tokens - 1) * self.patch * self.width
            + self.layers * self._block(self.tokens)
            + self.width * self.projection
        )

    @property
    def needed(self) -> float:
        """The operations without what a pooled output does not need.

        In the last block only one token asks; the others give keys and values.
        """
        last = self.tokens * 2 * self.width**2 + 2 * self.tokens * self.width
        last += 2 * self.width**2 + 2 * self.width * self.inner
        return self.operations - 2.0 * (self._block(self.tokens) - last)

    def _block(self, tokens: int) -> int:
        matrices = tokens * (4 * self.width**2 + 2 * self.width * self.inner)
        return matrices + 2 * tokens * tokens * self.width


@dataclass(frozen=True)
class Model:
    """A checkpoint of random weights. ``name`` is the generator's."""

    name: str
    title: str
    text: Tower
    vision: Tower | None
    largest_batch: int = 8
    """Larger batches of a large model take minutes a measurement and tell nothing more."""

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def tower(self, kind: str) -> Tower | None:
        return self.vision if kind == "vision" else self.text

    def make(self) -> None:
        """Writes the checkpoint, unless it is there."""
        if not (self.folder / "done").is_file():
            generator = ROOT / "Tests/Generators/full_size.py"
            _python(f"checkpoint {self.name}", [str(generator), str(FOLDER), self.name,
                                                "--weights-only"], ROOT)
            (self.folder / "done").touch()

    def exported(self, kind: str) -> Path:
        """The ONNX file of a tower, exported when it is not there."""
        self.make()
        path = self.folder / "onnx" / f"{kind}.onnx"
        marker = path.with_suffix(".done")
        if not marker.is_file():
            _python(f"export {self.name} {kind}",
                    ["-m", "peers.export", str(self.folder), kind, str(path)], ROOT / "Benchmarks")
            marker.touch()
        return path

    def bytes(self, precision: str, kind: str | None = None) -> int:
        """The weights' size in a precision, of one tower or of both."""
        size = {"f32": 4, "bf16": 2, "int8": 1}[precision]
        towers = [self.text, self.vision] if kind is None else [self.tower(kind)]
        return size * sum(tower.weights for tower in towers if tower is not None)


MODELS = {
    model.name: model
    for model in (
        Model("vit-b-32", "ViT-B/32", Tower(77, 512, 2048, 12, 512),
              Tower(50, 768, 3072, 12, 512, 3 * 32 * 32), 32),
        Model("vit-l-14", "ViT-L/14", Tower(77, 768, 3072, 12, 768),
              Tower(257, 1024, 4096, 24, 768, 3 * 14 * 14)),
        Model("vit-h-14", "ViT-H/14", Tower(77, 1024, 4096, 24, 1024),
              Tower(257, 1280, 5120, 32, 1024, 3 * 14 * 14)),
        Model("bigg-text", "ViT-bigG/14, text tower", Tower(77, 1280, 5120, 32, 1280), None),
    )
}


def _python(what: str, arguments: Sequence[str], folder: Path) -> None:
    """Runs a script in this environment; its output goes to a log."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{what.replace(' ', '-')}.log"
    print(f"bench: {what} …", file=sys.stderr, flush=True)
    with open(log, "wb") as output:
        status = subprocess.run(
            [sys.executable, *arguments], cwd=folder, stdout=output, stderr=output, check=False
        ).returncode
    if status != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise Failed(f"{what}: status {status}: {lines[-1][:200] if lines else 'no output'}")
