"""Measure a model directory on held-out renderings: ``python evaluate.py --model ../default``.

Everything goes through transformers (``CLIPModel``, ``CLIPProcessor``), so that what is measured is
what others load. The pictures come from seeds that training never uses, or from a renderer that
training knows nothing of (``elsewhere.py``).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import elsewhere
from ascent import ascend
from batches import Batch, BatchSampler
from captions import article
from drawing import draw, spoil
from loaded import Model
from scenes import (
    COLOURS,
    NUMBERS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZE,
    Background,
    Placed,
    Scene,
    Thing,
    is_held_out,
)

SEED = 77_001


@dataclass
class Row:
    """One line of the table."""

    name: str
    accuracy: float
    chance: float
    pictures: int
    aim: float | None = None


def retrieval(model: Model, batch: Batch) -> tuple[float, float]:
    """Image to text and text to image within the batch."""
    similarity = model.images(batch.pictures) @ model.texts(batch.captions).T
    truth = torch.arange(len(batch.captions))
    return (
        (similarity.argmax(1) == truth).float().mean().item(),
        (similarity.argmax(0) == truth).float().mean().item(),
    )


class Examples:
    """Held-out pictures of chosen scenes."""

    def __init__(self, sampler: BatchSampler, seed: int) -> None:
        self.sampler = sampler
        self.rng = np.random.default_rng(seed)

    def picture(self, scene: Scene) -> np.ndarray:
        """The scene with the flaws of training's pictures."""
        return spoil(draw(scene, self.sampler.palette, self.rng), self.rng)

    def single(self, thing: Thing, low: float, high: float) -> Scene:
        """The thing somewhere on a random background."""
        rng = self.rng
        size = rng.uniform(low, high)
        x, y = rng.uniform(size / 2, SIZE - size / 2, 2)
        background = self.sampler.scenes.background(rng, [thing])
        return Scene("single", (Placed(thing, x, y, size),), background)


def measure_naming(
    model: Model, examples: Examples, names: list[str], each: int
) -> tuple[float, float]:
    """Top-1 and top-5 naming of single emoji, 24 to 60 pixels large, among all names."""
    pictures = np.stack(
        [
            examples.picture(examples.single(Thing(emoji=i), 24, 60))
            for i in range(len(names))
            for _ in range(each)
        ]
    )
    truth = torch.arange(len(names)).repeat_interleave(each)
    best = (model.images(pictures) @ model.classes(names).T).topk(5).indices
    hits = best == truth[:, None]
    return hits[:, 0].float().mean().item(), hits.any(1).float().mean().item()


def measure_large(model: Model, examples: Examples, names: list[str]) -> float:
    """Naming when the picture is 256 pixels large and the processor scales it down."""
    rng, pictures = examples.rng, []
    for entry in examples.sampler.emoji:
        red, green, blue = (int(v) for v in rng.integers(256, size=3))
        canvas = Image.new("RGB", (256, 256), (red, green, blue))
        side = int(rng.integers(100, 240))
        sprite = entry.sprite.resize((side, side), Image.Resampling.BICUBIC)
        left, top = (int(v) for v in rng.integers(256 - side, size=2))
        canvas.paste(sprite, (left, top), sprite)
        pictures.append(np.asarray(canvas))
    best = (model.images(np.stack(pictures)) @ model.classes(names).T).argmax(1)
    return (best == torch.arange(len(names))).float().mean().item()


def measure_shapes(
    model: Model, examples: Examples, held_out: bool, count: int
) -> tuple[float, float]:
    """Zero-shot colour (among "a red circle", "a blue circle", …) and shape ("a red star", …)."""
    rng = examples.rng
    things = [
        Thing(shape=s, colour=c) for c in COLOURS for s in SHAPES if is_held_out(c, s) == held_out
    ]
    chosen = [things[i] for i in rng.integers(len(things), size=count)]
    images = model.images(np.stack([examples.picture(examples.single(t, 20, 56)) for t in chosen]))
    colours, shapes = list(COLOURS), list(SHAPES)
    every = model.classes([article(f"{c} {s}") for c in colours for s in shapes])
    every = every.view(len(colours), len(shapes), -1)
    colour_hits = shape_hits = 0
    for image, thing in zip(images, chosen, strict=True):
        c, s = colours.index(thing.colour), shapes.index(thing.shape)
        colour_hits += int((every[:, s] @ image).argmax()) == c
        shape_hits += int((every[c] @ image).argmax()) == s
    return colour_hits / count, shape_hits / count


