"""Writes text encoders with random weights in every form that recipes are served from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pickled

# float16, float32, int64, or bfloat16's bits as uint16.
Weights = dict[str, NDArray[Any]]
# Writes weights into a folder.
Store = Callable[[Path, Weights], None]

VOCABULARY, CONTEXT = 49408, 77


def text_tower(seed: int, width: int, layers: int, projection: int | None) -> Weights:
    """Random weights under transformers' names, one attention head for every 64 features."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float) -> NDArray[np.float16]:
        return (rng.standard_normal(shape, dtype=np.float32) * scale).astype(np.float16)

    weights = {
        "text_model.embeddings.token_embedding.weight": normal(VOCABULARY, width, scale=0.5),
        "text_model.embeddings.position_embedding.weight": normal(CONTEXT, width, scale=0.5),
        "text_model.final_layer_norm.weight": 1 + normal(width, scale=0.2),
        "text_model.final_layer_norm.bias": normal(width, scale=0.2),
    }
    for layer in range(layers):
        name = f"text_model.encoder.layers.{layer}."
        for part in ["layer_norm1", "layer_norm2"]:
            weights[f"{name}{part}.weight"] = 1 + normal(width, scale=0.2)
            weights[f"{name}{part}.bias"] = normal(width, scale=0.2)
        for part, outputs, inputs in [
            ("self_attn.q_proj", width, width),
            ("self_attn.k_proj", width, width),
            ("self_attn.v_proj", width, width),
            ("self_attn.out_proj", width, width),
            ("mlp.fc1", 2 * width, width),
            ("mlp.fc2", width, 2 * width),
        ]:
            weights[f"{name}{part}.weight"] = normal(outputs, inputs, scale=1.5 / np.sqrt(inputs))
            weights[f"{name}{part}.bias"] = normal(outputs, scale=0.2)
    if projection is not None:
        weights["text_projection.weight"] = normal(projection, width, scale=0.4)
    return weights


def shape(weights: Weights) -> tuple[int, int]:
    """Width and number of layers."""
    width = weights["text_model.final_layer_norm.weight"].shape[0]
    return width, sum(name.endswith("layer_norm1.weight") for name in weights)


def without_last_layer(weights: Weights) -> Weights:
    """As diffusers stores Stable Diffusion 2's encoder."""
    last = f"text_model.encoder.layers.{shape(weights)[1] - 1}."
    return {name: value for name, value in weights.items() if not name.startswith(last)}


