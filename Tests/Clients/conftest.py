from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon import Daemon
from raw import Raw


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """One daemon on the embedded model for all tests that leave it running."""
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        running = Daemon(Path(folder))
        yield running
        assert running.process.poll() is None, running.log.read_text()
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def raw(daemon: Daemon) -> Iterator[Raw]:
    """A DEALER to the shared daemon; the daemon must still answer it after the test."""
    with Raw(daemon.endpoint) as client:
        yield client
    with Raw(daemon.endpoint) as after:
        assert after.ask("ping").status == "ok"
    assert daemon.process.poll() is None


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons of a test's own, each on new addresses; they are killed when it ends."""
    running: list[Daemon] = []
    with tempfile.TemporaryDirectory(prefix="guidanced-") as base:

        def begin(*arguments: str, folder: Path | None = None, wait: bool = True) -> Daemon:
            if folder is None:
                folder = Path(base) / str(len(running))
                folder.mkdir()
            running.append(Daemon(folder, *arguments, wait=wait))
            return running[-1]

        yield begin
        for daemon in running:
            daemon.kill()
