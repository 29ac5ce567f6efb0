"""What the embedded model can tell apart, through a real daemon.

The pictures come from a renderer that its training knows nothing of (Models/training/independent.py).
The bounds are below what it does now by a few pictures; a model that is blind to shapes or to places
is far under them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from daemon import Daemon
from guidanced import Client

sys.path.append(str(Path(__file__).resolve().parents[2] / "Models" / "training"))

import independent  # noqa: E402


@pytest.fixture(scope="module")
def embed(daemon: Daemon):  # type: ignore[no-untyped-def]
    with Client(daemon.endpoint) as client:
        yield client.embed_image, client.embed_text


def right(embed, pictures: list[np.ndarray], texts: list[list[str]], truth: list[int]) -> float:  # type: ignore[no-untyped-def]
    """How often the true one of each picture's own captions is the nearest."""
    embed_image, embed_text = embed
    images = np.asarray(embed_image(pictures))
    every = sorted({text for row in texts for text in row})
    known = dict(zip(every, np.asarray(embed_text(every))))
    best = [
        int(np.argmax([known[t] @ image for t in row])) for image, row in zip(images, texts)
    ]
    return float(np.mean(np.array(best) == truth))


def test_shapes_and_their_colours(embed) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(8)
    things = [(s, c) for s in independent.SHAPES for c in independent.COLOURS] * 3
    pictures = [independent.single(*thing, rng) for thing in things]
    names = [
        f"a photo of {independent.Figure(s, c).phrase}."
        for s in independent.SHAPES
        for c in independent.COLOURS
    ]
    shapes = [f"a photo of a {shape}." for shape in independent.SHAPES]
    both = [names.index(f"a photo of {independent.Figure(*thing).phrase}.") for thing in things]
    alone = [independent.SHAPES.index(shape) for shape, _ in things]
    assert right(embed, pictures, [names] * len(pictures), both) >= 0.94
    assert right(embed, pictures, [shapes] * len(pictures), alone) >= 0.94


def test_places(embed) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(9)
    pictures, texts, truth = [], [], []
    for at, place in enumerate(list(independent.PLACES) * 10):
        thing, _ = independent.two_things(rng)
        pictures.append(independent.placed(*thing, place, rng))
        phrase = independent.Figure(*thing).phrase
        texts.append([f"{phrase} {p}" for p in independent.PLACES])
        truth.append(at % len(independent.PLACES))
    assert right(embed, pictures, texts, truth) >= 0.92


@pytest.mark.parametrize("axis", [0, 2], ids=["left or right", "above or below"])
def test_relations(embed, axis: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(10)
    both = list(independent.RELATIONS)[axis : axis + 2]
    pictures, texts, truth = [], [], []
    for at in range(100):
        first, second = independent.two_things(rng)
        pictures.append(independent.pair(first, second, both[at % 2], rng))
        a, b = independent.Figure(*first).phrase, independent.Figure(*second).phrase
        # The relation the other way round, and the two things swapped.
        texts.append([f"{a} {both[0]} {b}", f"{a} {both[1]} {b}"])
        truth.append(at % 2)
        pictures.append(pictures[-1])
        texts.append([f"{a} {both[at % 2]} {b}", f"{b} {both[at % 2]} {a}"])
        truth.append(0)
    assert right(embed, pictures, texts, truth) >= 0.92


def test_colours_stay_with_their_shapes(embed) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(11)
    pictures, texts = [], []
    for _ in range(100):
        (s1, c1), (s2, c2) = independent.two_things(rng)
        pictures.append(independent.pair((s1, c1), (s2, c2), "above", rng))
        texts.append(
            [
                f"{independent.Figure(s1, x).phrase} above {independent.Figure(s2, y).phrase}"
                for x, y in ((c1, c2), (c2, c1))
            ]
        )
    assert right(embed, pictures, texts, [0] * len(pictures)) >= 0.94


def test_names_of_emoji(embed) -> None:  # type: ignore[no-untyped-def]
    if not independent.FONT.is_file():
        pytest.skip("needs fonts-noto-color-emoji")
    rng = np.random.default_rng(12)
    known = {
        "🍕": "pizza", "🐱": "cat face", "🚲": "bicycle", "🐙": "octopus", "🚀": "rocket", "🌵": "cactus",
        "🎸": "guitar", "🍎": "red apple", "☂": "umbrella", "🏠": "house", "⚽": "soccer ball",
        "🌻": "sunflower", "🔑": "key", "🐧": "penguin", "🍌": "banana", "✂": "scissors",
        "👻": "ghost", "🦋": "butterfly", "🍔": "hamburger", "⚓": "anchor",
    }
    names = [f"a photo of a {name}." for name in known.values()]
    pictures = [independent.emoji(text, rng) for text in known for _ in range(2)]
    truth = [i for i in range(len(known)) for _ in range(2)]
    assert right(embed, pictures, [names] * len(pictures), truth) >= 0.9
