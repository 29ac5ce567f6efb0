"""How a model does on pictures of a renderer that training knows nothing of (``independent.py``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import emoji
import numpy as np
import torch

import independent
from ascent import ascend
from loaded import Model

SEED = 4_242


@dataclass(frozen=True)
class Outcome:
    """A task's accuracy, its chance and how many pictures it was measured on."""

    name: str
    accuracy: float
    chance: float
    pictures: int


def shapes(model: Model, count: int) -> list[Outcome]:
    """The shape of four, and colour and shape of thirty-two."""
    rng = np.random.default_rng(SEED)
    names = [
        independent.Figure(s, c).phrase for s in independent.SHAPES for c in independent.COLOURS
    ]
    colours = len(independent.COLOURS)
    truth = torch.from_numpy(rng.integers(len(names), size=count))
    pictures = [
        independent.single(
            independent.SHAPES[int(t) // colours], list(independent.COLOURS)[int(t) % colours], rng
        )
        for t in truth
    ]
    images = model.images(np.stack(pictures))
    both = (images @ model.texts([f"a photo of {n}." for n in names]).T).argmax(1) == truth
    bare = model.texts([f"a photo of a {s}." for s in independent.SHAPES])
    shape = (images @ bare.T).argmax(1) == truth // colours
    return [
        Outcome("shape of 4", _share(shape), 1 / 4, count),
        Outcome("colour and shape of 32", _share(both), 1 / 32, count),
    ]


def pairs(model: Model, count: int) -> list[Outcome]:
    """Which of two stands left, which above; and which of four relations holds."""
    rng = np.random.default_rng(SEED + 1)
    outcomes = []
    relations = list(independent.RELATIONS)
    for name, both in (("left or right", relations[:2]), ("above or below", relations[2:])):
        pictures, texts, truth = [], [], []
        for _ in range(count):
            first, second = independent.two_things(rng)
            at = int(rng.integers(2))
            pictures.append(independent.pair(first, second, both[at], rng))
            a, b = independent.Figure(*first).phrase, independent.Figure(*second).phrase
            texts += [f"{a} {r} {b}" for r in both]
            truth.append(at)
        outcomes.append(Outcome(name, _chosen(model, pictures, texts, truth), 1 / 2, count))
    pictures, texts, truth = [], [], []
    for _ in range(count):
        first, second = independent.two_things(rng)
        at = int(rng.integers(4))
        pictures.append(independent.pair(first, second, relations[at], rng))
        a, b = independent.Figure(*first).phrase, independent.Figure(*second).phrase
        texts += [f"{a} {r} {b}" for r in relations]
        truth.append(at)
    outcomes.append(
        Outcome("relation of a pair of 4", _chosen(model, pictures, texts, truth), 1 / 4, count)
    )
    return outcomes


def places(model: Model, count: int) -> Outcome:
    """Which of nine places a figure stands in."""
    rng = np.random.default_rng(SEED + 2)
    pictures, texts, truth = [], [], []
    for _ in range(count):
        thing, _ = independent.two_things(rng)
        at = int(rng.integers(len(independent.PLACES)))
        pictures.append(independent.placed(*thing, list(independent.PLACES)[at], rng))
        phrase = independent.Figure(*thing).phrase
        texts += [f"{phrase} {p}" for p in independent.PLACES]
        truth.append(at)
    return Outcome("place of 9", _chosen(model, pictures, texts, truth), 1 / 9, count)


def every_emoji() -> list[tuple[str, str]]:
    """Characters and plain CLDR name of all emoji but skin tones and the genders of a role.

    Families and couples, whose bitmaps differ by a haircut, are left out as well.
    """
    found = []
    for text, data in emoji.EMOJI_DATA.items():
        name = data["en"].strip(":").replace("_", " ")
        if data["status"] != emoji.STATUS["fully_qualified"] or "skin tone" in name:
            continue
        if "\u200d" in text and re.match(r"(man|woman|men|women|family|couple|kiss)\b", name):
            continue
        if text[0] >= "\U0001f1e6" and text[0] <= "\U0001f1ff":
            name = f"flag: {name}"
        found.append((text, name))
    return found


def naming(model: Model, count: int) -> list[Outcome]:
    """Names of emoji drawn by chance from all of them, among each other."""
    rng = np.random.default_rng(SEED + 3)
    known = every_emoji()
    chosen, pictures = [], []
    for i in rng.permutation(len(known)):
        try:
            pictures.append(independent.emoji(known[i][0], rng))
        except ValueError:
            continue
        chosen.append(known[i][1].lower())
        if len(chosen) == count:
            break
    scores = model.images(np.stack(pictures)) @ model.texts(
        [f"a photo of a {n}." for n in chosen]
    ).T
    right = scores.topk(5).indices == torch.arange(count)[:, None]
    return [
        Outcome(f"{count} emoji by their CLDR names", _share(right[:, 0]), 1 / count, count),
        Outcome(f"{count} emoji, top 5", _share(right.any(1)), 5 / count, count),
    ]


def climbs(model: Model, count: int) -> tuple[int, list[dict[str, object]]]:
    """Gradient ascent from noise towards each of ``count`` names; how many end at rank one of
    them, and the reports."""
    rng = np.random.default_rng(SEED + 4)
    known = every_emoji()
    names = [f"a photo of a {known[i][1].lower()}." for i in rng.permutation(len(known))[:count]]
    reports = [
        ascend(model, name, [n for n in names if n != name], "noise", SEED + i)
        for i, name in enumerate(names)
    ]
    return sum(r["rank_after"] == 1 for r in reports), reports


def _chosen(
    model: Model, pictures: list[np.ndarray], texts: list[str], truth: list[int]
) -> float:
    """How often the right one of each picture's own captions is the nearest."""
    images = model.images(np.stack(pictures))
    captions = model.texts(texts).view(len(pictures), -1, images.shape[1])
    scores = torch.einsum("np,nkp->nk", images, captions)
    return _share(scores.argmax(1) == torch.tensor(truth))


def _share(hits: torch.Tensor) -> float:
    return hits.float().mean().item()