def open_clip_names(weights: Weights) -> Weights:
    """The same tower under open_clip's names: one matrix for q, k, v; the projection transposed."""
    result = {
        "token_embedding.weight": weights["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": weights["text_model.embeddings.position_embedding.weight"],
        "ln_final.weight": weights["text_model.final_layer_norm.weight"],
        "ln_final.bias": weights["text_model.final_layer_norm.bias"],
    }
    for layer in range(shape(weights)[1]):
        source = f"text_model.encoder.layers.{layer}."
        target = f"transformer.resblocks.{layer}."
        for kind in ["weight", "bias"]:
            result[f"{target}attn.in_proj_{kind}"] = np.concatenate(
                [weights[f"{source}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            )
            for mine, theirs in [
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("self_attn.out_proj", "attn.out_proj"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ]:
                result[f"{target}{theirs}.{kind}"] = weights[f"{source}{mine}.{kind}"]
    if "text_projection.weight" in weights:
        result["text_projection"] = np.ascontiguousarray(weights["text_projection.weight"].T)
    return result


def with_image_tower(weights: Weights, projection: int, width: int = 64) -> Weights:
    """An open_clip model needs both towers; this one's images are of no interest."""
    rng = np.random.default_rng(9)

    def normal(*extents: int) -> NDArray[np.float16]:
        return (rng.standard_normal(extents, dtype=np.float32) * 0.1).astype(np.float16)

    hidden = 256
    result = dict(weights)
    result |= {
        "logit_scale": np.array(3.0, dtype=np.float16),
        "visual.conv1.weight": normal(width, 3, 16, 16),
        "visual.class_embedding": normal(width),
        "visual.positional_embedding": normal(5, width),
        "visual.proj": normal(width, projection),
    }
    for name in ["visual.ln_pre", "visual.ln_post", "visual.transformer.resblocks.0.ln_1"]:
        result |= {f"{name}.weight": normal(width), f"{name}.bias": normal(width)}
    block = "visual.transformer.resblocks.0."
    result |= {f"{block}ln_2.weight": normal(width), f"{block}ln_2.bias": normal(width)}
    for name, outputs, inputs in [
        ("attn.in_proj_", 3 * width, width),
        ("attn.out_proj.", width, width),
        ("mlp.c_fc.", hidden, width),
        ("mlp.c_proj.", width, hidden),
    ]:
        result |= {
            f"{block}{name}weight": normal(outputs, inputs),
            f"{block}{name}bias": normal(outputs),
        }
    return result


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def widened(weights: Weights) -> Weights:
    """In fp32, exactly."""
    return {
        name: (value.astype(np.uint32) << 16).view(np.float32)
        if value.dtype == np.uint16
        else value.astype(np.float32)
        for name, value in weights.items()
    }


def bfloat16(weights: Weights) -> Weights:
    """The upper halves of the fp32 numbers."""
    return {
        name: (np.ascontiguousarray(value, np.float32).view(np.uint32) >> 16).astype(np.uint16).reshape(value.shape)
        for name, value in weights.items()
    }


DATATYPES = {"float16": "F16", "float32": "F32", "uint16": "BF16", "int64": "I64"}


def write(path: Path, weights: Weights) -> Path:
    """A safetensors file."""
    header: dict[str, Any] = {}
    end = 0
    for name, value in weights.items():
        start, end = end, end + value.nbytes
        header[name] = {
            "dtype": DATATYPES[value.dtype.name],
            "shape": list(value.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in weights.values():
            file.write(np.ascontiguousarray(value).tobytes())
    return path


def _write_any(path: Path, weights: Weights) -> Path:
    return write(path, weights) if path.suffix == ".safetensors" else pickled.save(path, weights)


def in_one(name: str) -> Store:
    """One file: safetensors, or a pickle by any other suffix."""

    def store(folder: Path, weights: Weights) -> None:
        _write_any(folder / name, weights)

    return store


def in_shards(name: str, count: int = 3) -> Store:
    """Several files and their index, tensors dealt out in turn."""

    def store(folder: Path, weights: Weights) -> None:
        stem, suffix = name.rsplit(".", 1)
        index: dict[str, str] = {}
        for part in range(count):
            shard = f"{stem}-{part + 1:05}-of-{count:05}.{suffix}"
            names = list(weights)[part::count]
            _write_any(folder / shard, {key: weights[key] for key in names})
            index |= dict.fromkeys(names, shard)
        document = {"metadata": {}, "weight_map": dict(sorted(index.items()))}
        (folder / f"{name}.index.json").write_text(json.dumps(document))

    return store


SAFETENSORS = in_one("model.safetensors")


def transformers_folder(
    folder: Path, weights: Weights, activation: str, store: Store = SAFETENSORS
) -> Path:
    width, layers = shape(weights)
    projection = weights.get("text_projection.weight")
    folder.mkdir(parents=True, exist_ok=True)
    store(folder, weights)
    (folder / "config.json").write_text(
        json.dumps(
            {
                "architectures": [
                    "CLIPTextModel" if projection is None else "CLIPTextModelWithProjection"
                ],
                "model_type": "clip_text_model",
                "vocab_size": VOCABULARY,
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_hidden_layers": layers,
                "num_attention_heads": width // 64,
                "max_position_embeddings": CONTEXT,
                "hidden_act": activation,
                "layer_norm_eps": 1e-5,
                "bos_token_id": 49406,
                "eos_token_id": 49407,
                "pad_token_id": 1,
                "projection_dim": width if projection is None else projection.shape[0],
            }
        )
    )
    return folder


def open_clip_folder(
    folder: Path, weights: Weights, store: Store = in_one("open_clip_model.safetensors")  # noqa: B008
) -> Path:
    width, layers = shape(weights)
    projection = weights["text_projection.weight"].shape[0]
    folder.mkdir(parents=True, exist_ok=True)
    store(folder, with_image_tower(open_clip_names(weights), projection))
    (folder / "open_clip_config.json").write_text(
        json.dumps(
            {
                "model_cfg": {
                    "embed_dim": projection,
                    "vision_cfg": {
                        "image_size": 32,
                        "layers": 1,
                        "width": 64,
                        "head_width": 64,
                        "patch_size": 16,
                    },
                    "text_cfg": {
                        "context_length": CONTEXT,
                        "vocab_size": VOCABULARY,
                        "width": width,
                        "heads": width // 64,
                        "layers": layers,
                        "mlp_ratio": 2.0,
                    },
                }
            }
        )
    )
    return folder


def diffusers_folder(
    folder: Path, pipeline: str, store: Store = SAFETENSORS, **encoders: tuple[Weights, str]
) -> Path:
    index: dict[str, Any] = {"_class_name": pipeline, "_diffusers_version": "0.42.1"}
    for name, (weights, activation) in encoders.items():
        transformers_folder(folder / name, weights, activation, store)
        kind = json.loads((folder / name / "config.json").read_text())["architectures"][0]
        index[name] = ["transformers", kind]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