def measure_places(model: Model, examples: Examples, count: int) -> float:
    """Nine-way position of a single shape or emoji."""
    rng, hits = examples.rng, 0
    scenes, labels, names = [], [], []
    for i in range(count):
        thing = examples.sampler.scenes.thing(rng, i % 2 == 0)
        place = int(rng.integers(len(PLACES)))
        fx, fy = list(PLACES.values())[place]
        size = rng.uniform(18, 30)
        x, y = (
            float(np.clip(f * SIZE + rng.uniform(-3, 3), size / 2, SIZE - size / 2))
            for f in (fx, fy)
        )
        background = examples.sampler.scenes.background(rng, [thing])
        scenes.append(examples.picture(Scene("single", (Placed(thing, x, y, size),), background)))
        labels.append(place)
        names.append(describe(thing, examples.sampler))
    images = model.images(np.stack(scenes))
    texts = model.classes([f"{n} {p}" for n in names for p in PLACES]).view(count, len(PLACES), -1)
    for image, text, label in zip(images, texts, labels, strict=True):
        hits += int((text @ image).argmax()) == label
    return hits / count


def describe(thing: Thing, sampler: BatchSampler) -> str:
    """The thing with its article."""
    if thing.emoji < 0:
        return article(f"{thing.colour} {thing.shape}")
    entry = sampler.emoji[thing.emoji]
    return entry.names[0] if entry.plural else article(entry.names[0])


def measure_pairs(model: Model, examples: Examples, count: int) -> tuple[float, float]:
    """Which of four relations holds; and which of two ways round colours and shapes are bound."""
    rng, sampler = examples.rng, examples.sampler
    pictures, texts, labels = [], [], []
    for _ in range(count):
        scene = sampler.scenes.scene(
            rng, ("emoji pair", "shape pair", "mixed pair")[int(rng.integers(3))]
        )
        first, second = (describe(o.thing, sampler) for o in scene.objects)
        pictures.append(examples.picture(scene))
        texts += [f"{first} {RELATIONS[r][0]} {second}" for r in RELATIONS]
        labels.append(list(RELATIONS).index(scene.relation))
    scores = torch.einsum(
        "np,nkp->nk",
        model.images(np.stack(pictures)),
        model.classes(texts).view(count, len(RELATIONS), -1),
    )
    relation = (scores.argmax(1) == torch.tensor(labels)).float().mean().item()
    pictures, texts = [], []
    while len(pictures) < count:
        scene = sampler.scenes.scene(rng, "shape pair")
        a, b = (o.thing for o in scene.objects)
        swapped = replace(a, colour=b.colour), replace(b, colour=a.colour)
        if a.colour == b.colour or a.shape == b.shape:
            continue
        word = RELATIONS[scene.relation][0]
        pictures.append(examples.picture(scene))
        texts += [
            f"{describe(x, sampler)} {word} {describe(y, sampler)}" for x, y in ((a, b), swapped)
        ]
    scores = torch.einsum(
        "np,nkp->nk", model.images(np.stack(pictures)), model.classes(texts).view(count, 2, -1)
    )
    return relation, (scores.argmax(1) == 0).float().mean().item()


def measure_backgrounds(model: Model, examples: Examples, count: int) -> float:
    """Which colour lies behind an emoji."""
    rng, sampler, colours = examples.rng, examples.sampler, list(COLOURS)
    pictures, texts, labels = [], [], []
    for _ in range(count):
        thing = sampler.scenes.thing(rng, False)
        label = int(rng.integers(len(colours)))
        scene = replace(
            examples.single(thing, 20, 48), background=Background("plain", colours[label])
        )
        pictures.append(examples.picture(scene))
        name = describe(thing, sampler)
        texts += [f"{name} on {article(c)} background" for c in colours]
        labels.append(label)
    scores = torch.einsum(
        "np,nkp->nk",
        model.images(np.stack(pictures)),
        model.classes(texts).view(count, len(colours), -1),
    )
    return (scores.argmax(1) == torch.tensor(labels)).float().mean().item()


def measure_counts(model: Model, examples: Examples, count: int) -> float:
    """How many of a shape there are, from two to five."""
    sampler = examples.sampler
    pictures, texts, labels = [], [], []
    while len(pictures) < count:
        scene = sampler.scenes.scene(examples.rng, "row")
        thing = scene.objects[0].thing
        if thing.emoji >= 0 or thing.shape == "cross":
            continue
        pictures.append(examples.picture(scene))
        texts += [f"{n} {thing.colour} {thing.shape}s" for n in NUMBERS.values()]
        labels.append(list(NUMBERS).index(len(scene.objects)))
    scores = torch.einsum(
        "np,nkp->nk",
        model.images(np.stack(pictures)),
        model.classes(texts).view(count, len(NUMBERS), -1),
    )
    return (scores.argmax(1) == torch.tensor(labels)).float().mean().item()


