"""What a step learns from: labels of pictures, labels of captions, contrast, and questions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

import bank
from heads import CELL_VALUES, SLOTS, Heads
from loader import Rows
from model import CLIP
from scenes import COLOURS, PLACES, SHAPES

PATCHES_LABELLED = 10
_SINGLE, _ROW = 4, 5


def encode_texts(model: CLIP, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Pooled states [N, width] and unit embeddings [N, P]; texts of like length go together."""
    lengths = (ids == model.text_model.eos).int().argmax(1) + 1
    order = lengths.argsort()
    count = 4 if len(ids) >= 256 else 2 if len(ids) >= 64 else 1
    parts = [
        model.text_model(ids[part, : int(lengths[part].max())]) for part in order.chunk(count)
    ]
    pooled = torch.cat(parts)[order.argsort()].float()
    return pooled, F.normalize(model.text_projection(pooled).float(), dim=-1)


def things_of(rows: Rows, owners: Tensor) -> tuple[Tensor, Tensor]:
    """Class and colour (-1: none) of the objects that ``owners`` [B, n] (-1: none) names."""
    at = owners.clamp(min=0)
    both = rows.objects.gather(1, at[..., None].expand(-1, -1, 2))
    none = owners < 0
    return both[..., 0].masked_fill(none, -1), both[..., 1].masked_fill(none, -1)


def majority(owners: Tensor, side: int, least: int) -> Tensor:
    """The object that covers at least ``least`` cells, and most, of each square: [B, 32, 32] to
    [B, side * side], -1 for none."""
    batch, n = len(owners), bank.CELLS // side
    squares = owners.view(batch, side, n, side, n).permute(0, 1, 3, 2, 4).reshape(batch, -1, n * n)
    counts = torch.stack([(squares == k).sum(2) for k in range(bank.OBJECTS)], 2)
    most, which = counts.max(2)
    return which.masked_fill(most < least, -1)


def single_target(rows: Rows, emoji: int) -> Tensor:
    """The row of ``Heads.singles`` that a picture of one thing shows, -1 for other pictures."""
    kind, count = rows.meta[:, bank.KIND], rows.meta[:, bank.COUNT]
    thing, colour = rows.objects[:, 0, 0], rows.objects[:, 0, 1]
    coloured = emoji + (thing - emoji) * len(COLOURS) + colour
    target = torch.where(thing < emoji, thing, coloured)
    alone = (count == 1) & ((kind == 1) | (kind == 2))
    return target.masked_fill(~alone, -1)


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over the targets that are not -1 (nought where all are)."""
    if not bool((target >= 0).any()):
        return logits.sum() * 0
    return F.cross_entropy(logits.float(), target, ignore_index=-1)


def image_losses(
    heads: Heads, rows: Rows, pooled: Tensor, tokens: list[Tensor], unit: Tensor
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The losses of the image tower's heads, and how often they were right."""
    nothing = heads.emoji + len(SHAPES)
    batch = len(rows.owners)
    patches = rows.owners.view(batch, 8, 4, 8, 4).permute(0, 1, 3, 2, 4).reshape(batch, 64, 16)
    owner = majority(rows.owners, 8, 4)
    if rows.chosen is not None:
        patches = patches.gather(1, rows.chosen[..., None].expand(-1, -1, 16))
        owner = owner.gather(1, rows.chosen)
    covered = (patches >= 0).float()
    mask = F.binary_cross_entropy_with_logits(heads.mask(tokens[0][:, 1:]).float(), covered)
    # Some patches of each picture, those with something in them first.
    pick = ((owner >= 0).float() + torch.rand(owner.shape)).topk(PATCHES_LABELLED, 1).indices
    thing, colour = things_of(rows, owner.gather(1, pick))
    deep = tokens[-1][:, 1:].gather(1, pick[..., None].expand(-1, -1, tokens[-1].shape[2]))
    deep = deep.flatten(0, 1)
    thing = torch.where(thing < 0, nothing, thing).flatten()
    background = rows.meta[:, bank.BACKGROUND, None].expand(-1, PATCHES_LABELLED).flatten()
    colour = torch.where(thing == nothing, background, colour.flatten())
    logits = heads.things(heads.patch(deep), 0)
    patch = _entropy(logits, thing)
    patch_right = (logits.argmax(1) == thing)[thing != nothing].float().mean()
    patch_colour = _entropy(heads.patch_colour(deep), colour)
    # What stands in each of four by four squares, from the class token alone.
    owner = majority(rows.owners, 4, 12)
    thing, colour = (t.flatten() for t in things_of(rows, owner))
    cells = heads.cells(pooled).view(-1, CELL_VALUES)
    logits = heads.things(heads.cell(cells), 1)
    empty = thing < 0
    each = F.cross_entropy(logits.float(), thing.masked_fill(empty, nothing), reduction="none")
    weight = torch.where(empty, 0.15, 1.0)
    cell = (each * weight).sum() / weight.sum()
    cell_right = (logits.argmax(1) == thing)[~empty].float().mean()
    cell_colour = _entropy(heads.cell_colour(cells), colour)
    count = _entropy(heads.count(pooled), rows.meta[:, bank.COUNT])
    single = single_target(rows, heads.emoji)
    logits = heads.singles(unit, 2)
    which = _entropy(logits, single)
    known = single >= 0
    which_right = (logits.argmax(1) == single)[known].float().mean()
    losses = {
        "mask": 2 * mask,
        "patch": patch,
        "patch_colour": 0.5 * patch_colour,
        "cell": cell,
        "cell_colour": 0.5 * cell_colour,
        "count": 0.3 * count,
        "which": which,
    }
    right = {"patch": patch_right, "cell": cell_right, "which": which_right}
    return losses, {k: float(v) for k, v in right.items()}


