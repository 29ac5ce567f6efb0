from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fake_daemon import FakeDaemon, Handler


@pytest.fixture
def daemon() -> Iterator[Callable[[Handler], FakeDaemon]]:
    """Starts fake daemons, and fails the test if any of them saw a request that breaks the protocol."""
    running: list[FakeDaemon] = []
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:

        def start(handler: Handler, endpoint: str | None = None, **how: Any) -> FakeDaemon:
            fake = FakeDaemon(endpoint or f"ipc://{folder}/{len(running)}", handler, **how)
            running.append(fake)
            return fake

        yield start
        for fake in running:
            fake.stop()
    assert [text for fake in running for text in fake.violations()] == []