def evaluate(
    model: Model, each: int, count: int, batches: int
) -> tuple[list[Row], list[dict[str, object]]]:
    """All rows, and the reports of gradient ascent."""
    sampler = BatchSampler()
    examples = Examples(sampler, SEED)
    names = [e.names[0] for e in sampler.emoji]
    pairs, hard = (
        [
            retrieval(model, sampler.batch(512, (SEED, first + i), twins=twins))
            for i in range(batches)
        ]
        for first, twins in ((0, False), (100, True))
    )
    top1, top5 = measure_naming(model, examples, names, each)
    colour, shape = measure_shapes(model, examples, False, count)
    new_colour, new_shape = measure_shapes(model, examples, True, count)
    relation, binding = measure_pairs(model, examples, count)
    n = len(names)
    rows = [
        *(
            Row(
                f"512-way {way}{kind}",
                float(np.mean([p[at] for p in found])),
                1 / 512,
                512 * batches,
                aim,
            )
            for found, kind, aim in ((pairs, "", 0.92), (hard, ", with look-alikes", 0.88))
            for at, way in enumerate(("image to text", "text to image"))
        ),
        Row(f"naming among {n} emoji", top1, 1 / n, each * n, 0.80),
        Row(f"naming among {n} emoji, top 5", top5, 5 / n, each * n, 0.95),
        Row(
            "naming in clean 256-pixel pictures",
            measure_large(model, examples, names),
            1 / n,
            n,
        ),
        Row("colour of a shape (12-way)", colour, 1 / 12, count),
        Row("shape (15-way)", shape, 1 / 15, count, 0.98),
        Row("position (9-way)", measure_places(model, examples, count), 1 / 9, count, 0.97),
        Row("relation of a pair (4-way)", relation, 1 / 4, count, 0.96),
        Row("colours bound to the right shapes (2-way)", binding, 1 / 2, count, 0.98),
        Row(
            "colour of the background (12-way)",
            measure_backgrounds(model, examples, count),
            1 / 12,
            count,
        ),
        Row("count, two to five (4-way)", measure_counts(model, examples, max(300, count // 2)), 1 / 4, max(300, count // 2), 0.95),
        Row("colour, combinations not trained on", new_colour, 1 / 12, count, 0.95),
        Row("shape, combinations not trained on", new_shape, 1 / 15, count, 0.95),
    ]
    aims = {"shape of 4": 0.98, "colour and shape of 32": 0.97}
    aims |= {"left or right": 0.96, "above or below": 0.96, "400 emoji by their CLDR names": 0.88}
    outcomes = [*elsewhere.shapes(model, 640), *elsewhere.pairs(model, 500)]
    outcomes += [elsewhere.places(model, 500), *elsewhere.naming(model, 400)]
    rows += [
        Row(f"other renderer: {o.name}", o.accuracy, o.chance, o.pictures, aims.get(o.name))
        for o in outcomes
    ]
    climbed, _ = elsewhere.climbs(model, 20)
    rows.append(
        Row("climbs from noise to rank 1 among 20 names", climbed / 20, 1 / 20, 20, 19 / 20)
    )
    rng = np.random.default_rng(SEED)
    others = [article(names[i]) for i in rng.permutation(len(names))[:150]]
    others += [f"{article(c)} {s}" for c in list(COLOURS)[:7] for s in SHAPES[:7]]
    prompts = (
        "a slice of pizza on a blue background",
        "a red circle above a small green star",
        "a photo of a dog.",
        "a yellow star",
    )
    ascents = [
        ascend(model, p, [o for o in others if o != p], s, SEED)
        for p in prompts
        for s in ("grey", "noise")
    ]
    return rows, ascents


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--each", type=int, default=2, help="pictures of each emoji for naming")
    parser.add_argument("--pictures", type=int, default=1000, help="pictures of most rows")
    parser.add_argument("--batches", type=int, default=4, help="batches of 512 for retrieval")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="do not write evaluation.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEED)
    rows, ascents = evaluate(Model(args.model), args.each, args.pictures, args.batches)
    print("| Task | Accuracy | Aim | Chance | Pictures |\n|---|---|---|---|---|")
    for row in rows:
        aim = f"{row.aim:.2f}" if row.aim else "–"
        missed = " ✗" if row.aim and row.accuracy < row.aim else ""
        print(
            f"| {row.name} | {row.accuracy:.3f}{missed} | {aim} | {row.chance:.4f} "
            f"| {row.pictures} |"
        )
    print("\n| Prompt | From | Cosine | Rank |\n|---|---|---|---|")
    for a in ascents:
        print(
            f"| {a['prompt']} | {a['start']} | {a['cosine_before']:.3f} → {a['cosine_after']:.3f} "
            f"| {a['rank_before']} → {a['rank_after']} of {a['among']} |"
        )
    if not args.dry:
        report = {"seed": SEED, "accuracy": [vars(r) for r in rows], "gradient_ascent": ascents}
        (args.model / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
