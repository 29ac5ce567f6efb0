"""Batches from the bank, prepared by a thread while the step before runs."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import bank
from captions import article, respelt
from emoji_names import Emoji
from tokenizer import Tokenizer

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# Neighbours in the bank stay together, so that twins do.
BLOCK = 8
_NAME_TEMPLATES = ("{}", "a photo of a {}.", "a photo of {}", "a picture of {}", "{} ", "an image of {}")


@dataclass
class Rows:
    """Rows of the bank as tensors; the fields are those of ``bank.FIELDS``."""

    pixels: Tensor
    chosen: Tensor | None
    owners: Tensor
    objects: Tensor
    meta: Tensor
    keys: Tensor
    captions: Tensor
    said: Tensor
    unordered: Tensor
    questions: Tensor
    names: Tensor
    named: Tensor


def pixels(pictures: np.ndarray) -> Tensor:
    """Bytes [B, H, W, 3] to normalised pixels [B, 3, H, W]."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).float().div_(255)
    x.sub_(torch.tensor(MEAN)).div_(torch.tensor(STD))
    return x.permute(0, 3, 1, 2).contiguous()


def busiest_patches(x: Tensor, patch: int, keep: int, rng: np.random.Generator) -> Tensor:
    """Indices [B, keep] of the patches in which most happens, with some chance in the choice.

    Most of a picture is background. Leaving more than half of it out of most steps more than
    doubles their number; the annealing phase sees whole pictures.
    """
    tiles = F.unfold(x, patch, stride=patch)
    noise = torch.from_numpy(rng.random((tiles.shape[0], tiles.shape[2]), np.float32))
    score = tiles.std(1) + 0.3 * noise
    return score.topk(keep, dim=1).indices.sort(1).values


class NameStream:
    """Every name of every emoji in turn, in the ways in which people ask for it."""

    def __init__(self, emoji: list[Emoji], tokenizer: Tokenizer, rng: np.random.Generator) -> None:
        self.emoji, self.tokenizer, self.rng = emoji, tokenizer, rng
        self.order: list[int] = []

    def every(self) -> Tensor:
        """Ids of the first name of each emoji, all in one template, a random one."""
        template = _NAME_TEMPLATES[int(self.rng.integers(len(_NAME_TEMPLATES)))]
        rows = [
            self.tokenizer.encode(template.format(e.names[0]), bank.QUESTION_TOKENS)
            for e in self.emoji
        ]
        return padded(rows, self.tokenizer.end)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """Ids [count, T] and the emoji's indices [count]."""
        rng, rows, which = self.rng, [], []
        while len(rows) < count:
            if not self.order:
                self.order = rng.permutation(len(self.emoji)).tolist()
            index = self.order.pop()
            names = self.emoji[index].names
            first = len(names) == 1 or rng.random() < 0.6
            name = names[0] if first else names[int(rng.integers(1, len(names)))]
            if rng.random() < 0.4 and not name.startswith("the "):
                name = article(name)
            template = _NAME_TEMPLATES[int(rng.integers(len(_NAME_TEMPLATES)))]
            text = respelt(template.format(name), rng)
            rows.append(self.tokenizer.encode(text, bank.QUESTION_TOKENS))
            which.append(index)
        return padded(rows, self.tokenizer.end), torch.tensor(which)


def padded(rows: list[list[int]], end: int) -> Tensor:
    """Ids padded with END to the longest row."""
    ids = torch.full((len(rows), max(map(len, rows))), end)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


class Loader:
    """Draws rows from mixtures in given shares; takes in new chunks as they are finished."""

    def __init__(
        self,
        run: Path,
        shares: dict[str, float],
        emoji: list[Emoji],
        tokenizer: Tokenizer,
        seed: int,
        skip: int = 0,
    ) -> None:
        self.run, self.shares, self.skip = run, shares, skip
        self.rng = np.random.default_rng(seed)
        self.names = NameStream(emoji, tokenizer, self.rng)
        self.chunks: dict[str, list[dict[str, np.ndarray]]] = {m: [] for m in shares}
        self.refresh()

    def refresh(self) -> None:
        """Open the chunks that have appeared; the first ``skip`` ones are for others."""
        for mixture, chunks in self.chunks.items():
            folders = sorted((self.run / "bank" / mixture).glob("[0-9][0-9][0-9][0-9]"))
            for folder in folders[self.skip + len(chunks) :]:
                chunks.append(
                    {f: np.load(folder / f"{f}.npy", mmap_mode="r") for f in bank.FIELDS}
                )

    def counts(self, emoji: int, things: int, singles: int, pictures: int = 5000):
        """How often each thing and each single (see ``Heads.singles``) is shown."""
        from losses import single_target

        rows = [self.rows(250, 1, 0) for _ in range(pictures // 250)]
        shown = torch.cat([r.objects[:, :, 0].flatten() for r in rows])
        alone = torch.cat([single_target(r, emoji) for r in rows])
        # All emoji are equally likely, and so are all shapes.
        every = torch.bincount(shown[shown >= 0], minlength=things).float()
        single = torch.bincount(alone[alone >= 0], minlength=singles).float()
        for counts in (every, single):
            counts[:emoji] = counts[:emoji].mean()
        every[emoji:-1] = every[emoji:-1].mean()
        single[emoji:] = single[emoji:].mean()
        return every, single

    def rows(self, size: int, keep: int, names: int) -> Rows:
        """A batch; ``keep`` patches of each picture (0: all) and ``names`` names beside it."""
        parts: dict[str, list[np.ndarray]] = {f: [] for f in bank.FIELDS}
        mixtures = list(self.shares)
        for _ in range(size // BLOCK):
            mixture = mixtures[self.rng.choice(len(mixtures), p=list(self.shares.values()))]
            chunks = self.chunks[mixture]
            chunk = chunks[int(self.rng.integers(len(chunks)))]
            start = int(self.rng.integers(len(chunk["meta"]) - BLOCK))
            for field, array in chunk.items():
                parts[field].append(array[start : start + BLOCK])
        whole = {f: np.concatenate(p) for f, p in parts.items()}
        x = pixels(whole.pop("pictures"))
        chosen = busiest_patches(x, 8, keep, self.rng) if keep else None
        rest = {
            f: torch.from_numpy(v if v.dtype == np.bool_ else v.astype(np.int64))
            for f, v in whole.items()
        }
        ids, named = self.names.take(names) if names else (torch.empty(0), torch.empty(0))
        return Rows(pixels=x, chosen=chosen, names=ids, named=named, **rest)

    def stream(self, size: int, keep: int, names: int, depth: int = 3):
        """Batches without end, some ahead; each eighth has all patches."""
        ready: queue.Queue = queue.Queue(maxsize=depth)

        def produce() -> None:
            number = 0
            while True:
                if number % 500 == 499:
                    self.refresh()
                ready.put(self.rows(size, keep if number % 8 != 7 else 0, names))
                number += 1

        threading.Thread(target=produce, daemon=True).start()
        while True:
            yield ready.get()
