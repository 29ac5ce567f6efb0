"""The demo's findings as PNG pictures, composed with Pillow."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from colours import LINES
from findings import Findings

PAPER, INK, QUIET, LINE = "#fbfaf7", "#1d1f24", "#777b85", "#dedbd2"
RIGHT, WRONG, BAR = "#2f8f5b", "#c8372d", "#2e86ab"
_SCALE = 2


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)


class Sheet:
    """A picture whose coordinates are in points of two pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * _SCALE, height * _SCALE), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, text: str, size: int = 13, colour: str = INK) -> None:
        self.draw.text((x * _SCALE, y * _SCALE), text, fill=colour, font=_font(size))

    def width_of(self, text: str, size: int) -> float:
        return self.draw.textlength(text, font=_font(size)) / _SCALE

    def picture(self, x: float, y: float, side: float, image: Image.Image) -> None:
        size = round(side * _SCALE)
        image = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
        self.image.paste(image, (round(x * _SCALE), round(y * _SCALE)))

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        right, bottom = (x + width) * _SCALE, (y + height) * _SCALE
        self.draw.rectangle((x * _SCALE, y * _SCALE, right - 1, bottom - 1), fill=colour)

    def frame(self, x: float, y: float, side: float, colour: str) -> None:
        box = [v * _SCALE for v in (x - 2, y - 2, x + side + 2, y + side + 2)]
        self.draw.rectangle(box, outline=colour, width=2 * _SCALE)

    def line(self, points: list[tuple[float, float]], colour: str, width: float = 2) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self.draw.line(scaled, fill=colour, width=round(width * _SCALE), joint="curve")

    def save(self, path: Path) -> None:
        self.image.save(path)


def ranked_gallery(findings: Findings, path: Path, shown: int = 6) -> None:
    """A row a prompt: the best pictures, each with its score as a bar."""
    side, gap, row, left = 76, 12, 128, 24
    width = left * 2 + 230 + shown * (side + gap)
    sheet = Sheet(width, 76 + row * len(findings.rankings))
    sheet.text(left, 18, "The gallery, ranked for each prompt", 20)
    sheet.text(left, 46, "best first, with the cosine of picture and prompt", 12, QUIET)
    for index, ranked in enumerate(findings.rankings):
        y = 80 + index * row
        sheet.box(left, y - 8, width - 2 * left, 1, LINE)
        for number, text in enumerate(_wrapped(sheet, f"“{ranked.prompt}”", 200, 14)):
            sheet.text(left, y + 14 + 19 * number, text, 14)
        verdict = "right" if ranked.is_right else f"wrong: expected {ranked.expected}"
        sheet.text(left, y + 82, verdict, 12, RIGHT if ranked.is_right else WRONG)
        for place, (picture, score) in enumerate(ranked.order[:shown]):
            x = left + 230 + place * (side + gap)
            with Image.open(picture.path) as image:
                sheet.picture(x, y + 4, side, image)
            if place == 0:
                sheet.frame(x, y + 4, side, RIGHT if ranked.is_right else WRONG)
            sheet.box(x, y + side + 12, side, 4, LINE)
            sheet.box(x, y + side + 12, max(1, side * max(0, score)), 4, BAR)
            sheet.text(x, y + side + 19, f"{score:.3f}", 11, QUIET)
    sheet.save(path)


