"""OpenVINO on the CPU, fp32 or bf16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from . import inputs
from .peer import Checkpoint, Unsupported

_PRECISIONS = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}


class OpenVINOPeer:
    """One exported tower, compiled for one batch size at a time: static shapes are its fast case."""

    def __init__(
        self, checkpoint: Checkpoint, model: Path, precision: str, threads: int
    ) -> None:
        self._checkpoint = checkpoint
        self._core = openvino.Core()
        self._path = model
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        self._batch = 0
        self._request: Any = None
        self._feed: dict[str, Any] = {}
        self._output = ""

    def versions(self) -> dict[str, str]:
        return {"openvino": str(openvino.__version__)}

    def prepare(self, work: str, batch: int) -> None:
        if work == "image":
            self._feed = {"pixels": inputs.pixels(self._checkpoint, batch)}
            self._output = "embeddings"
        elif work in ("text", "text77"):
            self._feed = {"tokens": inputs.tokens(batch, full=work == "text77")}
            self._output = "embeddings" if work == "text" else "hidden_states"
        else:
            raise Unsupported(f"OpenVINO does no {work}")
        if self._batch != batch:
            self._request = None  # the previous compilation's weights go first
            self._request = self._compile(batch)
            self._batch = batch

    def run(self) -> Any:
        self._request.infer(self._feed, share_inputs=True)
        return self._request.get_tensor(self._output).data

    def _compile(self, batch: int) -> Any:
        model = self._core.read_model(self._path)
        shapes = {}
        for port in model.inputs:
            shape = port.get_partial_shape()
            shape[0] = batch
            shapes[port.any_name] = shape
        model.reshape(shapes)
        return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
