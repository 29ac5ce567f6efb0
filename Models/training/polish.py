"""The last stage: the image tower's last layer alone, on stored tokens, against the texts as they are.

``python polish.py --run runs/default --start finish --part 0/3`` (and 1/3, 2/3) stores, without
gradients, the tokens before the last layer and the embeddings of captions, questions and names;
``--train`` then trains that layer and the projection for some hundred steps. A picture costs a tenth of
what it costs in the stage before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import bank
from loader import Loader, NameStream, Rows, padded
from losses import contrast, encode_texts
from model import CLIP, ModelShape
from tokenizer import Tokenizer

PICTURES = {"backgrounds": 9000, "mixture": 9000, "rows": 4200, "shapes": 4200}
CHUNK = 200


def load(run: Path, name: str) -> tuple[CLIP, dict]:
    """The model of a checkpoint's averaged weights, and the checkpoint."""
    saved = torch.load(run / f"{name}.pt", weights_only=True)
    model = CLIP(ModelShape.from_dict(saved["shape"]))
    model.load_state_dict(saved["average"])
    return model.eval(), saved


@torch.no_grad()
def store(args: argparse.Namespace) -> None:
    """Write one part of the stored tokens and embeddings."""
    part, parts = (int(v) for v in args.part.split("/"))
    model, _ = load(args.run, args.start)
    tokenizer = Tokenizer.load(args.run)
    stored: list[dict[str, Tensor]] = []
    for mixture, pictures in PICTURES.items():
        loader = Loader(args.run, {mixture: 1.0}, [], tokenizer, 500 + part)
        for _ in range(pictures // parts // CHUNK):
            rows = loader.rows(CHUNK, 0, 0)
            with torch.autocast("cpu", torch.bfloat16):
                x = model.vision_model.pre_layrnorm(model.vision_model.embeddings(rows.pixels))
                for layer in model.vision_model.encoder.layers[:-1]:
                    x = layer(x, False)
                asked = rows.questions.flatten(0, 1)
                ids = torch.full((CHUNK + len(asked), 28), model.text_model.eos)
                ids[:CHUNK] = rows.captions[:, 0]
                ids[CHUNK:, : asked.shape[1]] = asked
                ids[ids.sum(1) == 0] = model.text_model.eos
                _, unit = encode_texts(model, ids)
            entry = {name: getattr(rows, name) for name in bank.FIELDS if name != "pictures"}
            entry |= {
                "tokens": x.bfloat16(),
                "text": unit[:CHUNK],
                "answers": unit[CHUNK:].view(CHUNK, -1, unit.shape[1]),
            }
            del entry["owners"]
            stored.append(entry)
    everything = {name: torch.cat([s[name] for s in stored]) for name in stored[0]}
    if part == 0:
        from emoji_names import load_emoji

        names = NameStream(load_emoji(), tokenizer, np.random.default_rng(0))
        texts = [f"a photo of a {e.names[0]}." for e in names.emoji]
        bare = [e.names[0] for e in names.emoji]
        with torch.autocast("cpu", torch.bfloat16):
            both = [
                encode_texts(model, padded([tokenizer.encode(t, 32) for t in ts], tokenizer.end))[1]
                for ts in (texts, bare)
            ]
        everything["names"] = F.normalize(both[0] + both[1], dim=-1)
    torch.save(everything, args.run / f"polish-{part}.pt")


def train(args: argparse.Namespace) -> None:
    """Train the last layer and the projection."""
    torch.manual_seed(3)
    model, saved = load(args.run, args.start)
    parts = [
        torch.load(p, weights_only=True) for p in sorted(args.run.glob("polish-[0-9].pt"))
    ]
    names = parts[0].pop("names")
    data = {n: torch.cat([p[n] for p in parts]) for n in parts[0]}
    count = len(data["meta"])
    tower = model.vision_model
    layer = tower.encoder.layers[-1]
    modules = (layer, tower.post_layernorm, model.visual_projection)
    trained = [p for m in modules for p in m.parameters()]
    optimizer = torch.optim.AdamW(trained, args.lr, betas=(0.9, 0.98), weight_decay=0.0)
    average = [p.detach().clone() for p in trained]
    shown: dict[str, float] = {}
    for step in range(args.steps):
        left = 1 - step / args.steps
        optimizer.param_groups[0]["lr"] = args.lr * min(1, (step + 1) / 10, left / 0.8)
        blocks = torch.randint(count // 8, (args.batch // 8,)) * 8
        at = (blocks[:, None] + torch.arange(8)).flatten()
        part = {n: v[at] for n, v in data.items()}
        rows = Rows(pixels=None, chosen=None, owners=None, names=None, named=None,
                    **{n: part[n] for n in bank.FIELDS if n not in ("pictures", "owners")})
        with torch.autocast("cpu", torch.bfloat16):
            pooled = layer.pooled(part["tokens"].float(), torch.zeros(len(at), dtype=torch.long), None)
            pooled = tower.post_layernorm(pooled)
        image = F.normalize(model.visual_projection(pooled.float()), dim=-1)
        scale = model.logit_scale.detach().exp()
        losses = {"contrast": contrast(model, rows, image, part["text"], 0)}
        asked = rows.questions[:, 0, 0] > 0
        logits = scale * torch.einsum("np,nkp->nk", image[asked], part["answers"][asked])
        losses["ask"] = 1.5 * F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        alone = rows.meta[:, bank.KIND] == 1
        losses["by_name"] = 0.7 * F.cross_entropy(
            scale * image[alone] @ names.T, rows.objects[alone, 0, 0]
        )
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        with torch.no_grad():
            for mean, p in zip(average, trained, strict=True):
                mean.lerp_(p, max(0.03, 1 / (1 + step)))
        for n, v in losses.items():
            shown[n] = 0.95 * shown.get(n, v.item()) + 0.05 * v.item()
        if step % 20 == 0:
            print(step, round(1 - left, 2), {n: round(v, 3) for n, v in shown.items()}, flush=True)
    with torch.no_grad():
        for mean, p in zip(average, trained, strict=True):
            p.copy_(mean)
    saved["average"] = model.state_dict()
    torch.save(saved, args.run / "polish.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--start", required=True, help="the stage's checkpoint to go on from")
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=6e-4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    train(args) if args.train else store(args)


if __name__ == "__main__":
    main()
