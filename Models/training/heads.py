"""Heads that teach the towers what is where, and are thrown away afterwards.

The renderer knows what stands in each patch, and the captioner what it said. Learning that from
labels takes minutes where contrast alone takes hours. All heads share one table of things and one
of colours, so that what one place of the network has learnt to tell apart is at once a target for
the others, and for both towers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model import ModelShape
from scenes import COLOURS, PLACES, SHAPES, is_held_out

# What a caption may say stands above, below, left, right; alone; in a row.
SLOTS = 6
CELL_VALUES = 64


class Heads(nn.Module):
    """The tables and the maps onto them."""

    def __init__(self, shape: ModelShape, sprites: Tensor) -> None:
        super().__init__()
        self.emoji = len(sprites)
        width, text, size = shape.vision.width, shape.text.width, shape.projection
        # Things that look alike start near each other. The last row is "nothing".
        self.table = nn.Parameter(_start(sprites, len(SHAPES) + 1, size))
        self.colours = nn.Parameter(torch.randn(len(COLOURS), size) * size**-0.5)
        # Of patches, cells, single pictures, slots of captions, captions of single things.
        self.scale = nn.Parameter(torch.tensor([1.5, 1.5, 2.7, 1.5, 2.7]))
        self.mask = nn.Linear(width, 16)
        self.patch = nn.Linear(width, size)
        self.patch_colour = nn.Linear(width, len(COLOURS))
        self.cells = nn.Linear(width, 16 * CELL_VALUES)
        self.cell = nn.Linear(CELL_VALUES, size)
        self.cell_colour = nn.Linear(CELL_VALUES, len(COLOURS))
        self.count = nn.Linear(width, 6)
        self.slots = nn.Linear(text, SLOTS * size)
        self.slot_colour = nn.Linear(size, len(COLOURS))
        self.said_place = nn.Linear(text, len(PLACES) + 1)
        self.said_background = nn.Linear(text, len(COLOURS) + 1)
        self.said_count = nn.Linear(text, 6)
        absent = [is_held_out(c, s) for s in SHAPES for c in COLOURS]
        rows = self.emoji + len(absent)
        self.register_buffer("prior", torch.zeros(len(self.table)), persistent=False)
        self.register_buffer("single_prior", torch.zeros(rows), persistent=False)
        self.register_buffer("absent", torch.tensor([False] * self.emoji + absent))

    def things(self, x: Tensor, kind: int) -> Tensor:
        """Logits [N, things + 1] of vectors [N, size]."""
        table = F.normalize(self.table, dim=1)
        return self.scale[kind].exp() * x.float() @ table.T + self.prior

    def singles(self, unit: Tensor, kind: int) -> Tensor:
        """Logits [N, emoji + shapes x colours] of unit embeddings [N, size]; a coloured shape's
        row is the sum of its shape's and its colour's, so that combinations never seen have one."""
        table = F.normalize(self.table, dim=1)
        shapes = table[self.emoji : self.emoji + len(SHAPES)]
        coloured = shapes[:, None] + F.normalize(self.colours, dim=1)
        rows = torch.cat([table[: self.emoji], F.normalize(coloured.flatten(0, 1), dim=1)])
        logits = self.scale[kind].exp() * unit @ rows.T + self.single_prior
        return logits.masked_fill(self.absent, float("-inf"))

    def expect(self, things: Tensor, singles: Tensor) -> None:
        """Take the logarithms of how often each thing and each single is met as biases, so that
        vectors need not point to where the frequent ones are. Both start from counts."""
        share = (things.float() + 1) / (things.sum() + len(things))
        # A third of the patches that are asked about are empty.
        share[-1] = share.sum() / 2
        self.prior.copy_(share.log() - share.sum().log())
        share = (singles.float() + 0.3) / (singles.sum() + 0.3 * len(singles))
        self.single_prior.copy_(share.log())


def _start(sprites: Tensor, more: int, size: int) -> Tensor:
    """Unit rows: the sprites' main components, whitened, with noise; then ``more`` random ones."""
    generator = torch.Generator().manual_seed(11)
    centred = sprites - sprites.mean(0)
    left, _, _ = torch.linalg.svd(centred, full_matrices=False)
    main = F.normalize(left[:, :size], dim=1)
    noise = torch.randn(len(main) + more, size, generator=generator) * size**-0.5
    table = torch.cat([main * 0.7, torch.zeros(more, size)]) + noise
    return F.normalize(table, dim=1) * 0.7
