"""Writes the tables of text that are compiled into the program (Sources/CEmbedded/Data).

    python Tests/Generators/tokenizer_tables.py

The reference libraries do not share one version of Unicode: Python's ``unicodedata``, the
``regex`` module, Oniguruma and Rust (both inside ``tokenizers``) each bring their own. The tables
are therefore asked from the libraries themselves, one code point at a time, so that tokens follow
the reference and never the Unicode version of the Swift toolchain. Versions used:
Python 3.11 (Unicode 14), regex 2026.11.15, tokenizers 0.23.3, ftfy 6.3.1, open_clip 3.3.0.
"""

from __future__ import annotations

import gzip
import html
import html.entities
import importlib.util
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import regex
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = Path(__file__).parents[2] / "Sources" / "CEmbedded" / "Data"
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
nfc, nfd, lower = normalizers.NFC(), normalizers.NFD(), normalizers.Lowercase()


def spans(scalars: Iterable[int]) -> list[tuple[int, int]]:
    out: list[list[int]] = []
    for c in sorted(scalars):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return [(a, b) for a, b in out]


def span_text(a: int, b: int) -> str:
    return f"{a:x}" if a == b else f"{a:x}-{b:x}"


def ranges(scalars: Iterable[int]) -> list[str]:
    return [span_text(a, b) for a, b in spans(scalars)]


def valued(table: dict[int, int]) -> list[str]:
    """``a-b:v``: every scalar of the range has the value v."""
    out: list[list[int]] = []
    for c, v in sorted(table.items()):
        if out and out[-1][1] == c - 1 and out[-1][2] == v:
            out[-1][1] = c
        else:
            out.append([c, c, v])
    return [f"{span_text(a, b)}:{v:x}" for a, b, v in out]


def steps(table: dict[int, int]) -> list[str]:
    """``a-b/s:d``: every s-th scalar of the range maps to itself plus d."""
    out: list[list[int]] = []  # first, last, stride, delta
    for c, v in sorted(table.items()):
        last = out[-1] if out else None
        if last and last[3] == v - c and c - last[1] in (1, 2) and last[2] in (0, c - last[1]):
            last[1], last[2] = c, c - last[1]
        else:
            out.append([c, c, 0, v - c])
    return [f"{span_text(a, b)}/{s or 1}:{d:x}" for a, b, s, d in out]


def onig(pattern: str) -> set[int]:
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    found: set[int] = set()
    for i in range(0, len(SCALARS), 4096):
        text = "".join(map(chr, SCALARS[i : i + 4096]))
        for piece, _ in split.pre_tokenize_str(text):
            found.update(map(ord, piece))
    return found


def matching(pattern: regex.Pattern[str] | re.Pattern[str]) -> set[int]:
    return {c for c in SCALARS if pattern.fullmatch(chr(c))}


def having(test: Callable[[str], bool]) -> set[int]:
    return {c for c in SCALARS if test(chr(c))}


def combines_in_tokenizers(x: str) -> bool:
    """Whether Rust's table gives the mark a combining class: only then does it change places."""
    return any(nfd.normalize_str(t) != t for t in ("a" + x + "\u0334", "a\u0345" + x))


def canonical() -> tuple[list[str], list[str], list[str], list[str]]:
    pairs, newer_pairs = [], []
    for c in SCALARS:
        field = unicodedata.decomposition(chr(c))
        if not field or field.startswith("<"):
            continue
        parts = field.lower().split()
        excluded = "" if unicodedata.normalize("NFC", chr(c)) == chr(c) else "!"
        pairs.append(f"{c:x}:{'+'.join(p.lstrip('0') for p in parts)}{excluded}")
        if nfd.normalize_str(chr(c)) != unicodedata.normalize("NFD", chr(c)):
            newer_pairs.append(c)
    classes = {c: unicodedata.combining(chr(c)) for c in SCALARS if unicodedata.combining(chr(c))}
    newer = []
    for c in SCALARS:
        if nfd.normalize_str(chr(c)) != chr(c):
            continue
        ours, theirs = bool(classes.get(c)), combines_in_tokenizers(chr(c))
        if ours and not theirs:
            newer.append(c)
        elif theirs and not ours:
            raise SystemExit(f"U+{c:04X} combines only in tokenizers")
    return pairs, ranges(newer_pairs), valued(classes), ranges(newer)


