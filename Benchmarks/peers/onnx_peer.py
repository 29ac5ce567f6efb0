"""ONNX Runtime on its CPU provider, fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from . import inputs
from .peer import Checkpoint, Unsupported


class OnnxPeer:
    """One exported tower with all of the runtime's graph optimisations."""

    def __init__(self, checkpoint: Checkpoint, model: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self._checkpoint = checkpoint
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._feed: dict[str, Any] = {}
        self._outputs: list[str] = []

    def versions(self) -> dict[str, str]:
        return {"onnxruntime": onnxruntime.__version__}

    def prepare(self, work: str, batch: int) -> None:
        if work == "image":
            self._feed = {"pixels": inputs.pixels(self._checkpoint, batch)}
            self._outputs = ["embeddings"]
        elif work in ("text", "text77"):
            self._feed = {"tokens": inputs.tokens(batch, full=work == "text77")}
            self._outputs = ["embeddings"] if work == "text" else ["hidden_states"]
        else:
            raise Unsupported(f"ONNX Runtime does no {work}")

    def run(self) -> Any:
        return self._session.run(self._outputs, self._feed)
