"""Large arrays and tensors go out and come in without a copy."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from fake_daemon import Request, reply
from guidanced import Client
from guidanced.images import inputs_of
from guidanced.wire import as_frame


def test_frames_are_the_callers_memory() -> None:
    image = np.zeros((3, 700, 700), np.float32)
    (entry,) = inputs_of(image)
    assert np.shares_memory(np.frombuffer(as_frame(entry.payload), np.float32), image)


def test_results_are_the_replies_memory(daemon) -> None:
    def handler(request: Request) -> Any:
        count = request.items()
        return [
            reply(
                request,
                {},
                {
                    "gradient": np.ones((count, 3, 64, 64)),
                    "loss": np.zeros(count),
                    "score": np.zeros(count),
                    "embeddings": np.ones((count, 4096)),
                },
            )
        ]

    with Client(daemon(handler).endpoint) as g:
        pixels = np.zeros((2, 3, 64, 64), np.float32)
        for array in (g.embed_image(pixels), g.gradient(pixels, "a").gradient):
            assert array.flags.writeable and not array.flags.owndata
            assert isinstance(lowest(array), memoryview)


def lowest(array: Any) -> Any:
    """What an array's memory belongs to."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_torch_shares_the_memory_both_ways(daemon) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(3, 600, 600)
    (entry,) = inputs_of(tensor)
    assert np.asarray(entry.payload).ctypes.data == tensor.data_ptr()

    def handler(request: Request) -> Any:
        return [reply(request, {}, {"embeddings": np.ones((1, 4096))})]

    with Client(daemon(handler).endpoint) as g:
        rows = g.embed_image(tensor)
    for made in (torch.from_numpy(rows), torch.from_dlpack(rows)):
        assert made.data_ptr() == rows.ctypes.data
        made += 1
    assert rows[0, 0] == 3


def test_a_large_call_holds_no_more_than_two_of_its_requests(daemon, tmp_path: Any) -> None:
    size = 4 << 20
    paths = [tmp_path / f"{index}.png" for index in range(80)]
    for path in paths:
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
            file.truncate(size)
    held: list[int] = []

    def handler(request: Request) -> Any:
        traces = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(True, "*/guidanced/pieces.py")]
        )
        held.append(sum(trace.size for trace in traces.traces))
        return [reply(request, {}, {"embeddings": np.ones((request.items(), 1))})]

    tracemalloc.start()
    try:
        with Client(daemon(handler).endpoint) as g:
            assert g.embed_image(paths).shape == (80, 1)
    finally:
        tracemalloc.stop()
    assert len(held) == 5
    assert max(held) < 2 * (64 << 20) + 2 * size
