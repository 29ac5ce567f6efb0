"""What the demo found out, for the console, the page and the pictures alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from climb import Climb
from gallery import Picture


@dataclass
class RankedPrompt:
    """A prompt, the picture that it describes, and the gallery in the daemon's order."""

    prompt: str
    expected: str
    order: list[tuple[Picture, float]]

    @property
    def is_right(self) -> bool:
        return self.order[0][0].name == self.expected


@dataclass
class Named:
    """A picture and its most probable labels."""

    picture: Picture
    best: list[tuple[str, float]]

    @property
    def is_right(self) -> bool:
        return self.best[0][0] == self.picture.label


@dataclass
class Heat:
    """Where a picture's pixels matter for a prompt."""

    picture: Picture
    prompt: str
    image: Image.Image


@dataclass
class Findings:
    """All results of one run, and the seconds that parts took."""

    model: str = ""
    fingerprint: str = ""
    rankings: list[RankedPrompt] = field(default_factory=list)
    names: list[Named] = field(default_factory=list)
    heats: list[Heat] = field(default_factory=list)
    climbs: list[Climb] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def all_right(self) -> bool:
        """Every prompt has its picture first and every climb ends well above its start."""
        return all(ranked.is_right for ranked in self.rankings) and all(
            climb.scores[-1] > climb.scores[0] + 0.1 for climb in self.climbs
        )
