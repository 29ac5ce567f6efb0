"""Little memory, and images that are large although their files are small."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon import Daemon
from pictures import noise, png
from raw import Raw

SPACE = 3 << 30
SIDE = 8192
PROMPTS = {"prompts": ["a red circle"]}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon with 3 GiB of address space (`ulimit -v`)."""
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        running = Daemon(Path(folder), limits={resource.RLIMIT_AS: (SPACE, SPACE)})
        try:
            yield running
            assert running.stop() == 0, running.log.read_text()
        finally:
            running.kill()


@pytest.fixture(scope="module")
def vast() -> bytes:
    """8192 × 8192 pixels of one colour in a file of 200 KB."""
    file = png(np.full((SIDE, SIDE, 3), 90, np.uint8))
    assert len(file) < 1 << 20
    return file


def test_three_vast_images_in_one_gradient_are_refused_with_the_numbers(
    daemon: Daemon, vast: bytes
) -> None:
    with Raw(daemon.endpoint) as client:
        limits = client.ask("hello").result["limits"]
        error = client.ask("gradient", PROMPTS, [vast] * 3).error
        assert error["code"] == "too_large"
        assert str(limits["reply_bytes"]) in error["message"]
        assert str(3 * (12 * SIDE * SIDE + 8)) in error["message"]


def test_one_vast_image_is_worked_on(daemon: Daemon, vast: bytes) -> None:
    with Raw(daemon.endpoint) as client:
        answer = client.ask("gradient", {**PROMPTS, "datatype": "FP16"}, [vast], timeout=120)
        assert answer.outputs["gradient"].shape == (1, 3, SIDE, SIDE)
        assert answer.items == {}


def test_many_vast_images_are_worked_on_piece_by_piece(daemon: Daemon, vast: bytes) -> None:
    with Raw(daemon.endpoint) as client:
        answer = client.ask("score", PROMPTS, [vast] * 6, timeout=120)
        assert answer.items == {}
        assert np.ptp(answer.outputs["scores"]) == 0


def test_what_there_is_no_memory_for_is_overloaded_and_others_are_served(
    daemon: Daemon, vast: bytes
) -> None:
    with Raw(daemon.endpoint) as client, Raw(daemon.endpoint) as other:
        sent = [
            client.send("gradient", PROMPTS, [vast]),
            client.send("gradient", PROMPTS, [vast]),
            client.send("gradient", PROMPTS, [vast]),
        ]
        small = png(noise(64, 64, seed=1))
        for _ in range(5):
            assert other.ask("score", PROMPTS, [small], timeout=120).status == "ok"
        answers = [client.receive(timeout=120) for _ in sent]
        assert {answer.header["id"] for answer in answers} == set(sent)
        for answer in answers:
            if answer.status == "error":
                assert answer.error["code"] == "overloaded"
                assert answer.error["retry_after_ms"] > 0
            else:
                assert answer.outputs["gradient"].shape == (1, 3, SIDE, SIDE)
        del answers
    with Raw(daemon.endpoint) as client:
        assert client.ask("gradient", PROMPTS, [small]).status == "ok"
