"""Starts the real daemon for tests, and stops it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import zmq

from raw import Raw

ROOT = Path(__file__).resolve().parents[2]


def binary() -> str:
    """The daemon's executable: GUIDANCED_BIN, or the release build."""
    path = Path(os.environ.get("GUIDANCED_BIN", ROOT / ".build/release/guidanced")).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: build the daemon, or set GUIDANCED_BIN")
    return str(path)


class Daemon:
    """A `guidanced serve` process on addresses in a folder of its own.

    `limits` are the resources that the process may have, as for `resource.setrlimit`.
    """

    def __init__(
        self, folder: Path, *arguments: str, wait: bool = True, program: Path | None = None,
        limits: dict[int, tuple[int, int]] | None = None,
    ) -> None:
        self.endpoint = f"ipc://{folder}/work"
        self.control = f"ipc://{folder}/control"
        self.log = folder / "log"
        command = [str(program or binary()), "serve", "--bind", self.endpoint]
        command += ["--control", self.control, *arguments]

        def limit() -> None:
            for kind, values in (limits or {}).items():
                resource.setrlimit(kind, values)

        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=limit
            )
        if wait:
            self.wait_until_ready()

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Asks `health` on the control endpoint until the daemon is ready."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended by itself:\n{self.log.read_text()}")
            with Raw(self.control) as control:
                try:
                    if control.ask("health", timeout=1).result["ready"]:
                        return
                except zmq.Again:
                    continue
            time.sleep(0.05)
        raise AssertionError(f"the daemon was not ready in {seconds} s:\n{self.log.read_text()}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        """SIGTERM, and the exit status; the process is gone afterwards in any case."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
