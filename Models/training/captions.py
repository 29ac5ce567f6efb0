"""Captions of scenes, in the many ways in which people word a prompt."""

from __future__ import annotations

import numpy as np

from emoji_names import SHAPE_GLYPHS, Emoji
from scenes import (
    COLOUR_SYNONYMS,
    NUMBERS,
    PLACE_SYNONYMS,
    RELATIONS,
    Placed,
    Scene,
    Thing,
    inverse,
)

_OPENINGS = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a drawing of {}",
    "an emoji of {}",
    "a painting of {}",
    "an illustration of {}",
    "a photograph of {}",
    "an icon of {}",
    "a rendering of {}",
    "a cropped photo of {}",
    "a bad photo of {}",
    "this is {}",
    "there is {}",
)
_GLYPH_NAMES: dict[tuple[str, str], list[str]] = {}
for _name, _key in SHAPE_GLYPHS.items():
    if _name != f"{_key[1]} {_key[0]}":
        _GLYPH_NAMES.setdefault(_key, []).append(_name)
_PAIR_WORDS = ("and", "and", "next to", "beside", "with", "near")


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def colour_word(colour: str, rng: np.random.Generator) -> str:
    """The colour's name, now and then its synonym."""
    return COLOUR_SYNONYMS[colour] if colour in COLOUR_SYNONYMS and rng.random() < 0.3 else colour


def article(phrase: str) -> str:
    """The phrase with its indefinite article."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith(
        ("uni", "eu", "one", "ufo", "uk", "us ", "uru")
    )
    return f"{'an' if vowel else 'a'} {phrase}"


def plural(noun: str) -> str:
    """The plural of a simple noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def respelt(text: str, rng: np.random.Generator) -> str:
    """The text, now and then without its hyphens or with a curly apostrophe."""
    if "-" in text and rng.random() < 0.4:
        text = text.replace("-", " ")
    if "'" in text and rng.random() < 0.4:
        text = text.replace("'", "’")
    return text


class Captioner:
    """Words scenes; the emoji's names are looked up by index."""

    def __init__(self, emoji: list[Emoji]) -> None:
        self.emoji = emoji

    def noun(self, thing: Thing, rng: np.random.Generator) -> str:
        """The bare name; an emoji's first name three times in four."""
        if thing.emoji < 0:
            return thing.shape
        names = self.emoji[thing.emoji].names
        return (
            names[0]
            if len(names) == 1 or rng.random() < 0.6
            else names[int(rng.integers(1, len(names)))]
        )

    def phrase(
        self, placed: Placed, rng: np.random.Generator, size: str = "", bare: bool = False
    ) -> str:
        """The thing with its adjectives and article."""
        thing = placed.thing
        words = [size] if size else []
        known = _GLYPH_NAMES.get((thing.shape, thing.colour))
        if known and not size and rng.random() < 0.1:
            name = _pick(rng, tuple(known))
            return name if bare else article(name)
        if thing.colour:
            words.append(colour_word(thing.colour, rng))
        words.append(self.noun(thing, rng))
        phrase = " ".join(words)
        if bare or phrase.startswith("the "):
            return phrase
        if thing.emoji >= 0:
            entry = self.emoji[thing.emoji]
            if entry.plural and words[-1] == entry.names[0]:
                return phrase
            if words[-1].startswith("flag of"):
                return f"the {phrase}" if rng.random() < 0.7 else phrase
        pick = rng.random()
        return article(phrase) if pick < 0.85 else f"the {phrase}" if pick < 0.93 else phrase

    def caption(self, scene: Scene, rng: np.random.Generator, unordered: bool = False) -> str:
        """One caption that is true of the scene and says what the scene wants said.

        ``unordered`` lets a pair's caption leave open where each is.
        """
        text = self._unordered(scene, rng) if unordered else self._body(scene, rng)
        opening = rng.random()
        if opening < 0.45 and scene.kind != "empty":
            text = _pick(rng, _OPENINGS[:2] if opening < 0.2 else _OPENINGS).format(text)
        if scene.say_place:
            place = scene.place
            if rng.random() < 0.35:
                place = _pick(rng, PLACE_SYNONYMS[place])
            text = f"{text} {place}"
        if scene.say_background and scene.background.kind == "plain" and scene.kind != "empty":
            colour = colour_word(scene.background.colour, rng)
            form = rng.random()
            if form < 0.65:
                text = f"{text} on {article(colour)} background"
            elif form < 0.75:
                text = f"{text} on {colour}"
            else:
                word = _pick(rng, ("in front of", "with", "against"))
                text = f"{text} {word} {article(colour)} background"
        return respelt(f"{text}." if rng.random() < 0.2 else text, rng)

    def _body(self, scene: Scene, rng: np.random.Generator) -> str:
        objects = scene.objects
        match scene.kind:
            case "empty":
                colour = colour_word(scene.background.colour, rng)
                return _pick(
                    rng,
                    (
                        f"{article(colour)} background",
                        f"a plain {colour} background",
                        colour,
                        f"{article(colour)} picture",
                        f"an empty {colour} background",
                        f"a photo of a {colour} wall",
                        f"something {colour}",
                    ),
                )
            case "emoji" | "shape":
                size = ""
                if scene.say_size:
                    d = objects[0].size
                    size = (
                        _pick(rng, ("small", "tiny", "little"))
                        if d < 24
                        else (_pick(rng, ("large", "big", "huge")) if d > 46 else "")
                    )
                return self.phrase(objects[0], rng, size, bare=rng.random() < 0.12)
            case "row":
                return self._counted(objects, rng)
            case "trio" | "collage":
                # Three of them, in any order.
                names = [self.phrase(o, rng) for o in objects]
                a, b, c = (names[i] for i in rng.permutation(len(names))[:3])
                return f"{a}, {b} and {c}"
        sizes = ["", ""]
        if scene.say_size:
            for i, placed in enumerate(objects):
                if placed.size < 19:
                    sizes[i] = _pick(rng, ("small", "small", "tiny", "little"))
                elif placed.size > 27 and rng.random() < 0.4:
                    sizes[i] = _pick(rng, ("large", "big"))
        first, second = (self.phrase(o, rng, s) for o, s in zip(objects, sizes, strict=True))
        relation = scene.relation
        if rng.random() < 0.5:
            first, second, relation = second, first, inverse(relation)
        return f"{first} {_pick(rng, RELATIONS[relation])} {second}"

    def _counted(self, objects: tuple[Placed, ...], rng: np.random.Generator) -> str:
        thing = objects[0].thing
        number = NUMBERS[len(objects)] if rng.random() < 0.85 else str(len(objects))
        noun = self.noun(thing, rng)
        if thing.colour:
            return f"{number} {colour_word(thing.colour, rng)} {plural(noun)}"
        if " of " in noun:
            head, tail = noun.split(" of ", 1)
            return f"{number} {plural(head)} of {tail}"
        if self.emoji[thing.emoji].plural:
            return f"{number} times {noun}"
        return f"{number} {plural(noun)}"

    def _unordered(self, scene: Scene, rng: np.random.Generator) -> str:
        """A pair's caption that leaves the order open."""
        first, second = (self.phrase(o, rng) for o in scene.objects)
        if rng.random() < 0.5:
            first, second = second, first
        return f"{first} {_pick(rng, _PAIR_WORDS)} {second}"
