"""A bank of rendered pictures with their captions, questions and labels, in memory-mapped files.

``python bank.py --run runs/default --mixture shapes --pictures 40000``

Rendering while training costs a third of a short step; a bank is drawn once, by a process of its
own, and gone round several times. It consists of chunks (folders of ``.npy`` files), each complete
once its name has no ``.part``; a trainer takes in new ones as they appear.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from batches import BatchSampler
from drawing import CELLS
from model import ModelShape
from questions import WRONG, Questioner
from scenes import COLOURS, PLACES, RELATIONS, SHAPES, SIZE, Thing
from tokenizer import Tokenizer, learn_merges, words

CAPTION_TOKENS, QUESTION_TOKENS, WORDINGS, OBJECTS = 28, 20, 2, 5
KINDS = ("empty", "emoji", "shape", "emoji pair", "shape pair", "mixed pair", "row", "trio", "collage")
# What the columns of ``meta`` are.
KIND, RELATION, PLACE, SAID_PLACE, BACKGROUND, SAID_BACKGROUND, COUNT, TWIN = range(8)

MIXTURES: dict[str, dict[str, float]] = {
    "shapes": {"shape": 0.55, "shape pair": 0.45},
    "rows": {"row": 1.0},
    # On plain backgrounds, and mostly asked about them.
    "backgrounds": {"emoji": 0.7, "shape": 0.25, "empty": 0.05},
    "collages": {"collage": 0.75, "emoji": 0.25},
    "mixture": {
        "emoji": 0.42,
        "shape": 0.12,
        "emoji pair": 0.13,
        "shape pair": 0.13,
        "mixed pair": 0.06,
        "row": 0.10,
        "trio": 0.02,
        "empty": 0.02,
    },
}
FIELDS: dict[str, tuple[tuple[int, ...], type]] = {
    "pictures": ((SIZE, SIZE, 3), np.uint8),
    # Which object is seen in each cell of two by two pixels; -1 for none.
    "owners": ((CELLS, CELLS), np.int8),
    # Class and colour of each object; -1 where there is none.
    "objects": ((OBJECTS, 2), np.int16),
    "meta": ((8,), np.int16),
    # Equal for pictures that show the same things, wherever.
    "keys": ((), np.int64),
    "captions": ((WORDINGS, CAPTION_TOKENS), np.uint16),
    "said": ((WORDINGS,), np.int64),
    "unordered": ((WORDINGS,), np.bool_),
    # The right short caption, then wrong ones; a row of zeros where there is no question.
    "questions": ((1 + WRONG, QUESTION_TOKENS), np.uint16),
}


def class_index(thing: Thing, emoji_count: int) -> int:
    """Emoji by their index, then the shapes."""
    return thing.emoji if thing.emoji >= 0 else emoji_count + SHAPES.index(thing.shape)


def _hash(value: object) -> int:
    text = repr(value).encode()
    return (zlib.crc32(text) << 31) ^ zlib.crc32(text[::-1])


def make_tokenizer(seed: int) -> Tokenizer:
    """Learn the merges from the captions of some batches, and every name once more."""
    sampler = BatchSampler()
    counts: Counter[str] = Counter()
    rng = np.random.default_rng((seed, 999))
    for _ in range(30_000):
        scene = sampler.scenes.scene(rng)
        counts.update(words(sampler.captioner.caption(scene, rng)))
    for entry in sampler.emoji:
        for name in entry.names:
            counts.update(words(name) * 10)
    return Tokenizer(learn_merges(counts, ModelShape().vocabulary - 514))


class Bank:
    """Writes chunks of one mixture."""

    def __init__(self, run: Path, folder: Path, mixture: str, seed: int) -> None:
        self.sampler = BatchSampler(kinds=MIXTURES[mixture])
        if not (run / "merges.txt").exists():
            make_tokenizer(seed).save(run, ModelShape().context)
        self.tokenizer = Tokenizer.load(run)
        self.sampler.scenes.plain = mixture == "backgrounds"
        self.questions = Questioner(self.sampler, "background" if mixture == "backgrounds" else "")
        self.folder = folder / mixture
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seed = (seed, list(MIXTURES).index(mixture))

    def _ids(self, text: str, limit: int) -> np.ndarray:
        ids = self.tokenizer.encode(text, limit)
        return np.array(ids + [self.tokenizer.end] * (limit - len(ids)), np.uint16)

    def chunk(self, number: int, pictures: int) -> None:
        """Draw chunk ``number``, a function of the seed and it, unless it is there."""
        final = self.folder / f"{number:04d}"
        if final.exists():
            return
        part = final.with_suffix(".part")
        part.mkdir(exist_ok=True)
        arrays = {
            name: np.zeros((pictures, *shape), kind) for name, (shape, kind) in FIELDS.items()
        }
        for start in range(0, pictures, 250):
            self._fill(arrays, start, min(250, pictures - start), (*self.seed, number, start))
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        part.rename(final)

    def _fill(
        self, arrays: dict[str, np.ndarray], start: int, size: int, seed: tuple[int, ...]
    ) -> None:
        batch = self.sampler.batch(size, seed, coverage=True)
        rng = np.random.default_rng((*seed, 1))
        names = {name: i for i, name in enumerate(KINDS)}
        colours, places, relations = list(COLOURS), list(PLACES), list(RELATIONS)
        for i, (scene, text) in enumerate(zip(batch.scenes, batch.captions, strict=True)):
            row = start + i
            arrays["pictures"][row] = batch.pictures[i]
            arrays["owners"][row] = batch.owners[i]
            arrays["objects"][row] = -1
            for j, placed in enumerate(scene.objects):
                thing = placed.thing
                arrays["objects"][row, j] = (
                    class_index(thing, len(self.sampler.emoji)),
                    colours.index(thing.colour) if thing.colour else -1,
                )
            arrays["meta"][row] = (
                names[scene.kind],
                relations.index(scene.relation) if scene.relation else -1,
                places.index(scene.place) if scene.place else -1,
                scene.say_place,
                colours.index(scene.background.colour) if scene.background.colour else -1,
                scene.say_background or scene.kind == "empty",
                len(scene.objects),
                batch.twins[i],
            )
            arrays["keys"][row] = _hash(scene.key)
            other = self.sampler.captioner.caption(scene, rng)
            for j, wording in enumerate((text, other)):
                arrays["captions"][row, j] = self._ids(wording, CAPTION_TOKENS)
                arrays["said"][row, j] = _hash(wording.rstrip("."))
            arrays["unordered"][row] = (batch.unordered[i], False)
            question = self.questions.ask(scene, rng)
            if question:
                arrays["questions"][row] = [self._ids(q, QUESTION_TOKENS) for q in question]


def main() -> None:
    """Draw the chunks that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run; the first bank also makes its tokenizer")
    parser.add_argument("--mixture", choices=sorted(MIXTURES), required=True)
    parser.add_argument("--pictures", type=int, required=True)
    parser.add_argument("--chunk", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--check", action="store_true", help="pictures for the log's curve")
    args = parser.parse_args()
    folder = args.run / ("check/bank" if args.check else "bank")
    bank = Bank(args.run, folder, args.mixture, args.seed)
    for number in range(args.pictures // args.chunk):
        bank.chunk(number, args.chunk)
        print(args.mixture, number, flush=True)


if __name__ == "__main__":
    main()