def caption_losses(
    heads: Heads, rows: Rows, pooled: Tensor, unit: Tensor, wording: int
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The losses of the text tower's heads: what a caption says, and where."""
    batch, meta = len(rows.meta), rows.meta
    kind, relation, count = meta[:, bank.KIND], meta[:, bank.RELATION], meta[:, bank.COUNT]
    thing = torch.full((batch, SLOTS), -1)
    colour = torch.full((batch, SLOTS), -1)
    at = torch.arange(batch)
    single = single_target(rows, heads.emoji) >= 0
    row = kind == bank.KINDS.index("row")
    for slot, here in ((_SINGLE, single), (_ROW, row)):
        thing[here, slot], colour[here, slot] = rows.objects[here, 0].unbind(1)
    pair = (relation >= 0) & ~rows.unordered[:, wording]
    for number in (0, 1):
        # Relations come as above, below, left, right; the second thing stands opposite.
        slot = (relation ^ number)[pair]
        thing[at[pair], slot] = rows.objects[pair, number, 0]
        colour[at[pair], slot] = rows.objects[pair, number, 1]
    slots = heads.slots(pooled).view(batch * SLOTS, -1)
    said = thing.flatten() >= 0
    logits = heads.things(slots[said], 3)
    slot = F.cross_entropy(logits, thing.flatten()[said])
    right = (logits.argmax(1) == thing.flatten()[said]).float()
    paired = (torch.arange(batch * SLOTS) % SLOTS < _SINGLE)[said]
    slot_colour = _entropy(heads.slot_colour(slots), colour.flatten())
    place = torch.where(meta[:, bank.SAID_PLACE] > 0, meta[:, bank.PLACE], len(PLACES))
    told = (meta[:, bank.SAID_BACKGROUND] > 0) & (meta[:, bank.BACKGROUND] >= 0)
    background = torch.where(told, meta[:, bank.BACKGROUND], len(COLOURS))
    losses = {
        "slot": slot,
        "slot_colour": 0.5 * slot_colour,
        "said_place": 0.3 * _entropy(heads.said_place(pooled), place),
        "said_background": 0.3 * _entropy(heads.said_background(pooled), background),
        "said_count": 0.3 * _entropy(heads.said_count(pooled), count),
        "said_which": 0.5 * _entropy(heads.singles(unit, 4), single_target(rows, heads.emoji)),
    }
    found = {"slot": right[~paired].mean(), "pair_slot": right[paired].mean()}
    return losses, {k: float(v) for k, v in found.items()}


def contrast(model: CLIP, rows: Rows, image: Tensor, text: Tensor, wording: int) -> Tensor:
    """Each picture's caption among the batch's, and the other way round.

    Rows that show the same things or say the same are no wrong answers, except for twins.
    """
    logits = model.logit_scale.exp() * image @ text.T
    said, twin = rows.said[:, wording], rows.meta[:, bank.TWIN]
    same = (rows.keys[:, None] == rows.keys) | (said[:, None] == said)
    pairs = torch.zeros(len(twin), dtype=torch.bool)
    pairs[:-1] = (twin[:-1] == 1) & (twin[1:] == 2)
    first = pairs.nonzero().flatten()
    same[first, first + 1] = same[first + 1, first] = False
    same.fill_diagonal_(False)
    logits = logits.masked_fill(same, float("-inf"))
    truth = torch.arange(len(logits))
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


def question(
    model: CLIP, rows: Rows, image: Tensor, answers: Tensor, asked: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """The right answer among the wrong ones of the ``asked`` pictures; ``answers`` [n, 1 + k, P]."""
    logits = model.logit_scale.exp() * torch.einsum("np,nkp->nk", image[asked], answers)
    right = (logits.argmax(1) == 0).float()
    kind = rows.meta[asked, bank.KIND]
    pair = rows.meta[asked, bank.RELATION] >= 0
    found = {
        "ask": right.mean(),
        "ask_pair": right[pair].mean(),
        "ask_emoji": right[kind == 1].mean(),
        "ask_row": right[kind == bank.KINDS.index("row")].mean(),
    }
    truth = torch.zeros(len(logits), dtype=torch.long)
    return F.cross_entropy(logits, truth), {k: float(v) for k, v in found.items()}
