"""The machine and the software, as RESULTS.md names them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .models import ROOT
from .rounds import Failed

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


def describe() -> dict[str, str]:
    """Processor, caches, memory and system."""
    info: dict[str, str] = {}
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        info.setdefault(name.strip(), value.strip())
    flags = set(info.get("flags", "").split())
    processor = info.get("model name", platform.processor() or platform.machine())
    family = f"family {info.get('cpu family', '?')} model {info.get('model', '?')}"
    release = dict(line.split("=", 1) for line in _text("/etc/os-release").splitlines() if "=" in line)
    return {
        "processor": f"{processor} ({family})",
        "processors allowed": str(threads()),
        "vector instructions": ", ".join(flag for flag in _FLAGS if flag in flags) or "–",
        "caches": _caches(),
        "memory": f"{_memory('MemTotal') / 2**30:.0f} GiB",
        "system": f"{release.get('PRETTY_NAME', platform.system()).strip(chr(34))}, "
                  f"Linux {platform.release().split('-')[0]}",
    }


def threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0))


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    return _memory("MemAvailable")


class OtherWork:
    """What others take from the machine while processes of ours are measured.

    Made before the measurements with the ids of all processes that take part.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = [os.getpid(), *pids]
        self._before = self._ticks()

    def share(self) -> float:
        """The share of all processors' time since then that went to other processes."""
        whole, used, own = (now - then for now, then in zip(self._ticks(), self._before, strict=True))
        return min(1.0, max(0, used - own) / whole) if whole > 0 else 0.0

    def _ticks(self) -> tuple[int, int, int]:
        """All, used (also by other guests), and our own."""
        fields = [int(value) for value in _text("/proc/stat").splitlines()[0].split()[1:9]]
        idle = fields[3] + fields[4]
        return sum(fields), sum(fields) - idle, sum(ticks_of(pid) for pid in self._pids)


def ticks_of(pid: int) -> int:
    """Clock ticks of all threads of a process in user and system mode, 0 when it is gone."""
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def our_version(binary: Path) -> str:
    """The binary's version and the checkout's commit."""
    parts = []
    for command in ([str(binary), "--version"], ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            parts.append(done.stdout.strip())
    return ", ".join(parts) or "unknown"


def peaks(binary: Path) -> dict[str, float]:
    """GFLOP/s on all threads by precision, from `guidanced bench --peak`. Raises Failed."""
    try:
        done = subprocess.run(
            [str(binary), "bench", "--peak"], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.strip()]
            raise Failed(f"status {done.returncode}: {errors[0] if errors else 'no message'}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return {name: float(found[f"{name}_gflops"]) for name in ("f32", "bf16", "int8")
                if isinstance(found.get(f"{name}_gflops"), (int, float))}
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError, AttributeError) as problem:
        raise Failed(str(problem)) from None


def _caches() -> str:
    parts = []
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = _text(entry / "type").strip()
        if kind in ("Data", "Unified"):
            parts.append(f"L{_text(entry / 'level').strip()} {_text(entry / 'size').strip()}")
    return ", ".join(parts) or "unknown"


def _memory(name: str) -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
