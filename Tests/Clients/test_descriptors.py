"""More connections than the process may have descriptors."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon import Daemon
from raw import Raw

LIMIT = 1024
IDLE = 1100


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that may have 1,024 descriptors and no more, also on TCP; of which we may have enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 500:
        pytest.skip(f"this user may have {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + 500, hard))
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # A limit of 512 to begin with: the daemon raises it to what it may have.
        running = Daemon(
            Path(folder), "--bind", f"tcp://127.0.0.1:{port}",
            limits={resource.RLIMIT_NOFILE: (LIMIT // 2, LIMIT)},
        )
        running.port = port  # type: ignore[attr-defined]
        try:
            yield running
        finally:
            running.kill()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(daemon: Daemon, kind: str) -> socket.socket | None:
    """An idle connection; `None` when the queue of those to be accepted is full."""
    if kind == "ipc":
        end = socket.socket(socket.AF_UNIX)
        address: object = daemon.endpoint.removeprefix("ipc://")
    else:
        end = socket.socket()
        address = ("127.0.0.1", daemon.port)  # type: ignore[attr-defined]
    end.settimeout(5)
    try:
        end.connect(address)
    except (BlockingIOError, TimeoutError):
        end.close()
        return None
    return end


@pytest.mark.parametrize("kind", ["ipc", "tcp"])
def test_idle_connections_beyond_the_limit_disturb_nobody(daemon: Daemon, kind: str) -> None:
    with Raw(daemon.endpoint) as early, Raw(daemon.control) as control:
        early.ask("ping")
        before = control.ask("status").result["descriptors"]
        assert before["limit"] == LIMIT and before["accepting"] is True
        assert before["refused_connections"] == 0
        idle = [connect(daemon, kind) for _ in range(IDLE)]
        assert all(idle), "the daemon does not take connections off the queue"
        end = time.monotonic() + 20
        while control.ask("status").result["descriptors"]["accepting"]:
            assert time.monotonic() < end, "all were accepted"
            time.sleep(0.05)
        state = control.ask("status").result["descriptors"]
        assert 0 < state["refused_connections"]
        # Whoever is connected is served, also with work that opens files.
        assert early.ask("embed_text", {"texts": ["a cat"]}).status == "ok"
        fixtures = Path(__file__).parent.parent / "DaemonTests/Fixtures/adapters"
        load = {"kind": "embedding", "name": "toy", "path": str(fixtures / "cat-toy.safetensors")}
        assert control.ask("load", load).status == "ok"
        held = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
        assert LIMIT - state["reserved"] <= held <= LIMIT - state["reserved"] + 8
        end = time.monotonic() + 5
        while "connections refused" not in daemon.log.read_text():
            assert time.monotonic() < end, daemon.log.read_text()
            time.sleep(0.05)
        for connection in idle:
            if connection:
                connection.close()
        # Newcomers are served again.
        with Raw(daemon.endpoint) as late:
            assert late.ask("embed_text", {"texts": ["a cat"]}, timeout=30).status == "ok"
        end = time.monotonic() + 5
        while "accepted again" not in daemon.log.read_text():
            assert time.monotonic() < end, daemon.log.read_text()
            time.sleep(0.05)
        assert control.ask("status").result["descriptors"]["accepting"] is True
    assert daemon.stop() == 0
