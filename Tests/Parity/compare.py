"""Compares the daemon, through its Python client, with transformers and torch.

    python Tests/Parity/compare.py --bin .build/release/guidanced \\
        --model embedded:default --reference Models/default

MODEL is what the daemon serves, REFERENCE the directory that transformers loads (by default the
same). Prints a table and exits with 1 when anything is outside its tolerance. Runs in the reference
environment.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "Clients/python/src"), str(ROOT / "Tests/Clients")]

from reference import Reference  # noqa: E402  (declares torchvision's operators first)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from corpus import TEXTS, pictures  # noqa: E402
from guidanced import Client, DaemonWarning  # noqa: E402

PROMPTS = ["a red circle above a small green star", "a slice of pizza", "日本語 🍕"]
GRADIENT_SIZES = [(64, 64), (224, 224), (90, 130), (301, 200), (40, 33)]
LOSSES = ["cosine", "spherical", "logit"]


@dataclass
class Row:
    """One line of the table: a measure, what is allowed, and whether it holds."""

    what: str
    measure: str
    allowed: str
    holds: bool


class Table:
    def __init__(self) -> None:
        self.rows: list[Row] = []

    def equal(self, what: str, found: object, expected: object) -> None:
        same = found == expected
        self.rows.append(Row(what, "equal" if same else "different", "equal", same))

    def at_most(self, what: str, value: float, limit: float) -> None:
        self.rows.append(Row(what, f"{value:.2e}", f"≤ {limit:.0e}", bool(value <= limit)))

    def close(self, what: str, value: float, slack: float) -> None:
        """A cosine, told by what it lacks to 1."""
        holds = bool(1 - value <= slack)
        self.rows.append(Row(f"{what}, 1 − cosine", f"{1 - value:.1e}", f"≤ {slack:.0e}", holds))

    def vectors(self, what: str, found: np.ndarray, expected: np.ndarray) -> None:
        error = np.abs(found - expected).max() / np.abs(expected).max()
        self.at_most(f"{what}, max error / max value", error, 2e-4)
        self.close(what, min(cosine(a, b) for a, b in zip(found, expected)), 1e-6)

    def print(self, title: str) -> None:
        print(f"\n{title}")
        width = max(len(row.what) for row in self.rows)
        for row in self.rows:
            mark = "✓" if row.holds else "✗"
            print(f"  {mark} {row.what:<{width}}  {row.measure:>10}  {row.allowed}")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def compare(client: Client, reference: Reference, quick: bool) -> Table:
    """All checks for the daemon's default model; with ``quick``, those of a part of the corpus."""
    table = Table()
    texts_used = TEXTS[::4] if quick else TEXTS
    differing = [
        text[:40]
        for text in TEXTS
        if client.tokenize(text, long_prompts="truncate").tokens[0] != reference.tokens(text)
    ]
    table.equal(f"tokens of {len(TEXTS)} texts {differing or ''}", differing, [])

    texts = np.asarray(client.embed_text(texts_used, normalize=False, long_prompts="truncate"))
    expected_texts = reference.embed_texts(texts_used).numpy()
    table.vectors("text embeddings", texts, expected_texts)

    named = dict(list(pictures().items())[:: 4 if quick else 1])
    images = np.asarray(client.embed_image(list(named.values()), normalize=False))
    expected_images = reference.embed_pictures(list(named.values())).numpy()
    table.vectors(f"embeddings of {len(named)} pictures", images, expected_images)

    unit_images = expected_images / np.linalg.norm(expected_images, axis=1, keepdims=True)
    unit_texts = expected_texts / np.linalg.norm(expected_texts, axis=1, keepdims=True)
    lengths = [len(reference.tokens(text)) for text in texts_used]
    short = [i for i, length in enumerate(lengths) if length < reference.context]
    cosines = unit_images @ unit_texts[short].T
    prompts = [texts_used[i] for i in short]
    scores = np.asarray(client.score(list(named.values()), prompts))
    table.at_most("cosine scores, max error", np.abs(scores - cosines).max(), 1e-4)
    logits = np.asarray(client.score(list(named.values()), prompts, metric="logit"))
    error = np.abs(logits - reference.scale * cosines).max() / reference.scale
    table.at_most("logit scores, max error / scale", error, 1e-4)

    for size in GRADIENT_SIZES[1::2] if quick else GRADIENT_SIZES:
        compare_gradients(client, reference, table, size, ["cosine"] if quick else LOSSES)
    return table


