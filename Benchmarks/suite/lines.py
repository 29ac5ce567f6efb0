"""A process that measures: one line asks, one JSON line answers."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .processes import ending, memory_of, start
from .rounds import Failed

_LONGEST_LINE = 1 << 20


class LineProcess:
    """`guidanced bench --interactive`, or a peer's worker.

    Between measurements it is stopped (SIGSTOP), so that no thread of it spins while another is
    measured.

    Raises Failed when the process does not start, ends, is silent, or answers an error.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 600,
        timeout: float = 1800,
    ) -> None:
        self.name = name
        self.timeout = timeout
        self._log = log
        self._pending = b""
        self.process = start(command, log, is_asked=True, cwd=cwd, environment=environment)
        assert self.process.stdin is not None and self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        try:
            self.ready = self._read(start_timeout)
            if self.ready.get("ready") is not True:
                raise Failed(f"expected a line with \"ready\": true, found {self.ready}")
        except Failed:
            self.close()
            raise
        self._pause()

    def __enter__(self) -> LineProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def measure(self, work: str, batch: int) -> float:
        """The seconds that one run of the work took, as the process itself measured them."""
        begin = time.perf_counter()
        answer = self.ask(f"{work} {batch}")
        outside = time.perf_counter() - begin
        if (answer.get("work"), answer.get("batch")) != (work, batch):
            raise Failed(f"asked for {work} {batch}, answered {answer}")
        seconds = answer.get("seconds")
        if not isinstance(seconds, (int, float)) or not 0 < seconds <= outside:
            raise Failed(f"expected seconds in 0…{outside:.3f}, found {seconds!r}")
        return float(seconds)

    def ask(self, line: str) -> dict[str, Any]:
        """One line and its answer."""
        try:
            self._signal(signal.SIGCONT)
            self._input.write(line.encode() + b"\n")
            self._input.flush()
        except (BrokenPipeError, ProcessLookupError):
            raise Failed(self._ending()) from None
        answer = self._read(self.timeout)
        self._pause()
        return answer

    def memory(self) -> dict[str, int]:
        """Bytes by /proc/PID/status: ``VmRSS``, ``RssAnon``, ``RssFile``, ``VmHWM``."""
        return memory_of(self.process.pid)

    def close(self) -> None:
        """Ends the process; a second call does nothing."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # what it never read
            self._input.close()
        self._output.close()

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def _pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def _read(self, timeout: float) -> dict[str, Any]:
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.close()
                    raise Failed(f"no answer in {timeout:g} s")
                data = os.read(self._output.fileno(), 65536)
                if not data:
                    raise Failed(self._ending())
                self._pending += data
                if len(self._pending) > _LONGEST_LINE:
                    self.close()
                    raise Failed("an answer of more than 1 MiB")
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            raise Failed(f"expected a JSON line, found {line[:100]!r}") from None
        if not isinstance(answer, dict):
            raise Failed(f"expected a JSON object, found {line[:100]!r}")
        if "error" in answer:
            self._pause()
            raise Failed(str(answer["error"]))
        return answer

    def _ending(self) -> str:
        """How the process ended, or that it did not."""
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "closed its output and goes on"
        return ending(status, self._log)
