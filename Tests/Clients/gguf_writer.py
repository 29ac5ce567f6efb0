"""Writes GGUF files with some of ggml's types.

The layout is `docs/gguf.md` of ggml, the roundings are those of `quantize_row_*_ref` in its
`ggml-quants.c`. That the `gguf` package reads the same values is checked by
`Tests/Parity/test_written_files.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

Value = Union[bool, int, float, str, Sequence[str]]
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}
BLOCK, ALIGNMENT = 32, 32


def quantised(values: NDArray[Any], kind: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The blocks of a matrix in `q8_0` or `q4_0`, and the values that they stand for."""
    blocks = values.astype(np.float32).reshape(-1, BLOCK)
    if kind == "q8_0":
        scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    else:
        farthest = np.abs(blocks).argmax(axis=1)[:, None]
        scale = np.take_along_axis(blocks, farthest, axis=1) / np.float32(-8)
    with np.errstate(divide="ignore"):
        scaled = blocks * np.where(scale == 0, np.float32(0), np.float32(1) / scale)
    stored = scale.astype("<f2")
    packed: NDArray[Any]
    if kind == "q8_0":
        # Halves go away from zero, as C's roundf has it.
        numbers = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8)
        packed = numbers.view(np.uint8)
    else:
        nibbles = np.minimum(15, (scaled + np.float32(8.5)).astype(np.int8)).astype(np.uint8)
        numbers = nibbles.astype(np.int8) - np.int8(8)
        packed = nibbles[:, : BLOCK // 2] | nibbles[:, BLOCK // 2 :] << 4
    meant = numbers.astype(np.float32) * stored.astype(np.float32)
    return np.concatenate([stored.view(np.uint8), packed], axis=1), meant.reshape(values.shape)


def is_quantised(name: str, values: NDArray[Any]) -> bool:
    """Embeddings, projections and vectors stay as they are, as tools leave them."""
    spared = "embedding" in name or "embd" in name or "projection" in name
    return values.ndim == 2 and not spared and values.shape[-1] % BLOCK == 0


def dequantised(weights: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    """What a file in this type makes of weights, in fp32."""
    return {
        name: quantised(values, kind)[1] if is_quantised(name, values) else values.astype(np.float32)
        for name, values in weights.items()
    }


def write(
    path: Path, tensors: Mapping[str, NDArray[Any]], kind: str, metadata: Mapping[str, Value]
) -> Path:
    """A file of version 3. Matrices are stored as `kind`, vectors as f32 and, beside quantised
    matrices, the others as f16."""
    entries, data, offset = bytearray(), [], 0
    for name, values in tensors.items():
        if values.ndim < 2 or kind == "f32":
            stored, raw = "f32", values.astype("<f4").tobytes()
        elif kind == "f16" or not is_quantised(name, values):
            stored, raw = "f16", values.astype("<f2").tobytes()
        else:
            stored, raw = kind, quantised(values, kind)[0].tobytes()
        sizes = values.shape[::-1]
        entries += _text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        entries += struct.pack("<IQ", TYPES[stored], offset)
        padding = -len(raw) % ALIGNMENT
        data += [raw, bytes(padding)]
        offset += len(raw) + padding
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    header += b"".join(_text(key) + _value(value) for key, value in metadata.items()) + entries
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join([header, bytes(-len(header) % ALIGNMENT), *data]))
    return path


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: Value) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))


BLOCKS = {
    "layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_out",
}  # fmt: skip
TOP = {
    "embeddings.token_embedding": "token_embd", "embeddings.position_embedding": "position_embd",
    "final_layer_norm": "post_ln",
}  # fmt: skip


def clip_cpp_name(name: str, *, is_first: bool) -> str:
    """clip.cpp's name of a tensor of transformers' text tower.

    Args:
        is_first: as in its first files, which call the MLP's first matrix `ffn_down`.
    """
    if not name.startswith("text_model."):
        return name
    rest = name.removeprefix("text_model.")
    module, kind = rest.rsplit(".", 1)
    if not module.startswith("encoder.layers."):
        return f"t.{TOP[module]}.{kind}"
    layer, module = module.removeprefix("encoder.layers.").split(".", 1)
    mlp = {"mlp.fc1": "ffn_down", "mlp.fc2": "ffn_up"}
    if not is_first:
        mlp = {"mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"}
    return f"t.blk.{layer}.{(BLOCKS | mlp)[module]}.{kind}"


def clip_cpp(
    path: Path,
    weights: Mapping[str, NDArray[Any]],
    kind: str,
    *,
    gelu: bool,
    tokens: Sequence[str],
    is_first: bool = False,
) -> Path:
    """A text tower as clip.cpp's converter writes it."""
    width = weights["text_model.final_layer_norm.weight"].shape[0]
    layers = sum(name.endswith("layer_norm1.weight") for name in weights)
    metadata: dict[str, Value] = {
        "general.architecture": "clip",
        "clip.has_text_encoder": True,
        "clip.has_vision_encoder": False,
        "clip.use_gelu": gelu,
        "clip.text.embedding_length": width,
        "clip.text.feed_forward_length": 2 * width,
        "clip.text.attention.head_count": width // 64,
        "clip.text.attention.layer_norm_epsilon": 1e-5,
        "clip.text.block_count": layers,
        "tokenizer.ggml.tokens": tokens,
    }
    named = {clip_cpp_name(name, is_first=is_first): values for name, values in weights.items()}
    return write(path, named, kind, metadata)
