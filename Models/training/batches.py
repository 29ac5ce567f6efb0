"""Batches of pictures and captions.

No two scenes of a batch show the same things unless they are twins whose captions tell them apart;
otherwise a true caption would count as a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from captions import Captioner
from drawing import CELLS, Palette, draw_with_coverage, spoil
from emoji_names import load_emoji, lookalikes
from scenes import Scene, SceneSampler

TWIN_SHARE = 0.3
UNORDERED_SHARE = 0.25


@dataclass
class Batch:
    """Pictures as bytes [B, 64, 64, 3], their captions, and the scenes.

    ``owners`` [B, CELLS, CELLS] says which object is seen in each cell of two by two pixels (-1:
    none); ``twins`` is 1 and 2 for the two of a pair of twins, otherwise 0.
    """

    pictures: np.ndarray
    captions: list[str]
    scenes: list[Scene]
    unordered: list[bool]
    twins: list[int]
    owners: np.ndarray


class BatchSampler:
    """Draws batches; each is a function of its seed alone."""

    def __init__(self, held_out: bool = False, kinds: dict[str, float] | None = None) -> None:
        self.emoji = load_emoji()
        self.palette = Palette(self.emoji)
        self.captioner = Captioner(self.emoji)
        self.scenes = SceneSampler(len(self.emoji), held_out, kinds)
        self.lookalikes = lookalikes(self.emoji)

    def batch(
        self,
        size: int,
        seed: tuple[int, ...],
        kind: str | None = None,
        twins: bool = True,
        spoilt: bool = True,
        coverage: bool = False,
    ) -> Batch:
        """One batch; without ``spoilt`` no noise, blur or change of brightness is applied."""
        rng = np.random.default_rng(seed)
        owners = np.full((size if coverage else 0, CELLS, CELLS), -1, np.int8)
        result = Batch(np.empty((size, 64, 64, 3), np.uint8), [], [], [], [], owners)
        keys: set[tuple] = set()
        said: set[str] = set()
        while len(result.captions) < size:
            scene = self.scenes.scene(rng, kind)
            if scene.key in keys:
                continue
            pair = None
            if twins and rng.random() < TWIN_SHARE and len(result.captions) + 2 <= size:
                pair = self.scenes.twins(scene, rng)
            unordered = pair is None and bool(scene.relation) and rng.random() < UNORDERED_SHARE
            chosen = pair or (scene,)
            texts = [self.captioner.caption(s, rng, unordered) for s in chosen]
            bare = {t.rstrip(".") for t in texts}
            if len(bare) < len(texts) or bare & said:
                continue
            said |= bare
            keys.update(s.key for s in chosen)
            for number, (one, text) in enumerate(zip(chosen, texts, strict=True)):
                clean, seen = draw_with_coverage(one, self.palette, rng)
                at = len(result.captions)
                if coverage:
                    result.owners[at] = _owners(seen)
                result.pictures[at] = (
                    spoil(clean, rng) if spoilt else np.clip(clean * 255 + 0.5, 0, 255)
                )
                result.captions.append(text)
                result.scenes.append(one)
                result.unordered.append(unordered)
                result.twins.append(number + 1 if pair else 0)
        return result


def _owners(coverage: np.ndarray) -> np.ndarray:
    """Which of the objects [n, SIZE, SIZE] covers most of each cell, -1 where none covers half."""
    if not len(coverage):
        return np.full((CELLS, CELLS), -1, np.int8)
    step = coverage.shape[1] // CELLS
    cells = coverage.reshape(len(coverage), CELLS, step, CELLS, step).mean((2, 4))
    return np.where(cells.max(0) > 0.4, cells.argmax(0), -1).astype(np.int8)
