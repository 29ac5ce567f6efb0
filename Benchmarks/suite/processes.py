"""Processes that are measured: their start, their memory, and why they ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .rounds import Failed

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child: killed when the benchmark dies, since a stopped process cannot notice."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str],
    log: Path,
    *,
    is_asked: bool = False,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a process that does not outlive the benchmark.

    What it says goes to ``log``; of one that is asked by lines, only its errors do, and its input and
    output are pipes.

    Raises Failed when there is no such program.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        try:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE if is_asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_asked else file, stderr=file, cwd=cwd,
                env={**os.environ, **(environment or {})}, preexec_fn=_end_with_parent)
        except OSError as problem:
            raise Failed(f"{command[0]}: {problem.strerror}") from None


def ending(status: int, log: Path) -> str:
    """How a process ended, and the line of its log that says why: the first error, or the last line."""
    logged = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    logged = [line for line in logged if "rror" in line][:1] or logged[-1:]
    return ": ".join([f"ended with status {status}", *(line.strip()[:200] for line in logged)])


def memory_of(pid: int) -> dict[str, int]:
    """The memory lines of /proc/PID/status, in bytes."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            found[name] = int(value.split()[0]) * 1024
    return found
