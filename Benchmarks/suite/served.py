"""A real `guidanced serve` for the rows about the daemon."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq

from guidanced import Client

from .models import LOGS
from .processes import ending, memory_of, start
from .rounds import Failed


class Wire:
    """A bare DEALER: frames that were made before, for figures without a client's share."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 1)
        self._socket.connect(endpoint)

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._context.term()

    def ask(self, header: bytes, timeout: float) -> bytes | None:
        """A request without inputs and its reply's header, or None after ``timeout`` seconds."""
        self._socket.send_multipart([b"GD01", header])
        if not self._socket.poll(int(1000 * timeout)):
            return None
        return self._socket.recv_multipart()[1]


class Served:
    """The daemon on addresses of its own, ready unless ``wait`` is false; ``seconds`` is how long that took.

    Raises Failed when it ends by itself or is not ready in time.
    """

    def __init__(
        self, binary: Path, name: str, *arguments: str, timeout: float = 120, wait: bool = True
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="guidanced-bench-")
        self.endpoint = f"ipc://{self._folder.name}/work"
        self.control = f"ipc://{self._folder.name}/control"
        self._log = LOGS / f"serve-{name}.log"
        command = [str(binary), "serve", "--bind", self.endpoint, "--control", self.control]
        begin = time.perf_counter()
        self.process = start([*command, *arguments], self._log)
        try:
            if wait:
                self._wait_until_ready(begin + timeout)
        except BaseException:
            self.close()
            raise
        self.seconds = time.perf_counter() - begin

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def client(self) -> Client:
        return Client(self.endpoint, control=self.control, timeout=300)

    def resident(self) -> int:
        """Bytes."""
        return memory_of(self.process.pid)["VmRSS"]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._folder.cleanup()

    def _wait_until_ready(self, end: float) -> None:
        with Wire(self.control) as wire:
            number = 0
            while time.perf_counter() < end:
                if self.process.poll() is not None:
                    raise Failed(f"serve {ending(self.process.returncode, self._log)}")
                number += 1
                header = json.dumps({"id": f"h{number}", "op": "health"}).encode()
                answer = wire.ask(header, timeout=0.5)
                if answer is not None and self._is_ready(answer):
                    return
                time.sleep(0.001)
        raise Failed("serve was not ready in time")

    @staticmethod
    def _is_ready(answer: bytes) -> bool:
        reply: dict[str, Any] = json.loads(answer)
        return reply.get("status") == "ok" and reply.get("result", {}).get("ready") is True
