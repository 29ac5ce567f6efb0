"""Writes the fixtures of the tokenizer tests from the reference libraries.

    python Tests/Generators/tokenizer.py                     # the committed fixtures
    python Tests/Generators/tokenizer.py --random 100000 --out corpus.json   # a larger corpus

The larger corpus is read by the tests when TOKENIZER_CORPUS names it. References: transformers
5.23.0 (tokenizers 0.23.3) and open_clip 3.3.0 (ftfy 6.3.1, regex 2026.11.15), Python 3.11.
"""

from __future__ import annotations

import argparse
import gzip
import html.entities
import importlib.util
import json
import random
import shutil
import struct
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers import CLIPTokenizer

from tokenizer_texts import CURATED, SENTENCES

OUT = Path(__file__).parents[1] / "EncodersTests" / "Fixtures" / "text"
START, END = "<|startoftext|>", "<|endoftext|>"


def open_clip_tokenizer() -> ModuleType:
    """open_clip's tokenizer alone: the package itself wants a working torchvision."""
    folder = Path(importlib.util.find_spec("open_clip").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", folder / "tokenizer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OPEN_CLIP = open_clip_tokenizer()


class References:
    """Both libraries over one set of merges."""

    def __init__(self, merges: list[tuple[str, str]], file: Path | None = None) -> None:
        symbols = list(OPEN_CLIP.bytes_to_unicode().values())
        names = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges]
        names = list(dict.fromkeys(names)) + [START, END]
        self.merges = merges
        self.vocabulary = {name: i for i, name in enumerate(names)}
        self.transformers = CLIPTokenizer(vocab=self.vocabulary, merges=merges)
        with tempfile.TemporaryDirectory() as folder:
            if file is None:
                file = Path(folder) / "bpe.txt.gz"
                lines = ["#version: 0.2", *(" ".join(m) for m in merges)]
                file.write_bytes(gzip.compress("\n".join(lines).encode()))
            self.open_clip = OPEN_CLIP.SimpleTokenizer(str(file))
        self.renumber = {
            i: self.vocabulary.get(name) for name, i in self.open_clip.encoder.items()
        }
        self.renumber[self.open_clip.sot_token_id] = self.vocabulary[START]
        self.renumber[self.open_clip.eot_token_id] = self.vocabulary[END]

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        self.open_clip.cache = {t: t for t in ("<start_of_text>", "<end_of_text>")}
        theirs = self.transformers(text, add_special_tokens=False)["input_ids"]
        return theirs, [self.renumber[i] for i in self.open_clip.encode(text)]


def clip_references() -> References:
    file = Path(OPEN_CLIP.default_bpe())
    lines = gzip.open(file).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    references = References([tuple(line.split()) for line in lines], file)
    assert references.vocabulary[END] == 49407
    return references


def digest(tokens: list[int]) -> str:
    """FNV-1a, 64 bits, over the tokens as little-endian 32-bit integers."""
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(tokens)}i", *tokens):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def sloppy(data: bytes, codec: str) -> str:
    """Bytes read in a single-byte encoding, unassigned ones as Latin-1."""
    return "".join(
        c if (c := bytes([b]).decode(codec, "replace")) != "\ufffd" else chr(b) for b in data
    )


CODECS = ["latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso-8859-2"]
CODECS += ["macroman", "cp437"]


def mojibake(rng: random.Random, text: str) -> str:
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.1:  # CESU-8
            data = b"".join(c.encode() if ord(c) < 0x10000 else pair_bytes(c) for c in text)
        text = sloppy(data, rng.choice(CODECS))
    damage = rng.random()
    if damage < 0.15:
        text = text.replace("\xa0", " ")
    elif damage < 0.25:
        text = "".join(rng.choice("\ufffd?") if rng.random() < 0.05 else c for c in text)
    elif damage < 0.35:
        text = rng.choice(SENTENCES) + " " + text
    return text


def pair_bytes(c: str) -> bytes:
    value = ord(c) - 0x10000
    pair = chr(0xD800 + (value >> 10)) + chr(0xDC00 + (value & 0x3FF))
    return pair.encode("utf-8", "surrogatepass")