def compare_gradients(
    client: Client, reference: Reference, table: Table, size: tuple[int, int], losses: list[str]
) -> None:
    """The differentiable path of one image: its embedding, and the gradients of losses."""
    height, width = size
    image = np.random.default_rng(height).random((3, height, width), dtype=np.float32)
    found = np.asarray(client.embed_image(image, normalize=False))
    expected = reference.embed_pixels(reference.preprocess(torch.from_numpy(image)[None]))
    table.vectors(f"float image {height}×{width}", found, expected.numpy())
    for loss in losses:
        weights = [1.0, -0.5, 0.25]
        result = client.gradient(image, PROMPTS, weights=weights, loss=loss)
        slope, value = reference.gradient(image, PROMPTS, weights, loss)
        name = f"{loss} gradient {height}×{width}"
        gradient = np.asarray(result.gradient)
        table.close(name, cosine(gradient, slope), 1e-5)
        error = float(np.linalg.norm(gradient - slope) / np.linalg.norm(slope))
        table.at_most(f"{name}, relative error", error, 1e-3)
        scale = reference.scale if loss == "logit" else 1
        error = abs(float(result.loss[0]) - value) / scale
        table.at_most(f"{loss} loss {height}×{width}", error, 1e-4)


def time_beside_torch(client: Client, reference: Reference) -> None:
    """Median milliseconds for one image, one text and one gradient, on this machine."""
    size = reference.processor.size["shortest_edge"]
    image = np.random.default_rng(1).random((3, size, size), dtype=np.float32)
    pixels = torch.from_numpy(image)[None]
    text = "a photo of a cat sitting on a red sofa"

    @torch.no_grad()
    def embed() -> None:
        reference.embed_pixels(reference.preprocess(pixels))

    @torch.no_grad()
    def embed_text() -> None:
        reference.embed_texts([text])

    pairs = {
        "image": (lambda: client.embed_image(image), embed),
        "text": (lambda: client.embed_text(text), embed_text),
        "gradient": (
            lambda: client.gradient(image, text),
            lambda: reference.gradient(image, [text], [1.0], "cosine"),
        ),
    }
    for name, (ours, theirs) in pairs.items():
        print(f"  {name:<9} daemon {median_ms(ours):8.2f} ms   torch {median_ms(theirs):8.2f} ms")


def median_ms(call: object, rounds: int = 7) -> float:
    assert callable(call)
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def main() -> int:
    from daemon import Daemon

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release/guidanced")
    parser.add_argument("--model", default="embedded:default")
    parser.add_argument("--quick", action="store_true", help="a part of the corpus, no timings")
    parser.add_argument("--reference", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    folder = arguments.reference or (
        ROOT / "Models/default" if arguments.model == "embedded:default" else Path(arguments.model)
    )
    model = arguments.model
    if model != "embedded:default":
        model = str(Path(model).resolve())

    # Texts are truncated on purpose here.
    warnings.simplefilter("ignore", DaemonWarning)
    reference = Reference(folder)
    with tempfile.TemporaryDirectory(prefix="guidanced-") as place:
        daemon = Daemon(
            Path(place), "--model", f"parity={model}", "--default-model", "parity",
            program=arguments.bin,
        )
        try:
            with Client(daemon.endpoint, timeout=300) as client:
                table = compare(client, reference, arguments.quick)
                table.print(f"{arguments.model}: the daemon beside transformers")
                if not arguments.quick:
                    time_beside_torch(client, reference)
        finally:
            status = daemon.stop()
    failed = sum(not row.holds for row in table.rows)
    if status != 0:
        print(f"✗ the daemon ended with status {status}")
    print(f"{'✗' if failed else '✓'} {failed} of {len(table.rows)} checks failed\n")
    return 1 if failed or status else 0


if __name__ == "__main__":
    sys.exit(main())
