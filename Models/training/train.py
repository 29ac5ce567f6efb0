"""Train one stage of the default model: ``python train.py --run runs/default --stage image …``.

A run is a chain of stages (``stages.sh``), each with optimizers and a schedule of its own, and
perhaps several processes that average their gradients:

- ``image``: the image tower on the renderer's labels;
- ``text``: the text tower on what the captions say;
- ``joint``: both, with contrast and questions beside the labels.

The learning rate is warmed up, kept, and annealed to zero over the last part of the stage's
minutes. ``control.json`` in the run's folder may change ``minutes``, ``patches`` and ``rate`` under
way; the log says when. A stage that was interrupted continues when its command is given again.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import bank
from batches import BatchSampler
from heads import Heads
from loader import Loader, NameStream, Rows
from losses import caption_losses, contrast, encode_texts, image_losses, question
from model import CLIP, ModelShape, TowerShape
from muon import Muon
from tokenizer import Tokenizer


def schedule(step: int, elapsed: float, args: argparse.Namespace) -> float:
    """The learning rate's factor; zero ends the stage."""
    warm = min(1.0, (step + 1) / args.warmup)
    left = 1 - elapsed / (60 * args.minutes)
    return warm * max(0.0, min(1.0, left / args.decay if args.decay else float(left > 0)))


