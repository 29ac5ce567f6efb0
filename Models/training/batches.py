"""Batches of pictures and captions, drawn in a process of their own.

No two scenes of a batch show the same things unless they are twins whose captions tell them apart;
otherwise a true caption would count as a wrong one.
"""

from __future__ import annotations

import multiprocessing as mp
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from captions import Captioner
from drawing import Palette, draw, spoil
from emoji_names import load_emoji, lookalikes
from scenes import Scene, SceneSampler

TWIN_SHARE = 0.3
UNORDERED_SHARE = 0.25


@dataclass
class Batch:
    """Pictures as bytes [B, 64, 64, 3], their captions, and the scenes."""

    pictures: np.ndarray
    captions: list[str]
    scenes: list[Scene]


class BatchSampler:
    """Draws batches; each is a function of its seed alone."""

    def __init__(self, held_out: bool = False) -> None:
        self.emoji = load_emoji()
        self.palette = Palette(self.emoji)
        self.captioner = Captioner(self.emoji)
        self.scenes = SceneSampler(len(self.emoji), held_out)
        self.lookalikes = lookalikes(self.emoji)

    def wrong_captions(self, batch: Batch, count: int, seed: tuple[int, ...]) -> list[str]:
        """``count`` captions for each picture that are wrong about it in one respect.

        An empty one stands for none. They count against their own picture only, for they may well
        be true of another.
        """
        rng = np.random.default_rng(seed)
        wrong = []
        for scene, truth in zip(batch.scenes, batch.captions, strict=True):
            for _ in range(count):
                other = self.scenes.contradiction(scene, self.lookalikes, rng)
                text = self.captioner.caption(other, rng) if other else ""
                wrong.append("" if text.rstrip(".") == truth.rstrip(".") else text)
        return wrong

    def batch(
        self,
        size: int,
        seed: tuple[int, ...],
        kind: str | None = None,
        twins: bool = True,
        spoilt: bool = True,
    ) -> Batch:
        """One batch; without ``spoilt`` no noise, blur or change of brightness is applied."""
        rng = np.random.default_rng(seed)
        result = Batch(np.empty((size, 64, 64, 3), np.uint8), [], [])
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
            for one, text in zip(chosen, texts, strict=True):
                clean = draw(one, self.palette, rng)
                at = len(result.captions)
                result.pictures[at] = (
                    spoil(clean, rng) if spoilt else np.clip(clean * 255 + 0.5, 0, 255)
                )
                result.captions.append(text)
                result.scenes.append(one)
        return result


def _produce(queue: mp.Queue, size: int, seed: int, first: int, wrong: int) -> None:
    """The worker: batches number ``first``, ``first + 1``, … for ever."""
    sampler = BatchSampler()
    step = first
    while True:
        batch = sampler.batch(size, (seed, step))
        captions = sampler.wrong_captions(batch, wrong, (seed, step, 1)) if wrong else []
        queue.put((step, batch.pictures, batch.captions, captions))
        step += 1


def stream(
    size: int, seed: int, first: int, wrong: int
) -> Iterator[tuple[int, np.ndarray, list[str], list[str]]]:
    """Numbered pictures, captions and wrong captions from a worker process, in order."""
    context = mp.get_context("fork")
    queue: mp.Queue = context.Queue(maxsize=6)
    worker = context.Process(target=_produce, args=(queue, size, seed, first, wrong), daemon=True)
    # The trainer's handler of SIGTERM is not the worker's.
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker.start()
    signal.signal(signal.SIGTERM, handler)
    while True:
        yield queue.get()
