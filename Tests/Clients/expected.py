"""Reads the small diffusers pipelines of Tests/DaemonTests/Fixtures and what is expected of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIPELINES = Path(__file__).resolve().parents[1] / "DaemonTests" / "Fixtures" / "pipelines"
NAMES = sorted(path.name for path in PIPELINES.iterdir())


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of one pipeline, with each output's expected values under its name."""
    tensors = safetensors(PIPELINES / name / "expected.safetensors")
    listed = json.loads((PIPELINES / name / "expected.json").read_text())["cases"]
    for case in listed:
        case["outputs"] = {key: tensors[place] for key, place in case["outputs"].items()}
    return list(listed)


def safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The fp32 tensors of a file."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", path
        start, stop = entry["data_offsets"]
        values = np.frombuffer(data[end + start : end + stop], dtype=np.float32)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def pictures() -> list[NDArray[np.uint8]]:
    """The pictures that Tests/Generators/pipelines.py draws."""
    result = []
    for number, (height, width) in enumerate([(40, 56), (28, 28), (64, 33)]):
        y, x, c = np.meshgrid(range(height), range(width), range(3), indexing="ij")
        result.append(((x * (5 + number) + y * 3 * (c + 1) + 40 * number) % 256).astype(np.uint8))
    return result


def assert_close(observed: NDArray[Any], expected: NDArray[Any], what: str = "") -> None:
    """Within 2e-4 of the largest value, and with the same direction."""
    assert observed.shape == expected.shape, what
    largest = np.abs(expected).max()
    assert np.abs(observed - expected).max() <= 2e-4 * largest, what
    if largest > 0:
        a, b = observed.ravel().astype(np.float64), expected.ravel().astype(np.float64)
        assert a @ b / np.sqrt((a @ a) * (b @ b)) >= 0.999999, what
