"""What pictures show: emoji and coloured shapes, alone, in pairs, in rows.

A scene is a pure function of its random generator, so that a batch is a pure function of
(seed, step) whatever process draws it. About a third of the scenes come with a twin that differs in
one thing that both captions mention (a colour, a position, an order, a count): contrastive training
learns such things only if the batch holds the wrong answer too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

SIZE = 64

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 28, 28),
    "orange": (250, 140, 10),
    "yellow": (250, 222, 30),
    "green": (30, 160, 50),
    "blue": (30, 70, 225),
    "purple": (125, 30, 165),
    "pink": (250, 130, 185),
    "brown": (125, 70, 25),
    "black": (12, 12, 12),
    "white": (248, 248, 248),
    "grey": (128, 128, 128),
    "cyan": (30, 205, 215),
}
# What else goes by the name: plain primaries, web colours, common palettes.
ANCHORS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((255, 0, 0), (220, 20, 60), (200, 0, 0), (229, 57, 53)),
    "orange": ((255, 165, 0), (255, 128, 0), (255, 140, 0), (251, 140, 0)),
    "yellow": ((255, 255, 0), (255, 215, 0), (253, 216, 53), (250, 240, 60)),
    "green": ((0, 128, 0), (0, 255, 0), (0, 200, 0), (67, 160, 71), (34, 139, 34)),
    "blue": ((0, 0, 255), (0, 0, 200), (30, 100, 240), (25, 118, 210)),
    "purple": ((128, 0, 128), (148, 0, 211), (160, 32, 240), (142, 36, 170)),
    "pink": ((255, 192, 203), (255, 105, 180), (255, 150, 200), (244, 143, 177)),
    "brown": ((165, 42, 42), (139, 69, 19), (121, 85, 72), (101, 67, 33)),
    "black": ((0, 0, 0), (25, 25, 25)),
    "white": ((255, 255, 255), (240, 240, 240)),
    "grey": ((128, 128, 128), (150, 150, 150), (105, 105, 105), (158, 158, 158)),
    "cyan": ((0, 255, 255), (64, 224, 208), (0, 200, 220), (38, 198, 218)),
}
COLOUR_SYNONYMS = {"grey": "gray", "cyan": "turquoise", "purple": "violet"}
SHAPES = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "diamond",
    "pentagon",
    "hexagon",
    "cross",
    "ring",
    "crescent",
    "rectangle",
    "oval",
    "semicircle",
    "arrow",
)
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
# Column, row of the centre, in fractions of the picture, and how people say it.
PLACES: dict[str, tuple[float, float]] = {
    "in the top left corner": (0.2, 0.2),
    "at the top": (0.5, 0.2),
    "in the top right corner": (0.8, 0.2),
    "on the left": (0.2, 0.5),
    "in the center": (0.5, 0.5),
    "on the right": (0.8, 0.5),
    "in the bottom left corner": (0.2, 0.8),
    "at the bottom": (0.5, 0.8),
    "in the bottom right corner": (0.8, 0.8),
}
PLACE_SYNONYMS: dict[str, tuple[str, ...]] = {
    "in the top left corner": ("in the upper left corner", "at the top left"),
    "at the top": ("at the top of the picture", "in the upper part"),
    "in the top right corner": ("in the upper right corner", "at the top right"),
    "on the left": ("on the left side", "at the left"),
    "in the center": ("in the middle", "in the centre"),
    "on the right": ("on the right side", "at the right"),
    "in the bottom left corner": ("in the lower left corner", "at the bottom left"),
    "at the bottom": ("at the bottom of the picture", "in the lower part"),
    "in the bottom right corner": ("in the lower right corner", "at the bottom right"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "above": ("above", "above", "on top of", "over"),
    "below": ("below", "below", "under", "beneath"),
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
}
_INVERSE = {"above": "below", "below": "above", "left": "right", "right": "left"}


def is_held_out(colour: str, shape: str) -> bool:
    """Whether a colour and shape never meet in training; about one combination in fifteen."""
    c, s = list(COLOURS).index(colour), SHAPES.index(shape)
    return (c * 7 + s * 4) % 15 == 0


@dataclass(frozen=True)
class Thing:
    """An object: an emoji by its index, or a shape in a colour."""

    emoji: int = -1
    shape: str = ""
    colour: str = ""

    @property
    def key(self) -> tuple:
        """What makes two things the same."""
        return (self.emoji, self.shape, self.colour)


@dataclass(frozen=True)
class Placed:
    """A thing at a centre, with a diameter, in pixels of the final picture."""

    thing: Thing
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Background:
    """``plain`` (with a colour name), ``gradient``, ``cloud``, ``split`` or ``stripes``."""

    kind: str
    colour: str = ""


@dataclass(frozen=True)
class Scene:
    """What is drawn and what the caption must say (``relation`` and ``place`` are keys)."""

    kind: str
    objects: tuple[Placed, ...]
    background: Background
    relation: str = ""
    place: str = ""
    say_background: bool = False
    say_place: bool = False
    say_size: bool = False

    @property
    def key(self) -> tuple:
        """The things shown, wherever they are."""
        return (self.kind, *(sorted(p.thing.key for p in self.objects)))


class SceneSampler:
    """Draws scenes of all kinds in fixed shares."""

    KINDS: ClassVar[dict[str, float]] = {
        "emoji": 0.40,
        "shape": 0.14,
        "emoji pair": 0.15,
        "shape pair": 0.13,
        "mixed pair": 0.07,
        "row": 0.06,
        "trio": 0.03,
        "empty": 0.02,
    }

    def __init__(
        self, emoji_count: int, held_out: bool = False, kinds: dict[str, float] | None = None
    ) -> None:
        self.emoji_count = emoji_count
        self.kinds = kinds or self.KINDS
        self.held_out = held_out
        self._colours = list(COLOURS)
        # Whether all backgrounds are plain, and mentioned.
        self.plain = False

    def thing(self, rng: np.random.Generator, shape: bool) -> Thing:
        """A random emoji or a shape whose combination is on this sampler's side of the split."""
        if not shape:
            return Thing(emoji=int(rng.integers(self.emoji_count)))
        while True:
            colour = self._colours[rng.integers(len(self._colours))]
            kind = SHAPES[rng.integers(len(SHAPES))]
            if is_held_out(colour, kind) == self.held_out:
                return Thing(shape=kind, colour=colour)

    def background(self, rng: np.random.Generator, things: list[Thing]) -> Background:
        """A background against which every thing can be seen."""
        pick = rng.random() * (0.78 if self.plain else 1.0)
        if pick > 0.78:
            kind = ("gradient", "cloud", "split", "stripes")[min(3, int((pick - 0.78) / 0.22 * 5))]
            return Background(kind)
        taken = {t.colour for t in things}
        if pick < 0.15 and "white" not in taken:
            return Background("plain", "white")
        free = [c for c in self._colours if c not in taken]
        return Background("plain", free[rng.integers(len(free))])

    def scene(self, rng: np.random.Generator, kind: str | None = None) -> Scene:
        """One scene, of a random kind unless told."""
        if kind is None:
            kind = str(rng.choice(list(self.kinds), p=list(self.kinds.values())))
        say_background = rng.random() < (0.85 if self.plain else 0.5)
        match kind:
            case "empty":
                colour = self._colours[rng.integers(len(self._colours))]
                return Scene(kind, (), Background("plain", colour), say_background=True)
            case "emoji" | "shape":
                thing = self.thing(rng, kind == "shape")
                return self._single(kind, thing, rng, say_background)
            case "row":
                thing = self.thing(rng, rng.random() < 0.6)
                return self._row(thing, int(rng.integers(2, 6)), rng, say_background)
            case "collage":
                things = [self.thing(rng, rng.random() < 0.15) for _ in range(4)]
                objects = tuple(
                    Placed(
                        t,
                        16 + 32 * (s % 2) + rng.uniform(-2, 2),
                        16 + 32 * (s // 2) + rng.uniform(-2, 2),
                        rng.uniform(22, 32),
                    )
                    for s, t in enumerate(things)
                )
                return Scene(kind, objects, self.background(rng, things))
            case "trio":
                things = [self.thing(rng, rng.random() < 0.4) for _ in range(3)]
                spots = rng.permutation(4)[:3]
                objects = tuple(
                    Placed(
                        t,
                        17 + 30 * (s % 2) + rng.uniform(-3, 3),
                        17 + 30 * (s // 2) + rng.uniform(-3, 3),
                        rng.uniform(20, 29),
                    )
                    for t, s in zip(things, spots, strict=True)
                )
                return Scene(kind, objects, self.background(rng, things), say_background=False)
        shapes = {"emoji pair": (False, False), "shape pair": (True, True)}.get(kind)
        if shapes is None:
            shapes = (True, False) if rng.random() < 0.5 else (False, True)
        while True:
            first, second = self.thing(rng, shapes[0]), self.thing(rng, shapes[1])
            if first != second:
                break
        return self._pair(kind, first, second, rng, say_background)

    def _single(
        self, kind: str, thing: Thing, rng: np.random.Generator, say_background: bool
    ) -> Scene:
        background = self.background(rng, [thing])
        if rng.random() < 0.4:
            place = list(PLACES)[rng.integers(len(PLACES))]
            size = rng.uniform(18, 30)
            fx, fy = PLACES[place]
            x = float(np.clip(fx * SIZE + rng.uniform(-4, 4), size / 2, SIZE - size / 2))
            y = float(np.clip(fy * SIZE + rng.uniform(-4, 4), size / 2, SIZE - size / 2))
            return Scene(
                kind,
                (Placed(thing, x, y, size),),
                background,
                place=place,
                say_background=say_background and rng.random() < 0.5,
                say_place=rng.random() < 0.75,
                say_size=rng.random() < 0.1,
            )
        size = rng.uniform(22, 62)
        slack = (SIZE - size) / 2
        x, y = 32 + rng.uniform(-1, 1) * slack, 32 + rng.uniform(-1, 1) * slack
        return Scene(
            kind,
            (Placed(thing, x, y, size),),
            background,
            say_background=say_background,
            say_size=rng.random() < 0.25,
        )

    def _row(
        self, thing: Thing, count: int, rng: np.random.Generator, say_background: bool
    ) -> Scene:
        background = self.background(rng, [thing])
        step = min(26.0, 62 / count)
        size = step * rng.uniform(0.8, 0.98)
        upright = rng.random() < 0.25
        grid = count == 4 and rng.random() < 0.5
        if grid:
            step, size = 29.0, rng.uniform(20, 28)
        objects = []
        sx, sy = rng.uniform(-1, 1, 2) * np.maximum(
            0,
            (SIZE - np.array([2 * step if grid else step * count, 2 * step if grid else size])) / 2,
        )
        for i in range(count):
            along, across = (i % 2 - 0.5, i // 2 - 0.5) if grid else (i - (count - 1) / 2, 0.0)
            x, y = along * step + sx, across * step + sy
            objects.append(
                Placed(thing, 32 + (y if upright else x), 32 + (x if upright else y), size)
            )
        return Scene(
            "row", tuple(objects), background, say_background=say_background and rng.random() < 0.5
        )

    def _pair(
        self, kind: str, first: Thing, second: Thing, rng: np.random.Generator, say_background: bool
    ) -> Scene:
        relation = ("above", "below", "left", "right")[rng.integers(4)]
        small = rng.random() < 0.25
        low = 24 if rng.random() < 0.6 else 14
        sizes = [rng.uniform(low, 32), rng.uniform(low, 32)]
        if small:
            which = int(rng.integers(2))
            sizes[which], sizes[1 - which] = rng.uniform(13, 18), rng.uniform(28, 38)
        room = SIZE - sum(sizes)
        gap = rng.uniform(0.0, max(0.5, room * 0.9))
        start = rng.uniform(0, max(0.1, room - gap))
        near, far = start + sizes[0] / 2, start + sizes[0] + gap + sizes[1] / 2
        drift = rng.uniform(-1, 1, 2)
        across = [32 + d * min((SIZE - s) / 2, 10) for d, s in zip(drift, sizes, strict=True)]
        if relation in ("below", "right"):
            near, far = SIZE - near, SIZE - far
        spots = [(across[0], near), (across[1], far)]
        if relation in ("left", "right"):
            spots = [(y, x) for x, y in spots]
        objects = tuple(
            Placed(t, x, y, s) for t, (x, y), s in zip((first, second), spots, sizes, strict=True)
        )
        return Scene(
            kind,
            objects,
            self.background(rng, [first, second]),
            relation=relation,
            say_background=say_background and rng.random() < 0.35,
            say_size=small,
        )

    def contradiction(
        self, scene: Scene, lookalikes: np.ndarray, rng: np.random.Generator
    ) -> Scene | None:
        """A scene whose caption is wrong about this one in one respect, if one comes to mind.

        ``lookalikes`` [emoji, n] lists the emoji that each one is easily taken for.
        """
        options = ["background"] if scene.background.kind == "plain" and scene.kind != "row" else []
        options += ["thing", "thing"] if scene.objects else []
        options += ["place", "place"] if scene.place else []
        options += ["order", "order"] if scene.relation else []
        options += ["colours"] if scene.kind == "shape pair" else []
        options = ["count", "count", "thing"] if scene.kind == "row" else options
        if not options:
            return None
        objects = scene.objects
        match options[int(rng.integers(len(options)))]:
            case "background":
                taken = {scene.background.colour, *(o.thing.colour for o in objects)}
                free = [c for c in self._colours if c not in taken]
                other = Background("plain", free[int(rng.integers(len(free)))])
                return replace(scene, background=other, say_background=True)
            case "thing":
                at = int(rng.integers(len(objects)))
                old = objects[at].thing
                if old.emoji >= 0:
                    near = lookalikes[old.emoji]
                    new = Thing(emoji=int(near[int(rng.integers(len(near)))]))
                else:
                    new = self._varied(old, rng)
                changed = [
                    replace(o, thing=new) if i == at or scene.kind == "row" else o
                    for i, o in enumerate(objects)
                ]
                if {o.thing for o in changed} == {o.thing for o in objects}:
                    return None
                return replace(scene, objects=tuple(changed))
            case "place":
                places = [p for p in PLACES if p != scene.place]
                place = places[int(rng.integers(len(places)))]
                return replace(scene, place=place, say_place=True)
            case "order":
                if rng.random() < 0.5:
                    others = [r for r in RELATIONS if r != scene.relation]
                    return replace(scene, relation=others[int(rng.integers(len(others)))])
                return replace(scene, relation=_INVERSE[scene.relation])
            case "colours":
                a, b = objects
                first = replace(a.thing, colour=b.thing.colour)
                second = replace(b.thing, colour=a.thing.colour)
                allowed = all(
                    is_held_out(t.colour, t.shape) == self.held_out for t in (first, second)
                )
                if (
                    not allowed
                    or a.thing.colour == b.thing.colour
                    or a.thing.shape == b.thing.shape
                ):
                    return None
                return replace(scene, objects=(replace(a, thing=first), replace(b, thing=second)))
        counts = [n for n in NUMBERS if n != len(objects)]
        return replace(scene, objects=objects[:1] * counts[int(rng.integers(len(counts)))])

    def twins(self, scene: Scene, rng: np.random.Generator) -> tuple[Scene, Scene] | None:
        """The scene and one that differs in a single mentioned thing, if there is one."""
        match scene.kind:
            case "emoji" | "shape":
                placed = scene.objects[0]
                if scene.place:
                    other = self._single(scene.kind, placed.thing, rng, False)
                    while not other.place or other.place == scene.place:
                        other = self._single(scene.kind, placed.thing, rng, False)
                    return (
                        replace(scene, say_place=True, say_background=False),
                        replace(other, say_place=True, say_background=False),
                    )
                if scene.kind == "shape" and rng.random() < 0.6:
                    thing = self._varied(placed.thing, rng)
                    if thing.colour == scene.background.colour:
                        return None
                    return scene, replace(scene, objects=(replace(placed, thing=thing),))
                if scene.background.kind != "plain":
                    return None
                other = self.background(rng, [placed.thing])
                while other.kind != "plain" or other.colour == scene.background.colour:
                    other = self.background(rng, [placed.thing])
                return (
                    replace(scene, say_background=True),
                    replace(scene, background=other, say_background=True),
                )
            case "row":
                count = len(scene.objects)
                other = int(rng.choice([n for n in NUMBERS if n != count]))
                return scene, self._row(scene.objects[0].thing, other, rng, scene.say_background)
            case "emoji pair" | "shape pair" | "mixed pair":
                a, b = scene.objects
                if scene.kind == "shape pair" and rng.random() < 0.4:
                    swapped = (
                        replace(a.thing, colour=b.thing.colour),
                        replace(b.thing, colour=a.thing.colour),
                    )
                    fine = swapped[0] not in (a.thing, b.thing) and all(
                        is_held_out(t.colour, t.shape) == self.held_out for t in swapped
                    )
                    if fine:
                        return scene, replace(
                            scene,
                            objects=(replace(a, thing=swapped[0]), replace(b, thing=swapped[1])),
                        )
                # The same two things, each in the other's place.
                return (
                    replace(scene, say_size=False),
                    replace(
                        scene,
                        objects=(replace(a, thing=b.thing), replace(b, thing=a.thing)),
                        say_size=False,
                    ),
                )
        return None

    def _varied(self, thing: Thing, rng: np.random.Generator) -> Thing:
        """The same shape in another colour, or another shape in the same colour."""
        keep_shape = rng.random() < 0.5
        while True:
            other = self.thing(rng, True)
            other = (
                replace(other, shape=thing.shape)
                if keep_shape
                else replace(other, colour=thing.colour)
            )
            if other != thing and is_held_out(other.colour, other.shape) == self.held_out:
                return other


def inverse(relation: str) -> str:
    """The relation seen from the other object."""
    return _INVERSE[relation]