def pools() -> list[list[str]]:
    from ftfy.badness import MOJIBAKE_CATEGORIES
    import re

    bad = re.compile("[" + "".join(MOJIBAKE_CATEGORIES.values()) + "]")
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    known = [c for c in scalars if unicodedata.category(c) not in ("Cn", "Co")]
    names = list(html.entities.html5)
    return [
        [chr(c) for c in range(0x20, 0x7F)],
        list("abcdefghijklmnopqrstuvwxyz   ABCDEF"),
        [chr(c) for c in range(0x80, 0x180)],
        [c for c in scalars if bad.match(c)] + list("abzAZ .?"),
        [c for c in known if unicodedata.combining(c)] + list("aeoAEO\u1100\u1161\u11a8"),
        [c for c in known if c.lower() != c or c.upper() != c] + list("ΣΣσς.'\u0301"),
        [c for c in known if unicodedata.category(c).startswith("N")],
        [c for c in known if unicodedata.category(c).startswith(("Z", "C"))] + list("ab"),
        [c for c in known if 0x1F000 <= ord(c) < 0x1FB00] + list("\u200d\ufe0f\U0001f3fb"),
        [c for c in known if 0x3000 <= ord(c) < 0xA000 or 0xAC00 <= ord(c) < 0xD7A4],
        [c for c in known if 0xFE00 <= ord(c)],
        known,
        scalars,
        ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'ſ", "'", "n", " ", "ſ"],
        ["<|startoftext|>", "<|endoftext|>", "<start_of_text>", "<end_of_text>", "<", "|", ">"]
        + ["<|ENDOFTEXT|>", "<ſtart_of_text>", " ", "a", "</w>", "'s"],
        ["&" + rng_name for rng_name in names[::7]] + ["&", ";", "#", "&#", "&#x", "1", "f", "<"],
        ["\x1b[", "\x1b", "[", "1", ";", "m", "0", "\r", "\n", "\u2028", "\x85", "\ufeff", "a"],
        ["Ã", "Â", "â", "€", "™", " ", "\xa0", "à", "la", "s ", "quele", "ï", "¿", "½", "�", "?"],
        [sloppy(c.encode(), codec) for codec in CODECS for c in "éàñß€“”—…Жяλ日本😀Šš"],
    ]


def random_texts(rng: random.Random, count: int) -> Iterator[str]:
    sources = pools()
    for index in range(count):
        kind = index % 4
        if kind == 0:
            yield mojibake(rng, rng.choice(SENTENCES)[: rng.randint(4, 40)])
        else:
            chosen = rng.choices(sources, k=kind)
            yield "".join(rng.choice(rng.choice(chosen)) for _ in range(rng.randint(1, 20)))


def entity_texts() -> Iterator[str]:
    names = list(html.entities.html5)
    for i in range(0, len(names), 24):
        yield " ".join("&" + n for n in names[i : i + 24])
        yield "x".join("&" + n.rstrip(";") for n in names[i : i + 24])
        yield " ".join("&" + n.rstrip(";").upper() + ";" for n in names[i : i + 24])
        yield "<" + " ".join("&amp;" + n for n in names[i : i + 24])


def corpus(references: References, texts: list[str]) -> list[dict[str, Any]]:
    cases = []
    for text in dict.fromkeys(texts):
        theirs, other = references.encode(text)
        case: dict[str, Any] = {"t": text}
        if max(len(theirs), len(other)) > 64:
            case["hd"] = digest(theirs)
            case["od"] = digest(other)
        else:
            case["h"] = theirs
            if other != theirs:
                case["o"] = other
        cases.append(case)
    return cases


def sweep(references: References) -> list[dict[str, Any]]:
    """Every scalar of Unicode: alone between letters, and beside its neighbours."""
    rows = []
    for start in range(0, 0x110000, 0x400):
        scalars = [chr(c) for c in range(start, start + 0x400) if not 0xD800 <= c < 0xE000]
        if not scalars:
            continue
        row: dict[str, Any] = {"from": start, "count": len(scalars)}
        for name, between in (("a", "a"), ("space", " "), ("", "")):
            theirs, other = references.encode(between.join(scalars))
            row["h" + name], row["o" + name] = digest(theirs), digest(other)
        rows.append(row)
    return rows