class Trainer:
    """The model, its optimizers, and where the stage stands."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        shape = ModelShape(vision=TowerShape(args.width, args.layers, args.width // 32))
        torch.manual_seed(args.seed)
        sampler = BatchSampler()
        self.emoji = sampler.emoji
        self.tokenizer = Tokenizer.load(args.run)
        sprites = [
            np.asarray(e.sprite.convert("RGBa").resize((16, 16), Image.Resampling.BOX))
            for e in self.emoji
        ]
        table = torch.from_numpy(np.stack(sprites)).flatten(1).float() / 255
        self.model, self.heads = CLIP(shape), Heads(shape, table)
        for source in args.start:
            self._take(source)
        trained = self._trained()
        hidden, rest, plain = [], [], []
        for name, p in trained.items():
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
        self.average = {n: p.detach().clone() for n, p in trained.items()}
        self.step, self.elapsed, self.factor = 0, 0.0, 0.0
        self.means: dict[str, float] = {}
        self.interrupted = False
        self.checkpoint = args.run / f"{args.name}.pt"
        if self.checkpoint.exists():
            self._load()
        shares = json.loads(args.shares)
        # What names and pictures of single emoji look like to the model at present, without
        # gradients: each side learns against all of the other.
        self.name_bank: Tensor | None = None
        self.picture_bank = torch.nn.functional.normalize(
            self.heads.table.detach()[: len(self.emoji)], dim=1
        ).clone()
        self.names = NameStream(self.emoji, self.tokenizer, np.random.default_rng(3 + args.rank))
        self.loader = Loader(
            args.run,
            shares,
            self.emoji,
            self.tokenizer,
            args.seed + self.step + 7919 * args.rank,
            skip=args.skip,
        )
        heads = self.heads
        heads.expect(*self.loader.counts(heads.emoji, len(heads.prior), len(heads.single_prior)))
        held_out = Loader(args.run / "check", {"mixture": 1.0}, self.emoji, self.tokenizer, 1)
        self.fixed = [held_out.rows(256, 0, 0) for _ in range(4)]
        torch.manual_seed(args.seed + 1 + self.step + args.rank)
        log = args.run / ("log.jsonl" if args.rank == 0 else f"log{args.rank}.jsonl")
        self._log = log.open("a", buffering=1)
        self.note(stage=args.name, arguments={k: str(v) for k, v in vars(args).items()})

    def _agree(self) -> None:
        """Average the gradients over the ranks; the rate's factor is the first rank's."""
        if self.args.ranks == 1:
            return
        trained = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
        first = self.factor * self.args.ranks if self.args.rank == 0 else 0.0
        flat = torch.cat([torch.tensor([first]), *(g.flatten() for g in grads)])
        torch.distributed.all_reduce(flat)
        flat /= self.args.ranks
        self.factor = flat[0].item()
        start = 1
        for p in trained:
            p.grad = flat[start : start + p.numel()].view_as(p)
            start += p.numel()

    def _trained(self) -> dict[str, torch.nn.Parameter]:
        """The parameters of this stage's towers, and the heads'."""
        away = {"image": ("text_", "logit_scale"), "text": ("vision_", "visual_", "logit_scale")}
        kept = {
            f"model.{n}": p
            for n, p in self.model.named_parameters()
            if not n.startswith(away.get(self.args.stage, ()))
        }
        kept |= {f"heads.{n}": p for n, p in self.heads.named_parameters()}
        if self.args.stage == "text":
            # The tables are the image tower's; the text tower goes towards them.
            del kept["heads.table"], kept["heads.colours"]
        return kept

    def _take(self, source: str) -> None:
        """Start from a stage's checkpoint: ``path`` or ``path:text`` for its text half only."""
        path, _, half = source.partition(":")
        saved = torch.load(self.args.run / f"{path}.pt", weights_only=True)
        for module, state in ((self.model, saved["average"]), (self.heads, saved["heads"])):
            if half == "text":
                names = ("text_", "slot", "said")
                state = {n: v for n, v in state.items() if n.startswith(names)}
            module.load_state_dict(state, strict=not half)
        if half == "text":
            # Scales of the text's own heads.
            with torch.no_grad():
                self.heads.scale[4] = saved["heads"]["scale"][4]

    def note(self, **values: object) -> None:
        """Add a line to the log."""
        self._log.write(json.dumps(values) + "\n")

    def averaged(self, module: torch.nn.Module, prefix: str) -> dict[str, Tensor]:
        """The module's state with the moving averages of what is trained."""
        state = {n: v.clone() for n, v in module.state_dict().items()}
        for name in state:
            if f"{prefix}.{name}" in self.average:
                state[name] = self.average[f"{prefix}.{name}"].clone()
        return state

    def save(self) -> None:
        """Replace the checkpoint."""
        part = self.checkpoint.with_suffix(".part")
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "average": self.averaged(self.model, "model"),
            "moving": self.average,
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
        self.heads.load_state_dict(saved["heads"])
        self.average = saved["moving"]
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.elapsed = saved["step"], saved["elapsed"]

    @torch.no_grad()
    def check(self) -> None:
        """Log how the averaged weights do on pictures and captions that training never sees."""
        present = self.model.state_dict(), self.heads.state_dict()
        present = [{n: v.clone() for n, v in s.items()} for s in present]
        self.model.load_state_dict(self.averaged(self.model, "model"))
        self.heads.load_state_dict(self.averaged(self.heads, "heads"))
        found: dict[str, list[float]] = defaultdict(list)
        images, texts = [], []
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(self.args.bf16)):
            for rows in self.fixed:
                _, right, image, text = self.losses(rows, 0)
                for name, value in right.items():
                    if not math.isnan(value):
                        found[name].append(value)
                images.append(image)
                texts.append(text)
            if self.args.stage == "joint":
                found |= self._retrieval(torch.cat(images), torch.cat(texts))
        self.model.load_state_dict(present[0])
        self.heads.load_state_dict(present[1])
        values = {n: round(float(np.mean(v)), 4) for n, v in found.items()}
        self.note(
            stage=self.args.name,
            step=self.step,
            minutes=round(self.elapsed / 60, 2),
            factor=round(self.factor, 4),
            scale=round(self.model.logit_scale.exp().item(), 2),
            losses={n: round(v, 3) for n, v in self.means.items()},
            **values,
        )
        print(self.step, f"{self.elapsed / 60:.1f} min", values, flush=True)

    def _retrieval(self, image: Tensor, text: Tensor) -> dict[str, list[float]]:
        """Retrieval in halves of 512, and naming of the single emoji among all names."""
        rows = self.fixed
        both = []
        for half in (slice(0, 512), slice(512, 1024)):
            similarity = image[half] @ text[half].T
            truth = torch.arange(512)
            both += [
                (similarity.argmax(1) == truth).float().mean().item(),
                (similarity.argmax(0) == truth).float().mean().item(),
            ]
        names = self.loader.names
        order = [names.tokenizer.encode(f"a photo of a {e.names[0]}.", 32) for e in self.emoji]
        ids = torch.full((len(order), 32), names.tokenizer.end)
        for i, row in enumerate(order):
            ids[i, : len(row)] = torch.tensor(row)
        _, every = encode_texts(self.model, ids)
        kind = torch.cat([r.meta[:, bank.KIND] for r in rows]) == 1
        truth = torch.cat([r.objects[:, 0, 0] for r in rows])[kind]
        hits = (image[kind] @ every.T).topk(5).indices == truth[:, None]
        return {
            "retrieval": both,
            "naming": [hits[:, 0].float().mean().item()],
            "naming5": [hits.any(1).float().mean().item()],
        }

    def losses(
        self, rows: Rows, wording: int
    ) -> tuple[dict[str, Tensor], dict[str, float], Tensor | None, Tensor | None]:
        """The stage's losses, what was right, and the embeddings of pictures and captions."""
        args, model, heads = self.args, self.model, self.heads
        losses: dict[str, Tensor] = {}
        right: dict[str, float] = {}
        image = text = None
        if args.stage != "text":
            pooled, tokens = model.vision_model(rows.pixels, rows.chosen)
            pooled = pooled.float()
            image = torch.nn.functional.normalize(model.visual_projection(pooled).float(), dim=-1)
            found, hits = image_losses(heads, rows, pooled, tokens, image)
            losses |= {n: args.labels * v for n, v in found.items()}
            right |= hits
        if args.stage == "image":
            return losses, right, image, text
        size, asked = len(rows.meta), (rows.questions[:, 0, 0] > 0).nonzero().flatten()
        if args.stage == "text" or not args.wrong:
            asked = asked[:0]
        elif self.model.training and len(asked) > args.questions:
            asked = asked[torch.randperm(len(asked))[: args.questions]]
        wrong = rows.questions[asked, : 1 + args.wrong]
        kinds = [rows.captions[:, wording], wrong.flatten(0, 1), rows.names]
        ids = torch.full((sum(map(len, kinds)), 28), model.text_model.eos)
        start = 0
        for part in kinds:
            if len(part):
                ids[start : start + len(part), : part.shape[1]] = part
                start += len(part)
        pooled, unit = encode_texts(model, ids)
        text = unit[:size]
        found, hits = caption_losses(heads, rows, pooled[:size], text, wording)
        losses |= {n: args.labels * v for n, v in found.items()}
        right |= hits
        if len(rows.names):
            logits = heads.singles(unit[-len(rows.names) :], 4)
            losses["names"] = torch.nn.functional.cross_entropy(logits, rows.named)
            right["names"] = float((logits.argmax(1) == rows.named).float().mean())
        if self.name_bank is not None and model.training:
            losses |= self._banks(rows, image, unit)
        if args.stage == "joint":
            losses["contrast"] = contrast(model, rows, image, text, wording)
            answers = unit[size : size + wrong.shape[0] * wrong.shape[1]]
            if len(asked):
                losses["ask"], hits = question(
                    model, rows, image, answers.view(len(asked), wrong.shape[1], -1), asked
                )
                right |= hits
        return losses, right, image, text

    def _banks(self, rows: Rows, image: Tensor, unit: Tensor) -> dict[str, Tensor]:
        """Pictures of single emoji among all names, and names among pictures of all emoji."""
        scale, weight = self.model.logit_scale.exp(), self.args.banks
        alone = rows.meta[:, bank.KIND] == 1
        shown = rows.objects[alone, 0, 0]
        entropy = torch.nn.functional.cross_entropy
        losses = {"by_name": weight * entropy(scale * image[alone] @ self.name_bank.T, shown)}
        if len(rows.names):
            logits = scale * unit[-len(rows.names) :] @ self.picture_bank.T
            losses["by_picture"] = weight / 2 * entropy(logits, rows.named)
        with torch.no_grad():
            fresh = self.picture_bank[shown].lerp(image[alone].detach(), 0.3)
            self.picture_bank[shown] = torch.nn.functional.normalize(fresh, dim=1)
        return losses

    @torch.no_grad()
    def _renew_names(self) -> None:
        """Encode every name afresh."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(self.args.bf16)):
            self.name_bank = encode_texts(self.model, self.names.every())[1]

    def update(self, rows: Rows) -> None:
        """One step on a batch."""
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(self.args.bf16)):
            losses, right, _, _ = self.losses(rows, int(torch.randint(bank.WORDINGS, ())))
        sum(losses.values()).backward()
        self._agree()
        for optimizer, bases in zip(self.optimizers, self.rates, strict=True):
            for group, base in zip(optimizer.param_groups, bases, strict=True):
                group["lr"] = base * self.factor
        trained = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(trained, self.args.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.model.logit_scale.clamp_(math.log(self.args.least_scale), math.log(100))
            self.heads.scale[[2, 4]].clamp_(max=3.7)
            if self.step % 4 == 3:
                weight = max(self.args.average, 1 / (1 + self.step / 4))
                for name, p in self._trained().items():
                    self.average[name].lerp_(p, weight)
        values = {n: v.item() for n, v in losses.items()} | {f"={n}": v for n, v in right.items()}
        for name, value in values.items():
            if not math.isnan(value):
                self.means[name] = self.means.get(name, value) * 0.95 + 0.05 * value

    def obey(self) -> None:
        """Take over what ``control.json`` says for this stage."""
        path = self.args.run / "control.json"
        if not path.exists():
            return
        wishes = json.loads(path.read_text()).get(self.args.name, {})
        for name, value in wishes.items():
            if getattr(self.args, name) != value:
                setattr(self.args, name, value)
                self.note(stage=self.args.name, step=self.step, changed={name: value})

    def interrupt(self, *_: object) -> None:
        """Stop after the present step; its checkpoint is kept."""
        self.interrupted = True

    def run(self) -> None:
        """Train to the end of the schedule."""
        signal.signal(signal.SIGTERM, self.interrupt)
        args, before, start = self.args, self.elapsed, time.monotonic()
        checked = time.monotonic()
        names = args.names if args.stage != "image" else 0
        for rows in self.loader.stream(args.batch, args.patches, names):
            self.elapsed = before + time.monotonic() - start
            self.factor = args.rate * schedule(self.step, self.elapsed, args)
            if args.stage == "joint" and args.banks and self.step % 25 == 0:
                self._renew_names()
            self.update(rows)
            self.step += 1
            if self.factor <= 0:
                break
            if args.rank:
                continue
            if self.step % 20 == 0:
                self.obey()
                shown = {n: round(v, 2) for n, v in self.means.items()}
                print(self.step, f"{self.elapsed / 60:.2f} min x{self.factor:.2f}", shown, flush=True)
            if time.monotonic() - checked > 60 * args.check_minutes:
                self.model.eval()
                self.check()
                self.model.train()
                self.save()
                checked = time.monotonic()
            if self.interrupted:
                break
        if not args.rank:
            self.save()
            self.model.eval()
            self.check()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="folder of the bank, checkpoints and the log")
    add("--stage", choices=("image", "text", "joint"), required=True)
    add("--name", required=True, help="name of the stage's checkpoint")
    add("--start", action="append", default=[], help="checkpoint to start from; NAME or NAME:text")
    add("--minutes", type=float, required=True)
    add("--shares", required=True, help='of the bank, such as {"shapes": 1}')
    add("--decay", type=float, default=0.3, help="share of the stage spent annealing")
    add("--warmup", type=int, default=30)
    add("--batch", type=int, default=64)
    add("--lr", type=float, default=2e-3, help="AdamW's, for all but the towers' matrices")
    add("--muon-lr", type=float, default=0.02)
    add("--weight-decay", type=float, default=0.05)
    add("--clip", type=float, default=1.0)
    add("--patches", type=int, default=24, help="patches kept in most steps")
    add("--names", type=int, default=128, help="names beside the captions of a step")
    add("--wrong", type=int, default=2, help="wrong answers to each question")
    add("--questions", type=int, default=64, help="questions in a step, at most")
    add("--banks", type=float, default=0.7, help="weight of all names and all emoji")
    add("--labels", type=float, default=1.0, help="weight of the thrown-away heads")
    add("--least-scale", type=float, default=10.0, help="least logit scale")
    add("--average", type=float, default=0.05, help="weight of the present in the average")
    add("--rate", type=float, default=1.0, help="factor of all rates")
    add("--bf16", type=int, default=1, help="0 for float32")
    add("--skip", type=int, default=0, help="first chunk of each mixture")
    add("--seed", type=int, default=20)
    add("--width", type=int, default=192, help="of the image tower")
    add("--layers", type=int, default=4, help="of the image tower")
    add("--ranks", type=int, default=1, help="processes that share the batches")
    add("--rank", type=int, default=0)
    add("--threads", type=int, default=1)
    add("--check-minutes", type=float, default=1.0)
    return parser.parse_args()


def main() -> None:
    """Train as the command line says."""
    args = arguments()
    torch.set_num_threads(args.threads)
    if args.ranks > 1:
        meeting = (args.run / f"{args.name}.meeting").absolute()
        torch.distributed.init_process_group(
            "gloo", f"file://{meeting}", world_size=args.ranks, rank=args.rank
        )
    Trainer(args).run()


if __name__ == "__main__":
    main()
