"""CLIP's byte-level BPE with a vocabulary of its own: training, encoding, and the files."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import regex

START, END = "<|startoftext|>", "<|endoftext|>"
_PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)


@lru_cache
def byte_symbols() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte, in the order of CLIP's vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in symbols:
            symbols[b] = chr(256 + len(symbols) - len(plain))
    return symbols


def words(text: str) -> list[str]:
    """CLIP's pre-tokenisation of lower-cased text, as byte symbols."""
    text = " ".join(text.lower().split())
    table = byte_symbols()
    return ["".join(table[b] for b in piece.encode()) for piece in _PATTERN.findall(text)]


def learn_merges(counts: Counter[str], count: int) -> list[tuple[str, str]]:
    """The most frequent pairs, greedily; ties go to the smaller pair, so the result is fixed."""
    pieces = {w: [*w[:-1], w[-1] + "</w>"] for w in counts}
    merges: list[tuple[str, str]] = []
    pairs: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], set[str]] = {}

    def account(word: str, sign: int) -> None:
        symbols = pieces[word]
        for pair in pairwise(symbols):
            pairs[pair] += sign * counts[word]
            if sign > 0:
                where.setdefault(pair, set()).add(word)

    for word in pieces:
        account(word, 1)
    while len(merges) < count:
        best = min(pairs, key=lambda p: (-pairs[p], p), default=None)
        if best is None or pairs[best] <= 0:
            break
        merges.append(best)
        for word in where.pop(best):
            account(word, -1)
            merged: list[str] = []
            for symbol in pieces[word]:
                if merged and (merged[-1], symbol) == best:
                    merged[-1] += symbol
                else:
                    merged.append(symbol)
            pieces[word] = merged
            account(word, 1)
    return merges


class Tokenizer:
    """Encodes text to ids with START and END around."""

    def __init__(self, merges: list[tuple[str, str]]) -> None:
        self.merges = merges
        base = list(byte_symbols().values())
        names = base + [b + "</w>" for b in base] + ["".join(m) for m in merges] + [START, END]
        self.vocabulary = {name: i for i, name in enumerate(names)}
        if len(self.vocabulary) != len(names):
            raise ValueError("two merges make the same symbol")
        self.start, self.end = self.vocabulary[START], self.vocabulary[END]
        self._ranks = {pair: i for i, pair in enumerate(merges)}
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str, limit: int) -> list[int]:
        """Ids of the text, cut so that END is always there."""
        ids = [i for word in words(text) for i in self._word(word)]
        return [self.start, *ids[: limit - 2], self.end]

    def _word(self, word: str) -> list[int]:
        if word not in self._cache:
            symbols = [*word[:-1], word[-1] + "</w>"]
            while len(symbols) > 1:
                rank, at = min(
                    (self._ranks.get(pair, len(self._ranks)), i)
                    for i, pair in enumerate(pairwise(symbols))
                )
                if rank == len(self._ranks):
                    break
                symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
            self._cache[word] = [self.vocabulary[s] for s in symbols]
        return self._cache[word]

    def save(self, folder: Path, context: int) -> None:
        """Write the files of a slow and of a fast CLIP tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.json").write_text(json.dumps(self.vocabulary, ensure_ascii=False) + "\n")
        lines = ["#version: 0.2", *(" ".join(m) for m in self.merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
        special = {
            "bos_token": START,
            "eos_token": END,
            "unk_token": END,
            "pad_token": END,
        }
        (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
        config = {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": context,
            "do_lower_case": True,
            "add_prefix_space": False,
            "errors": "replace",
            **special,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")

    @staticmethod
    def load(folder: Path) -> Tokenizer:
        """The tokenizer of a folder's ``merges.txt``."""
        lines = (folder / "merges.txt").read_text().splitlines()[1:]
        return Tokenizer([(a, b) for a, b in (line.split(" ") for line in lines if line)])
