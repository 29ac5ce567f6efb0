"""One question about each picture: a short caption that is true of it, and some that are not.

The wrong ones differ in the one respect that is asked for, so that they can only be told apart by
looking there: the order of a pair, a colour, a place, a look-alike, a number.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from batches import BatchSampler
from captions import article, colour_word, plural, respelt
from scenes import (
    COLOURS,
    NUMBERS,
    PLACE_SYNONYMS,
    PLACES,
    RELATIONS,
    SHAPES,
    Scene,
    Thing,
    inverse,
)

WRONG = 3
_TEMPLATES = ("{}", "{}", "a photo of {}", "a photo of {}.", "a picture of {}", "a drawing of {}")


class Questioner:
    """Asks about scenes."""

    def __init__(self, sampler: BatchSampler, focus: str = "") -> None:
        self.sampler = sampler
        # What is asked about four times in five where it can be.
        self.focus = focus
        self.colours = list(COLOURS)

    def ask(self, scene: Scene, rng: np.random.Generator) -> list[str] | None:
        """The right caption and ``WRONG`` wrong ones, or nothing for want of an idea."""
        options = {
            "emoji": ["thing"] * 3,
            "shape": ["thing", "thing"],
            "row": ["count"] * 4 + ["thing"],
            "empty": ["background"],
        }.get(scene.kind, ["order"] * 4 + ["things", "colours"] if scene.relation else [])
        options = list(options)
        if scene.kind in ("emoji", "shape"):
            options += ["place"] * 3 if scene.place else []
            options += ["background"] if scene.background.kind == "plain" else []
        if not options:
            return None
        if self.focus in options and rng.random() < 0.8:
            options = [self.focus]
        template = _TEMPLATES[int(rng.integers(len(_TEMPLATES)))]
        answers = getattr(self, f"_{options[int(rng.integers(len(options)))]}")(scene, rng)
        right, wrong = answers[0], [w for w in dict.fromkeys(answers[1:]) if w != answers[0]]
        if not wrong:
            return None
        wrong = [wrong[i] for i in rng.permutation(len(wrong))]
        # The same wrong answer twice, where there are too few, counts double.
        wrong = (wrong * WRONG)[:WRONG]
        return [respelt(template.format(text), rng) for text in (right, *wrong)]

    def name(self, thing: Thing, rng: np.random.Generator) -> str:
        """The thing with its article, mostly by its first name."""
        if thing.emoji < 0:
            return article(f"{colour_word(thing.colour, rng)} {thing.shape}")
        entry = self.sampler.emoji[thing.emoji]
        name = self.sampler.captioner.noun(thing, rng)
        if name.startswith("the ") or (entry.plural and name == entry.names[0]):
            return name
        return article(name)

    def others(self, thing: Thing, rng: np.random.Generator) -> list[Thing]:
        """Things that this one is easily taken for."""
        if thing.emoji >= 0:
            near = self.sampler.lookalikes[thing.emoji]
            pick = [int(near[i]) for i in rng.integers(len(near), size=2)]
            pick.append(int(rng.integers(len(self.sampler.emoji))))
            return [Thing(emoji=i) for i in pick if i != thing.emoji]
        if rng.random() < 0.4:
            free = [c for c in self.colours if c != thing.colour]
            return [replace(thing, colour=free[i]) for i in rng.permutation(len(free))[:3]]
        free = [s for s in SHAPES if s != thing.shape]
        return [replace(thing, shape=free[i]) for i in rng.permutation(len(free))[:3]]

    def _thing(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        thing = scene.objects[0].thing
        if thing.emoji < 0 and rng.random() < 0.25:
            return [article(s) for s in (thing.shape, *rng.permutation(SHAPES)[:WRONG])]
        return [self.name(t, rng) for t in (thing, *self.others(thing, rng))]

    def _place(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        name = self.name(scene.objects[0].thing, rng)
        free = [p for p in PLACES if p != scene.place]
        places = [scene.place, *(free[i] for i in rng.permutation(len(free))[:WRONG])]
        answers = []
        for place in places:
            words = (place, place, place, *PLACE_SYNONYMS[place])
            answers.append(f"{name} {words[int(rng.integers(len(words)))]}")
        return answers

    def _background(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        taken = {scene.background.colour, *(o.thing.colour for o in scene.objects)}
        free = [c for c in self.colours if c not in taken]
        choices = [scene.background.colour, *(free[i] for i in rng.permutation(len(free))[:WRONG])]
        if not scene.objects:
            return [article(f"{c} background") for c in choices]
        name = self.name(scene.objects[0].thing, rng)
        return [f"{name} on {article(c)} background" for c in choices]

    def _order(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        a, b = (self.name(o.thing, rng) for o in scene.objects)
        relation = scene.relation
        if rng.random() < 0.5:
            a, b, relation = b, a, inverse(relation)
        beside = [r for r in RELATIONS if r not in (relation, inverse(relation))]
        other = beside[int(rng.integers(2))]

        def word(key: str) -> str:
            words = RELATIONS[key]
            return words[int(rng.integers(len(words)))]

        return [
            f"{a} {word(relation)} {b}",
            f"{b} {word(relation)} {a}",
            f"{a} {word(inverse(relation))} {b}",
            f"{a} {word(other)} {b}",
        ]

    def _things(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        """One of the pair taken for another thing."""
        a, b = (o.thing for o in scene.objects)
        word = RELATIONS[scene.relation][0] if rng.random() < 0.6 else "and"
        left, right = self.name(a, rng), self.name(b, rng)
        wrong = [f"{self.name(t, rng)} {word} {right}" for t in self.others(a, rng) if t != b]
        wrong += [f"{left} {word} {self.name(t, rng)}" for t in self.others(b, rng) if t != a]
        return [f"{left} {word} {right}", *wrong]

    def _colours(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        """The colours of a pair of shapes swapped; of other pairs, one thing changed."""
        a, b = (o.thing for o in scene.objects)
        if not (a.colour and b.colour) or a.colour == b.colour or a.shape == b.shape:
            return self._things(scene, rng)
        word = RELATIONS[scene.relation][0] if rng.random() < 0.6 else "and"
        swapped = replace(a, colour=b.colour), replace(b, colour=a.colour)
        return [
            f"{self.name(a, rng)} {word} {self.name(b, rng)}",
            f"{self.name(swapped[0], rng)} {word} {self.name(swapped[1], rng)}",
        ]

    def _count(self, scene: Scene, rng: np.random.Generator) -> list[str]:
        thing, count = scene.objects[0].thing, len(scene.objects)
        numbers = [count, *(n for n in NUMBERS if n != count)]
        noun = self.sampler.captioner.noun(thing, rng)
        if thing.colour:
            noun = f"{colour_word(thing.colour, rng)} {noun}"
        if thing.emoji >= 0 and (
            self.sampler.emoji[thing.emoji].plural or " of " in noun or "flag" in noun
        ):
            return [f"{NUMBERS[n]} times {noun}" for n in numbers]
        words = [NUMBERS[n] if rng.random() < 0.9 else str(n) for n in numbers]
        return [f"{w} {plural(noun)}" for w in words]
