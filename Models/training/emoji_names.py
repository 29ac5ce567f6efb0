"""Which emoji the pictures are made of, what they are called, and their bitmaps.

Names come from CLDR through the ``emoji`` package. Variants that no one can tell apart at 64 pixels
(skin tones, genders of a role, equal bitmaps) are merged, for otherwise they would only be label
noise. Emoji that are a plain shape in one colour (a red circle, a blue heart) are not classes of
their own: they are drawn as that shape (``SHAPE_GLYPHS``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import emoji
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONT_PATH = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
# The only size at which the bitmap font can be drawn.
FONT_SIZE = 109
SPRITE = 128

_SKIPPED = re.compile(
    r"skin tone|^(family|couple with heart|kiss) (man|woman|boy|girl)"
    r"|^(man|woman|men|women)\b.*facing right"
)
# Emoji that show one of our shapes in one of our colours: glyph, shape, colour.
SHAPE_GLYPHS: dict[str, tuple[str, str]] = {
    "red circle": ("circle", "red"),
    "orange circle": ("circle", "orange"),
    "yellow circle": ("circle", "yellow"),
    "green circle": ("circle", "green"),
    "blue circle": ("circle", "blue"),
    "purple circle": ("circle", "purple"),
    "brown circle": ("circle", "brown"),
    "black circle": ("circle", "black"),
    "white circle": ("circle", "white"),
    "red square": ("square", "red"),
    "orange square": ("square", "orange"),
    "yellow square": ("square", "yellow"),
    "green square": ("square", "green"),
    "blue square": ("square", "blue"),
    "purple square": ("square", "purple"),
    "brown square": ("square", "brown"),
    "black large square": ("square", "black"),
    "white large square": ("square", "white"),
    "black medium square": ("square", "black"),
    "white medium square": ("square", "white"),
    "black medium-small square": ("square", "black"),
    "white medium-small square": ("square", "white"),
    "black small square": ("square", "black"),
    "white small square": ("square", "white"),
    "red heart": ("heart", "red"),
    "orange heart": ("heart", "orange"),
    "yellow heart": ("heart", "yellow"),
    "green heart": ("heart", "green"),
    "blue heart": ("heart", "blue"),
    "light blue heart": ("heart", "cyan"),
    "purple heart": ("heart", "purple"),
    "pink heart": ("heart", "pink"),
    "brown heart": ("heart", "brown"),
    "black heart": ("heart", "black"),
    "white heart": ("heart", "white"),
    "grey heart": ("heart", "grey"),
    "heart suit": ("heart", "red"),
    "large orange diamond": ("diamond", "orange"),
    "small orange diamond": ("diamond", "orange"),
    "large blue diamond": ("diamond", "blue"),
    "small blue diamond": ("diamond", "blue"),
    "star": ("star", "yellow"),
    "red triangle pointed up": ("triangle", "red"),
    "hollow red circle": ("ring", "red"),
}
_UNFLIPPABLE = re.compile(
    r"left|right|arrow|flag|clock|button|keycap|letter|key|sign|mark|number|symbols|east|west"
    r"|facing right|thirty|o'clock|input|circled m|walking|running|kneeling|cane|wheelchair"
    r"|points|hundred|abc|eject|forward|reverse|play|money|calendar|notes?$|banknote|badge"
)
_PLURAL = {
    "people holding hands",
    "men holding hands",
    "women holding hands",
    "eyes",
    "glasses",
    "ski boots",
}

# Everyday names for pictures whose CLDR name people seldom say.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "pizza": ("slice of pizza", "pizza slice"),
    "automobile": ("car",),
    "oncoming automobile": ("car from the front",),
    "sport utility vehicle": ("suv",),
    "bicycle": ("bike",),
    "shortcake": ("slice of cake", "piece of cake"),
    "birthday cake": ("cake with candles",),
    "hot beverage": ("cup of coffee", "cup of tea", "coffee"),
    "beer mug": ("glass of beer", "beer"),
    "wine glass": ("glass of wine", "wine"),
    "cooked rice": ("bowl of rice", "rice"),
    "bread": ("loaf of bread",),
    "cheese wedge": ("piece of cheese", "cheese"),
    "glass of milk": ("milk",),
    "evergreen tree": ("pine tree", "fir tree"),
    "deciduous tree": ("tree", "green tree"),
    "airplane": ("plane",),
    "television": ("tv",),
    "mobile phone": ("smartphone", "phone"),
    "telephone": ("red telephone",),
    "laptop": ("laptop computer", "computer"),
    "soccer ball": ("football",),
    "american football": ("rugby ball",),
    "fire": ("flame",),
    "sun": ("the sun", "bright sun"),
    "full moon": ("moon",),
    "snowman without snow": ("snowman",),
    "house": ("home",),
    "house with garden": ("house with a tree",),
    "jack-o-lantern": ("halloween pumpkin", "pumpkin"),
    "Christmas tree": ("decorated christmas tree",),
    "pile of poo": ("poop",),
    "red apple": ("apple",),
    "green apple": ("apple that is green",),
    "tangerine": ("orange fruit", "mandarin"),
    "bouquet": ("bunch of flowers", "flowers"),
    "rose": ("red rose", "flower"),
    "sunflower": ("yellow flower",),
    "tulip": ("pink flower",),
    "wrapped gift": ("present", "gift box"),
    "french fries": ("fries", "chips"),
    "hamburger": ("burger",),
    "doughnut": ("donut",),
    "soft ice cream": ("ice cream cone",),
    "ice cream": ("bowl of ice cream",),
    "custard": ("pudding",),
    "cooking": ("fried egg", "egg in a pan"),
    "cut of meat": ("steak",),
    "meat on bone": ("meat",),
    "poultry leg": ("chicken leg", "drumstick"),
    "spaghetti": ("pasta", "plate of spaghetti"),
    "green salad": ("salad",),
    "motorway": ("highway",),
    "sailboat": ("boat", "sailing boat"),
    "police car": ("cop car",),
    "alarm clock": ("clock",),
    "books": ("stack of books", "pile of books"),
    "open book": ("book",),
    "light bulb": ("lamp", "bulb"),
    "umbrella with rain drops": ("umbrella in the rain",),
    "t-shirt": ("shirt",),
    "running shoe": ("sneaker",),
    "top hat": ("black hat",),
    "crown": ("golden crown",),
    "gem stone": ("diamond gem", "jewel"),
    "musical keyboard": ("piano",),
    "rocket": ("space rocket",),
    "flying saucer": ("ufo",),
    "robot": ("robot head",),
    "alien": ("alien head",),
    "ghost": ("white ghost",),
    "skull": ("human skull",),
    "smiling face with sunglasses": ("cool face", "smiley with sunglasses"),
    "grinning face": ("smiley", "happy face", "smiley face"),
    "crying face": ("sad face",),
    "angry face": ("mad face",),
    "face with tears of joy": ("laughing face",),
    "thumbs up": ("thumb up",),
    "spouting whale": ("whale",),
    "baby chick": ("chick",),
    "T-Rex": ("dinosaur",),
    "lady beetle": ("ladybug",),
    "honeybee": ("bee",),
    "tropical fish": ("colourful fish",),
    "shark": ("grey shark",),
    "person": ("adult",),
    "world map": ("map of the world",),
    "globe showing Europe-Africa": ("planet earth", "globe"),
    "volcano": ("erupting volcano",),
    "snow-capped mountain": ("mountain",),
    "beach with umbrella": ("beach",),
    "desert island": ("island with a palm tree",),
    "palm tree": ("palm",),
    "locomotive": ("steam train", "train"),
    "delivery truck": ("truck",),
    "fire engine": ("fire truck",),
    "helicopter": ("chopper",),
    "hot pepper": ("chili pepper", "red pepper"),
    "ear of corn": ("corn",),
    "eggplant": ("aubergine",),
}


@dataclass(frozen=True)
class Emoji:
    """One emoji: its names (the first is the one used for naming), grammar and bitmap."""

    text: str
    names: tuple[str, ...]
    plural: bool
    flippable: bool
    sprite: Image.Image


def _names(raw: str) -> tuple[str, ...]:
    """The everyday names of a CLDR name, the preferred one first."""
    name = raw.replace("’", "'").replace("“", "").replace("”", "")
    if name.startswith("flag: "):
        country = name[6:].lower()
        return (f"flag of {country}", f"{country} flag", country, f"flag: {country}")
    if name.startswith("keycap: "):
        key = name[8:].lower()
        return (f"keycap {key} button", f"keycap: {key}", f"keycap {key}")
    if name.endswith("thirty"):
        hour = name.split("-")[0]
        return (name, f"clock at {name}", f"half past {hour}", f"clock at half past {hour}")
    if name.endswith("o'clock"):
        return (name, f"clock at {name}")
    names = [name]
    quoted = re.fullmatch(r"Japanese (.*) button", name)
    if quoted:
        names.append(f"Japanese “{quoted[1]}” button")
    animal = re.fullmatch(
        r"(dog|cat|mouse|hamster|rabbit|fox|bear|panda|koala|tiger|lion|cow|pig|frog|monkey|horse|wolf"
        r"|dragon|unicorn|moose)( face)?",
        name,
    )
    if animal and name.endswith("face"):
        names += [f"{name[:-5]} head", name[:-5]]
    return tuple(n.lower() for n in names + list(SYNONYMS.get(name, ())))


def _draw(text: str, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """A square RGBA sprite, or nothing where the font has no single glyph for the text."""
    left, _, right, _ = font.getbbox(text)
    if not 60 <= right - left <= 150:
        return None
    picture = Image.new("RGBA", (160, 160), (0, 0, 0, 0))
    ImageDraw.Draw(picture).text((10, 10), text, font=font, embedded_color=True)
    box = picture.getchannel("A").getbbox()
    if box is None:
        return None
    side = max(box[2] - box[0], box[3] - box[1])
    square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    cut = picture.crop(box)
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return square.resize((SPRITE, SPRITE), Image.Resampling.BICUBIC)


def load_emoji(font_path: str = FONT_PATH) -> list[Emoji]:
    """All emoji that look different from each other, in the order of the ``emoji`` package."""
    font = ImageFont.truetype(font_path, FONT_SIZE)
    candidates: list[tuple[str, str]] = []
    for text, data in emoji.EMOJI_DATA.items():
        name = data["en"].strip(":").replace("_", " ")
        if data["status"] != emoji.STATUS["fully_qualified"] or _SKIPPED.search(name):
            continue
        if name in SHAPE_GLYPHS:
            continue
        gendered = re.match(r"(man|woman|men|women)\b", name) and "\u200d" in text
        if gendered:
            continue
        if "\U0001f1e6" <= text[0] <= "\U0001f1ff":
            name = f"flag: {name}"
        candidates.append((text, name))
    # Countries after the rest, so that a duplicate keeps the plainer name.
    candidates.sort(key=lambda item: item[1].startswith("flag: "))
    kept: list[Emoji] = []
    thumbs = np.zeros((len(candidates), 24 * 24 * 4), np.float32)
    seen: set[str] = set()
    missing = _draw("\U000e0fff", font)
    for text, name in candidates:
        sprite = _draw(text, font)
        names = _names(name)
        if sprite is None or names[0] in seen:
            continue
        small = sprite.resize((24, 24), Image.Resampling.BOX)
        thumb = np.asarray(small, np.float32).ravel() / 255
        if kept and np.abs(thumbs[: len(kept)] - thumb).mean(1).min() < 0.006:
            continue
        if missing is not None and missing.tobytes() == sprite.tobytes():
            continue
        thumbs[len(kept)] = thumb
        seen.add(names[0])
        plural = names[0] in _PLURAL or bool(re.search(r"[^s']s$", names[0]))
        plural = plural and " of " not in names[0] and not names[0].endswith(("bus", "cross", "us"))
        kept.append(Emoji(text, names, plural, not _UNFLIPPABLE.search(names[0]), sprite))
    return kept


def shape_glyphs(font_path: str = FONT_PATH) -> dict[tuple[str, str], list[tuple[str, Image.Image]]]:
    """For a shape and colour the emoji that show it, with their names."""
    font = ImageFont.truetype(font_path, FONT_SIZE)
    found: dict[tuple[str, str], list[tuple[str, Image.Image]]] = {}
    for text, data in emoji.EMOJI_DATA.items():
        name = data["en"].strip(":").replace("_", " ")
        if data["status"] != emoji.STATUS["fully_qualified"] or name not in SHAPE_GLYPHS:
            continue
        sprite = _draw(text, font)
        if sprite is not None:
            found.setdefault(SHAPE_GLYPHS[name], []).append((name, sprite))
    return found


def lookalikes(kept: list[Emoji], count: int = 16) -> np.ndarray:
    """For each emoji the indices [N, count + 2] of those whose bitmaps, or names, are near."""
    thumbs = np.stack(
        [
            np.asarray(
                e.sprite.convert("RGBa").resize((16, 16), Image.Resampling.BOX), np.float32
            ).ravel()
            for e in kept
        ]
    )
    squares = (thumbs**2).sum(1)
    distance = squares[:, None] + squares - 2 * thumbs @ thumbs.T
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1, kind="stable")[:, :count]
    # Names sort into families ("face with …", "flag of …").
    order = np.array(sorted(range(len(kept)), key=lambda i: kept[i].names[0]))
    beside = np.empty((len(kept), 2), np.int64)
    beside[order] = np.stack([np.roll(order, 1), np.roll(order, -1)], 1)
    return np.concatenate([near, beside], 1)
