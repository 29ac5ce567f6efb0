"""Train the default model: ``python train.py --run runs/default --minutes 95``.

The learning rate is warmed up, kept, and annealed to zero over the last part of the run. That part
is placed by ``--steps`` and ``--decay-at`` (a run that can be repeated exactly) or by ``--minutes``
(for a machine that others use as well: the log then says which steps it came to). A run continues
from its last checkpoint when the command is given again.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from batches import BatchSampler, stream
from model import CLIP, ModelShape
from muon import Muon
from tokenizer import Tokenizer, learn_merges, words

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def make_tokenizer(shape: ModelShape, seed: int) -> Tokenizer:
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
    return Tokenizer(learn_merges(counts, shape.vocabulary - 514))


def pixels(pictures: np.ndarray) -> Tensor:
    """Bytes [B, H, W, 3] to normalised pixels [B, 3, H, W]."""
    x = torch.from_numpy(pictures).float().div_(255)
    x.sub_(torch.tensor(MEAN)).div_(torch.tensor(STD))
    return x.permute(0, 3, 1, 2).contiguous()


def token_ids(tokenizer: Tokenizer, captions: list[str], context: int) -> Tensor:
    """Ids padded with END to the longest caption."""
    rows = [tokenizer.encode(c, context) for c in captions]
    ids = torch.full((len(rows), max(map(len, rows))), tokenizer.end)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


def busiest_patches(x: Tensor, patch: int, keep: int) -> Tensor:
    """Indices [B, keep] of the patches in which most happens, with some chance in the choice.

    Most of a picture is background. Leaving half of it out of most steps nearly doubles their
    number; the annealing phase sees whole pictures.
    """
    tiles = F.unfold(x, patch, stride=patch)
    score = tiles.std(1) + 0.3 * torch.rand(tiles.shape[0], tiles.shape[2])
    return score.topk(keep, dim=1).indices.sort(1).values


def schedule(step: int, elapsed: float, args: argparse.Namespace) -> float:
    """The learning rate's factor; zero ends the run."""
    warm = min(1.0, (step + 1) / args.warmup)
    if args.minutes:
        left = 1 - elapsed / (60 * args.minutes)
        return warm * max(0.0, min(1.0, left / args.decay))
    start = args.decay_at if args.decay_at is not None else round(args.steps * (1 - args.decay))
    return warm * max(0.0, min(1.0, (args.steps - step) / max(1, args.steps - start)))