def lowercases() -> tuple[list[str], list[str]]:
    ours = {c: chr(c).lower() for c in SCALARS if chr(c).lower() != chr(c)}
    theirs = {c: lower.normalize_str(chr(c)) for c in SCALARS}
    theirs = {c: t for c, t in theirs.items() if t != chr(c)}
    more = {c: t for c, t in theirs.items() if ours.get(c) != t}
    missing = [c for c in ours if c not in theirs]
    several = [c for c, t in (ours | more).items() if len(t) > 1]
    if missing or several != [0x130]:
        raise SystemExit(f"the lower-case tables changed: {missing} {several}")
    one = {c: ord(t) for c, t in ours.items() if len(t) == 1}
    return steps(one), steps({c: ord(t) for c, t in more.items()})


def codec(name: str) -> list[str]:
    return [f"{ord(bytes([b]).decode(name)):x}" for b in range(0x80, 0x100)]


def main() -> None:
    import ftfy.bad_codecs
    from ftfy.chardata import CHARMAP_ENCODINGS, HTML_ENTITIES, WIDTH_MAP

    ftfy.bad_codecs.ok()
    flags = regex.IGNORECASE
    pairs, newer_pairs, classes, newer = canonical()
    low, low_newer = lowercases()
    ignorable = having(lambda x: ("a" + x + "\u03a3").lower()[-1] == "\u03c2")
    cased = having(lambda x: (x + "\u03a3").lower()[-1] == "\u03c2")
    ignorable -= cased  # what is cased and not skipped also ends the search
    skipped_by_regex = (
        set(SCALARS)
        - matching(regex.compile(r"[\p{L}]+", flags))
        - matching(regex.compile(r"[\p{N}]", flags))
        - matching(regex.compile(r"[^\s\p{L}\p{N}]+", flags))
    )
    sections: dict[str, list[str]] = {
        "transformers-letters": ranges(onig(r"[\p{L}]")),
        "transformers-numbers": ranges(onig(r"[\p{N}]")),
        "transformers-skipped": ranges(onig(r"\s")),
        "open-clip-letters": ranges(matching(regex.compile(r"[\p{L}]+", flags))),
        "open-clip-numbers": ranges(matching(regex.compile(r"[\p{N}]", flags))),
        "open-clip-skipped": ranges(skipped_by_regex),
        "spaces": ranges(having(str.isspace)),
        "word": ranges(matching(re.compile(r"\w"))),
        "digits": ranges(matching(re.compile(r"\d"))),
        "cased": ranges(cased),
        "case-ignorable": ranges(ignorable),
        "lowercase": low,
        "lowercase-tokenizers": low_newer,
        "combining": classes,
        "combining-unknown-to-tokenizers": newer,
        "decompositions": pairs,
        "decompositions-unknown-to-tokenizers": newer_pairs,
        "width": [f"{c:x}:" + "+".join(f"{ord(x):x}" for x in t) for c, t in WIDTH_MAP.items()],
        "reference-replacements": [
            f"{n:x}:{ord(t):x}"
            for n in [0, *range(0x80, 0xA0), 0x0D]
            if (t := html.unescape(f"&#{n};")) != chr(n) or n in html._invalid_charrefs
        ],
        "reference-removals": ranges(c for c in SCALARS if html.unescape(f"&#{c};") == ""),
    }
    for name in CHARMAP_ENCODINGS[1:]:
        sections["codec-" + name.removeprefix("sloppy-")] = codec(name)

    lines = ["# Written by Tests/Generators/tokenizer_tables.py, which says what this is."]
    for name, items in sections.items():
        lines.append(f"@ {name}")
        row = ""
        for item in items:
            if len(row) + len(item) > 98:
                lines.append(row)
                row = ""
            row += (" " if row else "") + item
        if row:
            lines.append(row)
    (OUT / "unicode.txt").write_text("\n".join(lines) + "\n")

    rows = ["# Names of HTML 5, then the capitals that ftfy reads too. NAME SCALAR[+SCALAR]"]

    def entity(name: str, value: str) -> str:
        return f"{name} " + "+".join(f"{ord(x):x}" for x in value)

    rows += [entity(n, v) for n, v in html.entities.html5.items()]
    rows.append("@ capitals")
    known = html.entities.html5
    rows += [entity(n[1:], v) for n, v in HTML_ENTITIES.items() if n[1:] not in known]
    if any(known.get(n[1:], v) != v for n, v in HTML_ENTITIES.items()):
        raise SystemExit("ftfy reads a name otherwise than HTML 5 does")
    (OUT / "entities.txt").write_text("\n".join(rows) + "\n")

    spec = importlib.util.find_spec("open_clip")
    folder = Path(spec.submodule_search_locations[0])
    text = gzip.open(folder / "bpe_simple_vocab_16e6.txt.gz").read().decode()
    merges = text.split("\n")[1 : 49152 - 256 - 2 + 1]
    (OUT / "clip-merges.txt").write_text("\n".join(merges) + "\n")
    for path in sorted(OUT.glob("*.txt")):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