def long_words(references: References) -> list[dict[str, Any]]:
    rows = []
    for unit, count in [
        ("a", 10_000), ("ab", 5_000), ("supercalifragilistic", 500), ("日本", 5_000), ("é", 10_000),
        ("!", 10_000), ("1", 3_000), ("e\u0301", 5_000), ("a\u0301\u0316", 3_000), ("👍🏽", 2_500),
        ("'s", 5_000), ("ſ", 4_000), ("Ã©", 5_000), ("&amp;", 2_000), ("\u0300\u0316", 5_000),
    ]:  # fmt: skip
        theirs, other = references.encode(unit * count)
        rows.append({"unit": unit, "times": count, "h": digest(theirs), "o": digest(other)})
    return rows


def decodings(references: References, rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for index in range(200):
        if index % 2:
            tokens = [rng.randrange(49408) for _ in range(rng.randint(1, 12))]
        else:
            tokens = references.encode(CURATED[index % len(CURATED)])[0][:30]
        rows.append({
            "ids": tokens,
            "h": references.transformers.decode(tokens),
            "o": references.open_clip.decode(tokens)
            .replace("<start_of_text>", START).replace("<end_of_text>", END),
        })  # fmt: skip
    return rows


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = value if isinstance(value, list) else [value]
    text = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
    path.write_text(f"[\n{text}\n]\n" if isinstance(value, list) else text + "\n")


def learned_merges(count: int) -> list[tuple[str, str]]:
    """A few merges learned from the sentences, the commonest pair first."""
    table = OPEN_CLIP.bytes_to_unicode()
    words = []
    for sentence in SENTENCES * 2 + CURATED:
        for word in sentence.lower().split():
            symbols = [table[b] for b in word.encode()]
            words.append([*symbols[:-1], symbols[-1] + "</w>"])
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: dict[tuple[str, str], int] = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        for word in words:
            i = 0
            while i + 1 < len(word):
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def shuffled_merges(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Merges over three letters in an order that no training gives: every rank can come first."""
    inner, final = ["a", "b", "c"], ["a</w>", "b</w>", "c</w>"]
    merges: set[tuple[str, str]] = set()
    while len(merges) < count:
        left, right = rng.choice(inner), rng.choice(inner + final)
        if len(left) + len(right) > 8:
            continue
        merges.add((left, right))
        target = final if right.endswith("</w>") else inner
        if left + right not in target:
            target.append(left + right)
    ordered = sorted(merges)
    rng.shuffle(ordered)
    return ordered


SMALL_TEXTS = [
    "", "a cat", "the end!", "Hello!!! World", "<|endoftext|>", "x<|STARTOFTEXT|>y <|startoftext|>",
    "x <|ENDOFTEXT|> y", "<|pad|> and <pad>", "<special> A <Special> b", "it's <lo> '<lo>'",
    "naïve café “quoted” — 日本語 😀", "! a!b !", "ÀÉ<lo>é", "<|endoftext|>!<|endoftext|>",
    "<start_of_text>a<end_of_text>", "abcabcaabbcc cabbage", " <strip>  x  <strip> ", "Straße ΟΔΟΣ", "TEAM tests item am",
]  # fmt: skip


def small_tokenizers(merges: list[tuple[str, str]]) -> None:
    """Directories in the forms that are found, with what `from_pretrained` makes of them."""
    base = References(merges)
    vocabulary = base.vocabulary
    lines = "\n".join(["#version: 0.2", *(" ".join(m) for m in merges)]) + "\n"
    model = {
        "type": "BPE", "dropout": None, "unk_token": END, "continuing_subword_prefix": "",
        "end_of_word_suffix": "</w>", "fuse_unk": False, "vocab": vocabulary,
    }  # fmt: skip

    def added(content: str, token: int, **flags: bool) -> dict[str, Any]:
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        return {"id": token, "content": content, **plain, "special": True, **flags}

    first = added(START, vocabulary[START], normalized=True)
    specials = [first, added(END, vocabulary[END])]
    more = len(vocabulary)
    extra = [
        added("<lo>", more, special=False, normalized=False),
        added("<Special>", more + 1, special=False, normalized=True),
        added("<strip>", more + 2, lstrip=True, rstrip=True),
    ]
    header = {"version": "1.0", "truncation": None, "padding": None}
    outer = {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    names = {"bos_token": START, "eos_token": END, "unk_token": END}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    decoder = {"0": {k: v for k, v in added("!", 0).items() if k != "id"}}
    for item in specials:
        decoder[str(item["id"])] = {k: v for k, v in item.items() if k != "id"}
    strings = {**model, "merges": [" ".join(m) for m in merges]}
    pairs = {**model, "merges": [list(m) for m in merges]}
    partial = {k: v for k, v in vocabulary.items() if k not in ("Ã", "Ĩ</w>", "!</w>")}
    kept = [m for m in merges if {*m, "".join(m)} <= partial.keys()]
    partial_lines = "\n".join(" ".join(m) for m in kept)
    folders: dict[str, dict[str, Any]] = {
        "plain": {"vocab.json": vocabulary, "merges.txt": lines},
        "stable-diffusion-2": {
            "vocab.json": vocabulary, "merges.txt": lines,
            "tokenizer_config.json": {"tokenizer_class": "CLIPTokenizer", **names, "pad_token": END},
            "special_tokens_map.json": {
                "bos_token": {"content": START, **flags}, "eos_token": {"content": END, **flags},
                "unk_token": {"content": END, **flags}, "pad_token": "!",
            },
        },
        "sdxl-second": {
            "vocab.json": vocabulary, "merges.txt": lines,
            "tokenizer_config.json": {**names, "pad_token": "!", "added_tokens_decoder": decoder},
            "special_tokens_map.json": {**names, "pad_token": END},
        },
        "tokenizer-strings": {
            "tokenizer.json": {**header, "added_tokens": specials, **outer, "model": strings},
        },
        "tokenizer-pairs": {
            "tokenizer.json": {
                **header, "added_tokens": specials + extra, **outer, "model": pairs,
            },
            "tokenizer_config.json": {**names, "pad_token": END},
        },
        "added": {
            "vocab.json": vocabulary, "merges.txt": lines,
            "added_tokens.json": {"<lo>": more, "<Special>": more + 1},
        },
        "additional": {
            "vocab.json": vocabulary, "merges.txt": lines,
            "special_tokens_map.json": {
                **names, "additional_special_tokens": ["te", "am"],
            },
        },
        "unknown-bytes": {"vocab.json": partial, "merges.txt": partial_lines},
    }  # fmt: skip
    shutil.rmtree(OUT / "small", ignore_errors=True)
    for name, files in folders.items():
        folder = OUT / "small" / name
        folder.mkdir(parents=True)
        for file, value in files.items():
            if isinstance(value, str):
                (folder / file).write_text(value)
            else:
                text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                (folder / file).write_text(text + "\n")
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        cases = [
            {"t": t, "h": tokenizer(t, add_special_tokens=False)["input_ids"]} for t in SMALL_TEXTS
        ]
        facts = {
            "start": tokenizer.bos_token_id, "end": tokenizer.eos_token_id,
            "pad": tokenizer.pad_token_id, "cases": cases,
        }  # fmt: skip
        write(folder / "expected.json", facts)


def merge_orders(rng: random.Random) -> None:
    rows = []
    for _ in range(4):
        references = References(shuffled_merges(rng, 60))
        texts = ["".join(rng.choices("abc", k=rng.randint(1, 30))) for _ in range(40)]
        texts += ["".join(rng.choices("abc", k=rng.randint(49, 90))) for _ in range(10)]
        rows.append({
            "merges": [" ".join(m) for m in references.merges],
            "vocabulary": references.vocabulary,
            "cases": [
                {"t": t, "h": h, "o": o} for t in texts for h, o in [references.encode(t)]
            ],
        })  # fmt: skip
    write(OUT / "merge-orders.json", rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="only the small tokenizers")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    if options.small:
        small_tokenizers(learned_merges(60))
        return
    references = clip_references()
    if options.out:
        write(options.out, corpus(references, list(random_texts(rng, options.random))))
        return
    texts = CURATED + [f"a{chr(c)}b {chr(c)}" for c in range(256)]
    texts += [mojibake(rng, s) for s in SENTENCES for _ in range(6)]
    texts += list(random_texts(rng, 2400))
    write(OUT / "corpus.json", corpus(references, texts))
    write(OUT / "entities.json", corpus(references, list(entity_texts())))
    write(OUT / "sweep.json", sweep(references))
    write(OUT / "long-words.json", long_words(references))
    write(OUT / "decoding.json", decodings(references, rng))
    small_tokenizers(learned_merges(60))
    merge_orders(rng)


if __name__ == "__main__":
    main()