class Trainer:
    """The model, its optimizers, and where the run stands."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        args.run.mkdir(parents=True, exist_ok=True)
        shape = ModelShape()
        if not (args.run / "merges.txt").exists():
            make_tokenizer(shape, args.seed).save(args.run, shape.context)
        self.tokenizer = Tokenizer.load(args.run)
        torch.manual_seed(args.seed)
        self.model = CLIP(shape)
        hidden, rest, plain = [], [], []
        for name, p in self.model.named_parameters():
            inside = ".layers." in name and p.dim() == 2
            (hidden if inside else rest if p.dim() >= 2 else plain).append(p)
        groups = [
            {"params": rest, "weight_decay": args.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizers = (
            Muon(hidden, args.muon_lr, weight_decay=args.weight_decay),
            torch.optim.AdamW(groups, args.lr, betas=(0.9, 0.98), fused=True),
        )
        self.rates = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.step, self.elapsed, self.mean_loss, self.factor = 0, 0.0, math.nan, 0.0
        self.interrupted = False
        self.checkpoint = args.run / "checkpoint.pt"
        if self.checkpoint.exists():
            self._load()
        # A batch that training never draws, for the log's curve.
        self.fixed = BatchSampler().batch(512, (args.seed + 1, 0), twins=False)
        self._log = (args.run / "log.jsonl").open("a", buffering=1)
        self.note(arguments={k: str(v) for k, v in vars(args).items()}, step=self.step)

    def note(self, **values: object) -> None:
        """Add a line to the log."""
        self._log.write(json.dumps(values) + "\n")

    def save(self) -> None:
        """Replace the checkpoint."""
        part = self.checkpoint.with_suffix(".part")
        state = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "elapsed": self.elapsed,
            "shape": self.model.shape.as_dict(),
        }
        torch.save(state, part)
        part.rename(self.checkpoint)

    def _load(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.elapsed = saved["step"], saved["elapsed"]

    def check(self) -> None:
        """Log retrieval both ways in the fixed batch."""
        self.model.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            image = self.model.encode_image(pixels(self.fixed.pictures))
            text = self.model.encode_text(self._ids(self.fixed.captions))
        self.model.train()
        similarity = image @ text.T
        truth = torch.arange(len(similarity))
        self.note(
            step=self.step,
            minutes=round(self.elapsed / 60, 2),
            loss=round(self.mean_loss, 4),
            scale=round(self.model.logit_scale.exp().item(), 2),
            factor=round(self.factor, 4),
            image_to_text=round((similarity.argmax(1) == truth).float().mean().item(), 4),
            text_to_image=round((similarity.argmax(0) == truth).float().mean().item(), 4),
        )

    def _ids(self, captions: list[str]) -> Tensor:
        return token_ids(self.tokenizer, captions, self.model.shape.context)

    def update(
        self, pictures: np.ndarray, captions: list[str], wrong: list[str], whole: bool
    ) -> float:
        """One step on a batch; its loss. ``wrong`` holds the same number for each picture."""
        for optimizer, bases in zip(self.optimizers, self.rates, strict=True):
            for group, base in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = base * self.factor
        model, x = self.model, pixels(pictures)
        kept = None if whole else busiest_patches(x, model.shape.patch_size, self.args.patches)
        with torch.autocast("cpu", torch.bfloat16):
            image = model.encode_image(x, kept)
            text = model.encode_text(self._ids(captions))
            against = model.encode_text(self._ids(wrong)) if wrong else None
        logits = model.logit_scale.exp() * image @ text.T
        truth = torch.arange(len(logits))
        choices = logits
        if against is not None:
            own = torch.einsum("bp,bkp->bk", image, against.view(len(image), -1, image.shape[1]))
            none = torch.tensor([not w for w in wrong]).view_as(own)
            own = (model.logit_scale.exp() * own).masked_fill(none, float("-inf"))
            choices = torch.cat([logits, own], 1)
        loss = (F.cross_entropy(choices, truth) + F.cross_entropy(logits.T, truth)) / 2
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        return loss.item()

    def interrupt(self, *_: object) -> None:
        """Stop after the present step; its checkpoint is kept."""
        self.interrupted = True

    def run(self) -> None:
        """Train to the end of the schedule."""
        signal.signal(signal.SIGTERM, self.interrupt)
        args, before, start, annealing = self.args, self.elapsed, time.monotonic(), False
        batches = stream(args.batch, args.seed, self.step, args.wrong)
        for number, pictures, captions, wrong in batches:
            self.elapsed = before + time.monotonic() - start
            self.factor = schedule(number, self.elapsed, args)
            if self.factor <= 0:
                break
            if self.factor < 1 and number > args.warmup and not annealing:
                annealing = True
                self.note(decay_at=number, minutes=round(self.elapsed / 60, 2))
            hard = number >= args.hard_from
            if number == args.hard_from:
                # Left alone the scale grows too slowly for near misses to weigh much.
                with torch.no_grad():
                    self.model.logit_scale.clamp_(min=math.log(args.hard_scale))
            # The choice of patches must not depend on where a run was interrupted.
            torch.manual_seed(args.seed * 1_000_003 + number)
            whole = (annealing and self.factor < args.whole_below) or number % 8 == 7
            loss = self.update(pictures, captions, wrong if hard else [], whole)
            self.step = number + 1
            mean = loss if math.isnan(self.mean_loss) else self.mean_loss
            self.mean_loss = 0.98 * mean + 0.02 * loss
            if number % 20 == 0:
                line = f"{number} {self.elapsed / 60:.2f} min loss {self.mean_loss:.3f}"
                print(line, f"lr x{self.factor:.3f}", flush=True)
            if self.step % args.check_every == 0:
                self.check()
                self.save()
            if self.interrupted:
                break
        self.save()
        self.check()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="folder of checkpoints and the log")
    add("--minutes", type=float, default=0, help="time budget; overrides --steps")
    add("--steps", type=int, default=4000)
    add("--decay-at", type=int, help="step at which annealing starts")
    add("--decay", type=float, default=0.6, help="share of the run spent annealing")
    add("--warmup", type=int, default=100)
    add("--batch", type=int, default=256)
    add("--lr", type=float, default=1.5e-3, help="AdamW's, for all but the towers' matrices")
    add("--muon-lr", type=float, default=0.015)
    add("--weight-decay", type=float, default=0.05)
    add("--patches", type=int, default=32, help="patches kept in most steps")
    add("--whole-below", type=float, default=0.2, help="rate from which all patches are kept")
    add("--wrong", type=int, default=1, help="wrong captions for each picture")
    add("--hard-from", type=int, default=600, help="first step with wrong captions")
    add("--hard-scale", type=float, default=30.0, help="least logit scale at that step")
    add("--seed", type=int, default=20)
    add("--threads", type=int, default=2)
    add("--check-every", type=int, default=100)
    return parser.parse_args()


def main() -> None:
    """Train as the command line says."""
    args = arguments()
    torch.set_num_threads(args.threads)
    Trainer(args).run()


if __name__ == "__main__":
    main()
