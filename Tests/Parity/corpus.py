"""Texts and pictures on which implementations tend to differ."""

from __future__ import annotations

import numpy as np
from PIL import Image

TEXTS = [
    "a photo of a cat",
    "",
    " ",
    "A  RED\tcircle\nabove a small GREEN star.",
    "don't can't we're I'll I'd it's",
    "3.14159 and 1,000,000 and x=2^10",
    "日本語のテキスト 中文 한국어",
    "emoji 👩‍👩‍👧‍👦 🇩🇪 👍🏽 🍕",
    "naïve café e\u0301 \u00c5ngstr\u00f6m ﬁ Ⅷ ½",
    "&amp;lt; &quot;quoted&quot; &#39;",
    "under_score __init__ snake_case",
    "<|endoftext|> inside",
    "control \u0000 \u0007 \u200b \u202e \ufeff chars",
    "!!! ... ??? --- ;;; ((()))",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "x" * 300,
    "the quick brown fox jumps over the lazy dog " * 12,
    "Ελληνικά кириллица עברית العربية ไทย हिन्दी",
    "İstanbul ẞ ſ K",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff",
]


def pictures() -> dict[str, Image.Image]:
    """Pictures by name, of many sizes and in every mode that is common in files."""
    rng = np.random.default_rng(17)

    def noise(height: int, width: int) -> Image.Image:
        coarse = rng.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = rng.integers(-30, 31, (height, width, 3))
        return Image.fromarray((np.asarray(smooth, np.int64) + grain).clip(0, 255).astype(np.uint8))

    found = {
        f"{height}×{width}": noise(height, width)
        for height, width in [
            (64, 64), (224, 224), (256, 256), (300, 200), (200, 301), (37, 53), (480, 640),
            (65, 64), (1, 1), (3, 500), (999, 77),
        ]
    }
    base = noise(120, 90)
    alpha = Image.fromarray(rng.integers(0, 256, (120, 90), dtype=np.uint8))
    transparent = base.copy()
    transparent.putalpha(alpha)
    found |= {
        "grey": base.convert("L"),
        "grey with alpha": transparent.convert("LA"),
        "palette": base.convert("P"),
        "bilevel": base.convert("1"),
        "alpha": transparent,
    }
    return found