def _wrapped(sheet: Sheet, text: str, width: float, size: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if sheet.width_of(longer, size) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def heat_maps(findings: Findings, path: Path) -> None:
    """Each picture beside where its pixels matter for prompts."""
    side, gap, left = 150, 14, 24
    groups: dict[str, list[int]] = {}
    for index, heat in enumerate(findings.heats):
        groups.setdefault(heat.picture.name, []).append(index)
    columns = 1 + max(len(group) for group in groups.values())
    sheet = Sheet(left * 2 + columns * (side + gap) - gap, 84 + len(groups) * (side + 44))
    sheet.text(left, 18, "Where pixels matter", 20)
    caption = "size of the gradient of the score with respect to each pixel"
    sheet.text(left, 46, caption, 12, QUIET)
    for row, group in enumerate(groups.values()):
        y = 84 + row * (side + 44)
        with Image.open(findings.heats[group[0]].picture.path) as image:
            sheet.picture(left, y, side, image)
        sheet.text(left, y + side + 6, "the picture", 12, QUIET)
        for column, index in enumerate(group, 1):
            heat = findings.heats[index]
            x = left + column * (side + gap)
            sheet.picture(x, y, side, heat.image)
            sheet.text(x, y + side + 6, heat.prompt, 12)
    sheet.save(path)


def climb_curves(findings: Findings, path: Path) -> None:
    """The score of every climb over its steps, and its pictures below."""
    left, top, width, height, side = 64, 84, 690, 230, 105
    climbs = findings.climbs
    sheet = Sheet(left + width + 32, top + height + 60 + len(climbs) * (side + 40))
    sheet.text(24, 18, "Climbing the gradient", 20)
    sheet.text(24, 46, "cosine of the picture and its prompt, step by step", 12, QUIET)
    low = min(0.0, *(min(climb.scores) for climb in climbs))
    high = max(max(climb.scores) for climb in climbs)
    high = low + (high - low) * 1.06

    def place(step: int, score: float, steps: int) -> tuple[float, float]:
        return left + width * step / steps, top + height * (1 - (score - low) / (high - low))

    for tick in range(-10, 11):
        if low <= tick / 5 <= high:
            y = place(0, tick / 5, 1)[1]
            sheet.box(left, y, width, 1, LINE)
            sheet.text(30, y - 7, f"{tick / 5:.1f}", 11, QUIET)
    steps = len(climbs[0].scores) - 1
    for number in range(0, steps + 1, max(1, steps // 4)):
        sheet.text(place(number, low, steps)[0] - 8, top + height + 6, str(number), 11, QUIET)
    for climb, colour in zip(climbs, LINES):
        sheet.line([place(i, s, steps) for i, s in enumerate(climb.scores)], colour)
    for row, (climb, colour) in enumerate(zip(climbs, LINES)):
        y = top + height + 44 + row * (side + 40)
        sheet.box(24, y + 4, 12, 12, colour)
        start = "grey" if climb.start == "grey" else "noise"
        title = f"“{climb.prompt}” from {start}: {climb.scores[0]:.2f} to {climb.scores[-1]:.2f}"
        sheet.text(44, y, title, 13)
        for column, (_, pixels) in enumerate(climb.frames):
            sheet.picture(24 + column * (side + 22), y + 22, side, Image.fromarray(pixels))
    sheet.save(path)


def summary(findings: Findings, path: Path, shown: int = 4) -> None:
    """One small picture of all three: rankings that hang on a relation, heat maps, a climb."""
    side, gap, left, label = 62, 8, 20, 196
    wanted = ("slice of pizza on", "red circle above", "star above", "to the left")
    rankings = [r for r in findings.rankings if any(w in r.prompt for w in wanted)]
    heats = findings.heats[:2]
    climb = next(c for c in findings.climbs if c.start == "noise")
    row = side + 26
    large = len(rankings) * row // 2 - 28
    width = 2 * left + label + shown * (side + gap) + 24 + large
    sheet = Sheet(width, 38 + row * len(rankings) + side + 20)
    sheet.text(left, 10, "ranked for a prompt, best first", 12, QUIET)
    across = width - left - large
    sheet.text(across, 10, "where pixels matter", 12, QUIET)
    for index, ranked in enumerate(rankings):
        y = 32 + index * row
        for number, text in enumerate(_wrapped(sheet, f"“{ranked.prompt}”", label - 16, 13)):
            sheet.text(left, y + 6 + 17 * number, text, 13)
        for place, (picture, score) in enumerate(ranked.order[:shown]):
            x = left + label + place * (side + gap)
            with Image.open(picture.path) as image:
                sheet.picture(x, y, side, image)
            if place == 0:
                sheet.frame(x, y, side, RIGHT if ranked.is_right else WRONG)
            sheet.text(x, y + side + 4, f"{score:.3f}", 11, QUIET)
    for index, heat in enumerate(heats):
        y = 32 + index * (large + 28)
        sheet.picture(across, y, large, heat.image)
        sheet.text(across, y + large + 5, f"“{heat.prompt}”", 12)
    y = 32 + len(rankings) * row + 6
    sheet.box(left, y - 4, width - 2 * left, 1, LINE)
    title = f"climbing from noise to “{climb.prompt}”: {climb.scores[0]:.2f} to {climb.scores[-1]:.2f}"
    for number, text in enumerate(_wrapped(sheet, title, label - 16, 13)):
        sheet.text(left, y + 6 + 17 * number, text, 13)
    for column, (_, pixels) in enumerate(climb.frames):
        sheet.picture(left + label + column * (side + gap), y + 6, side, Image.fromarray(pixels))
    sheet.image.quantize(192, dither=Image.Dither.NONE).save(path, optimize=True)
