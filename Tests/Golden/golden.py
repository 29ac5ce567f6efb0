#!/usr/bin/env python3
"""Golden replies: everything that the daemon answers to a few hundred requests, as digests.

    golden.py                 checks the replies against the committed digests of every instruction
                              set that this machine has
    golden.py --record        writes them anew, and says which requests' replies changed
    golden.py --keep FOLDER   also writes each reply out (header and frames), so that the replies of
                              two builds can be compared with `diff -r`

A reply's digest covers its header, without what differs from run to run (id, timing, fingerprints,
handles), and every frame, bit for bit. Bits depend on the instruction set, so the daemon is told which
one to use (`--instructions`), and each has a file of its own: SET.txt, one line a request.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Clients"))

import models
import asked
from daemon import Daemon
from raw import Answer, Raw
from asked import Ask

SETS = {"avx2": ["avx2", "fma"], "avx512": ["avx512f", "avx512bw", "avx512dq", "avx512vl"]}
VARYING = {"id", "timing", "fingerprint", "handle"}


def available() -> list[str]:
    """The recorded instruction sets that this machine has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    flags = set(text.split("flags", 1)[-1].split("\n", 1)[0].split())
    return [name for name, needed in SETS.items() if flags.issuperset(needed)]


def steady(value: Any) -> Any:
    """The value without the members that differ from run to run."""
    if isinstance(value, dict):
        return {key: steady(entry) for key, entry in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [steady(entry) for entry in value]
    return value


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def text_of(answer: Answer, indent: int | None = None) -> str:
    """The header as text, without this run's names of folders and handles."""
    text = json.dumps(steady(answer.header), sort_keys=True, ensure_ascii=False, indent=indent)
    return re.sub(r"\b[0-9a-f]{32}\b", "HANDLE", text.replace(str(models.ROOT), "ROOT"))


def line(answer: Answer) -> str:
    """`status header=… output=…`, an error's code in place of a status."""
    header = answer.header
    status = header["status"] if "error" not in header else header["error"]["code"]
    parts = [status, f"header={digest(text_of(answer).encode())}"]
    for entry, frame in zip(answer.header.get("outputs", []), answer.frames, strict=True):
        parts.append(f"{entry['name']}={digest(frame)}")
    return " ".join(parts)


def keep(folder: Path, name: str, answer: Answer) -> None:
    place = folder / name.replace("/", "_")
    place.mkdir(parents=True, exist_ok=True)
    (place / "header.json").write_text(text_of(answer, indent=1) + "\n")
    for entry, frame in zip(answer.header.get("outputs", []), answer.frames, strict=True):
        (place / f"{entry['name']}.bin").write_bytes(frame)


def ask(raw: Raw, request: Ask, handles: dict[str, str]) -> Answer:
    if request.frames is not None:
        raw.send_frames(*request.frames)
        return raw.receive()
    params = dict(request.params)
    if params.get("handle") in handles:
        params["handle"] = handles[params["handle"]]
    raw.send(request.op, params, request.images, **request.fields)
    answer = raw.receive()
    if request.remember is not None:
        handles[request.remember] = answer.result["handle"]
    return answer


def replies(instructions: str, kept: Path | None) -> dict[str, str]:
    """By request: its reply's line."""
    with tempfile.TemporaryDirectory(prefix="guidanced-") as name:
        folder = Path(name)
        settings = folder / "settings.json"
        # No reply may depend on what was asked before.
        settings.write_text(json.dumps({"limits": {"conditioning_cache_bytes": 0}}))
        arguments = [*models.arguments(folder), "--config", str(settings)]
        arguments += ["--instructions", instructions, "--threads", "2"]
        found: dict[str, str] = {}
        handles: dict[str, str] = {}
        with Daemon(folder, *arguments) as daemon, Raw(daemon.endpoint) as raw:
            for request in asked.everything():
                assert request.name not in found and " " not in request.name, request.name
                answer = ask(raw, request, handles)
                found[request.name] = line(answer)
                if kept is not None:
                    keep(kept / instructions, request.name, answer)
            assert daemon.process.poll() is None, daemon.log.read_text()
        return found


def read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    return dict(text.split(" ", 1) for text in path.read_text().splitlines())


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """One line a request whose reply is another: what of it changed."""
    found: list[str] = []
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) == now.get(name):
            continue
        if name not in before:
            found.append(f"+ {name}: {now[name].split()[0]}")
        elif name not in now:
            found.append(f"- {name}")
        else:
            old, new = before[name].split(), now[name].split()
            parts = [f"{old[0]} -> {new[0]}"] if old[0] != new[0] else []
            a = dict(part.rsplit("=", 1) for part in old[1:])
            b = dict(part.rsplit("=", 1) for part in new[1:])
            parts += [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
            found.append(f"~ {name}: {', '.join(parts) or 'order of outputs'}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--instructions", choices=list(SETS), action="append")
    chosen = parser.parse_args()
    changed = 0
    sets = chosen.instructions or available()
    if chosen.record and set(sets) != set(SETS):
        print("golden replies: only recorded for", *sets, file=sys.stderr)
    if not sets:
        print("golden replies: none were recorded for this machine's instructions")
    for instructions in sets:
        path = HERE / f"{instructions}.txt"
        now = replies(instructions, chosen.keep)
        found = differences(read(path), now)
        changed += len(found)
        print(f"golden replies, {instructions}: {len(now)} requests, {len(found)} differ")
        print("".join(f"  {text}\n" for text in found), end="")
        if chosen.record:
            path.write_text("".join(f"{name} {now[name]}\n" for name in sorted(now)))
    if changed and not chosen.record:
        print("If that was meant, record them anew: Tests/Golden/golden.py --record (CONTRIBUTING.md)")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
