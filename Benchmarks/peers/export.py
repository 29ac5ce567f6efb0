"""Exports one tower of a checkpoint to ONNX with a dynamic batch.

    python -m peers.export CHECKPOINT vision|text OUTPUT.onnx

Inputs ``pixels`` [N, 3, S, S] or ``tokens`` [N, 77]; outputs ``embeddings`` [N, D] and, of a text
tower, ``hidden_states`` [N, 77, W].
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from . import inputs
from .peer import Checkpoint
from .torch_peer import load


def export(folder: Path, tower: str, output: Path) -> None:
    """Writes ``output`` and its weights beside it."""
    checkpoint = Checkpoint.read(folder)
    module = load(checkpoint, tower, torch.float32)
    if tower == "vision":
        example, name = torch.from_numpy(inputs.pixels(checkpoint, 2)), "pixels"
        results = ["embeddings"]
    else:
        example, name = torch.from_numpy(inputs.tokens(2, full=False)), "tokens"
        results = ["embeddings", "hidden_states"]
    output.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        program = torch.onnx.export(
            module, (example,), dynamo=True, external_data=True, verbose=False,
            input_names=[name], output_names=results,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    program.save(output, external_data=True)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[2] not in ("vision", "text"):
        sys.exit(__doc__)
    export(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
