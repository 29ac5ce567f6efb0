"""A peer behind the line protocol that `guidanced bench --interactive` speaks too.

    python -m peers.worker --engine ENGINE --precision f32|bf16 --tower vision|text
        --checkpoint FOLDER [--onnx FILE] --threads N

Standard output has JSON lines only: at first ``{"ready": true, "threads", "load_seconds",
"versions"}``, then one answer for each line ``WORK BATCH`` on standard input:
``{"work", "batch", "seconds"}``, or ``{"error": …}``. What the libraries print goes to standard
error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from .peer import Checkpoint, Peer, Unsupported

ENGINES = ("torch", "torch-compile", "onnxruntime", "openvino")


def make(arguments: argparse.Namespace) -> Peer:
    """Imports the engine and loads the tower."""
    checkpoint = Checkpoint.read(arguments.checkpoint)
    if arguments.engine in ("torch", "torch-compile"):
        import torch

        from .torch_peer import TorchPeer

        torch.set_num_threads(arguments.threads)
        compiled = arguments.engine == "torch-compile"
        return TorchPeer(checkpoint, arguments.tower, arguments.precision, compiled)
    if arguments.onnx is None:
        raise Unsupported(f"{arguments.engine} needs an exported tower")
    if arguments.engine == "onnxruntime":
        from .onnx_peer import OnnxPeer

        if arguments.precision != "f32":
            raise Unsupported("ONNX Runtime's CPU provider computes these towers in f32 only")
        return OnnxPeer(checkpoint, arguments.onnx, arguments.threads)
    from .openvino_peer import OpenVINOPeer

    return OpenVINOPeer(checkpoint, arguments.onnx, arguments.precision, arguments.threads)


def answer(peer: Peer, line: str) -> dict[str, Any]:
    """One measurement."""
    work, _, number = line.partition(" ")
    try:
        batch = int(number)
        peer.prepare(work, batch)
        start = time.perf_counter()
        peer.run()
        seconds = time.perf_counter() - start
    except Exception as problem:  # the row that asked becomes a gap, the others go on
        return {"error": describe(problem)}
    return {"work": work, "batch": batch, "seconds": seconds}


def describe(problem: BaseException) -> str:
    """The kind of an exception and the first line of what it says."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0][:300]}" if lines else type(problem).__name__


def private_output() -> TextIO:
    """Standard output for us alone: file descriptor 1 becomes standard error."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--precision", choices=("f32", "bf16"), required=True)
    parser.add_argument("--tower", choices=("vision", "text"), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--onnx", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    output = private_output()

    def say(document: dict[str, Any]) -> None:
        output.write(json.dumps(document) + "\n")
        output.flush()

    start = time.perf_counter()
    try:
        peer = make(arguments)
    except Exception as problem:
        say({"error": describe(problem)})
        sys.exit(1)
    say({"ready": True, "threads": arguments.threads,
         "load_seconds": time.perf_counter() - start, "versions": peer.versions()})
    for line in sys.stdin:
        say(answer(peer, line.strip()))


if __name__ == "__main__":
    main()
