"""The models that the golden replies are made with.

Weights are dyadic numbers from a counter-based generator, so that every machine and every version of
numpy writes the same bytes. The pipelines are the committed ones of Tests/DaemonTests/Fixtures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import checkpoints as make

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "DaemonTests" / "Fixtures"
PIPELINES = ["sd1", "sd2", "sdxl", "sdxl-refiner", "sd3-clip", "flux-clip"]
LORAS = ["ink", "wash", "ink-xl"]
EMBEDDINGS = ["cat-toy", "cat-toy-xl"]
Normal = Callable[..., NDArray[np.float16]]


def generator(seed: int) -> Normal:
    """Values k/512 for integers k between -511 and 511, times a power of two."""
    bits = np.random.PCG64(seed)

    def values(*shape: int, scale: float) -> NDArray[np.float16]:
        numbers = (bits.random_raw(int(np.prod(shape))) >> np.uint64(54)).astype(np.int64)
        spread = (np.clip(numbers, 1, 1023) - 512).astype(np.float32) / 512
        return (spread * np.float32(scale)).reshape(shape).astype(np.float16)

    return values


def _block(values: Normal, name: str, width: int, hidden: int) -> make.Weights:
    found: make.Weights = {}
    for part in ["layer_norm1", "layer_norm2"]:
        found[f"{name}{part}.weight"] = 1 + values(width, scale=0.25)
        found[f"{name}{part}.bias"] = values(width, scale=0.25)
    for part, outputs, inputs in [
        ("self_attn.q_proj", width, width),
        ("self_attn.k_proj", width, width),
        ("self_attn.v_proj", width, width),
        ("self_attn.out_proj", width, width),
        ("mlp.fc1", hidden, width),
        ("mlp.fc2", width, hidden),
    ]:
        found[f"{name}{part}.weight"] = values(outputs, inputs, scale=0.25)
        found[f"{name}{part}.bias"] = values(outputs, scale=0.25)
    return found


def text_tower(seed: int, width: int, layers: int, projection: int) -> make.Weights:
    """Under transformers' names, with CLIP's vocabulary."""
    values = generator(seed)
    found = {
        "text_model.embeddings.token_embedding.weight": values(make.VOCABULARY, width, scale=1),
        "text_model.embeddings.position_embedding.weight": values(make.CONTEXT, width, scale=0.5),
    }
    for layer in range(layers):
        found |= _block(values, f"text_model.encoder.layers.{layer}.", width, 2 * width)
    found["text_model.final_layer_norm.weight"] = 1 + values(width, scale=0.25)
    found["text_model.final_layer_norm.bias"] = values(width, scale=0.25)
    found["text_projection.weight"] = values(projection, width, scale=0.5)
    return found


def image_tower(
    seed: int, width: int, layers: int, hidden: int, size: int, patch: int, projection: int
) -> make.Weights:
    values = generator(seed)
    positions = (size // patch) ** 2 + 1
    found = {
        "vision_model.embeddings.class_embedding": values(width, scale=1),
        "vision_model.embeddings.patch_embedding.weight": values(width, 3, patch, patch, scale=0.125),
        "vision_model.embeddings.position_embedding.weight": values(positions, width, scale=0.5),
    }
    for norm in ["pre_layrnorm", "post_layernorm"]:
        found[f"vision_model.{norm}.weight"] = 1 + values(width, scale=0.25)
        found[f"vision_model.{norm}.bias"] = values(width, scale=0.25)
    for layer in range(layers):
        found |= _block(values, f"vision_model.encoder.layers.{layer}.", width, hidden)
    found["visual_projection.weight"] = values(projection, width, scale=0.5)
    return found


def clip(
    folder: Path, seed: int, activation: str, *, layers: int, width: int, heads: int, hidden: int,
    size: int, patch: int, projection: int,
) -> Path:  # fmt: skip
    """Both towers in transformers' layout; the sizes are the image tower's."""
    folder.mkdir(parents=True)
    weights = text_tower(seed, 64, 3, projection)
    weights |= image_tower(seed + 1, width, layers, hidden, size, patch, projection)
    make.write(folder / "model.safetensors", weights | {"logit_scale": np.array(3.5, np.float16)})
    common = {"hidden_act": activation, "layer_norm_eps": 1e-5}
    text = common | {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2,
        "vocab_size": make.VOCABULARY, "max_position_embeddings": make.CONTEXT,
        "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 1,
    }  # fmt: skip
    vision = common | {
        "hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": heads, "image_size": size, "patch_size": patch, "num_channels": 3,
    }  # fmt: skip
    document = {
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": projection,
        "text_config": text, "vision_config": vision,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(document))
    return folder


def open_clip(folder: Path) -> Path:
    """Both towers in open_clip's layout: GELU, patches of 7 on 35 pixels, its preprocessing."""
    text = text_tower(3, 64, 2, 40)
    weights = make.open_clip_names(text)
    width, hidden, layers = 52, 130, 2
    image = image_tower(4, width, layers, hidden, 35, 7, 40)
    weights |= {
        "logit_scale": np.array(3.25, np.float16),
        "visual.class_embedding": image["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": image["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": image["vision_model.embeddings.position_embedding.weight"],
        "visual.proj": np.ascontiguousarray(image["visual_projection.weight"].T),
    }
    for mine, theirs in [("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")]:
        for kind in ["weight", "bias"]:
            weights[f"visual.{mine}.{kind}"] = image[f"vision_model.{theirs}.{kind}"]
    for layer in range(layers):
        source = f"vision_model.encoder.layers.{layer}."
        target = f"visual.transformer.resblocks.{layer}."
        for kind in ["weight", "bias"]:
            weights[f"{target}attn.in_proj_{kind}"] = np.concatenate(
                [image[f"{source}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            )
            for theirs, mine in [
                ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                ("self_attn.out_proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
            ]:  # fmt: skip
                weights[f"{target}{mine}.{kind}"] = image[f"{source}{theirs}.{kind}"]
    make.write(folder / "open_clip_model.safetensors", weights)
    document = {
        "model_cfg": {
            "embed_dim": 40,
            "vision_cfg": {
                "image_size": 35, "layers": layers, "width": width, "head_width": 26,
                "patch_size": 7, "mlp_ratio": hidden / width,
            },
            "text_cfg": {
                "context_length": make.CONTEXT, "vocab_size": make.VOCABULARY, "width": 64,
                "heads": 1, "layers": 2, "mlp_ratio": 2.0,
            },
        },
        "preprocess_cfg": {
            "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
        },
    }  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    return folder


def arguments(folder: Path) -> list[str]:
    """What `guidanced serve` is started with; writes the models into `folder`."""
    quick = clip(
        folder / "clip", 1, "quick_gelu", layers=4, width=80, heads=5, hidden=176, size=64, patch=16,
        projection=48,
    )  # fmt: skip
    # Patches that do not fill the image.
    tanh = clip(
        folder / "tanh", 11, "gelu_pytorch_tanh", layers=2, width=20, heads=5, hidden=33, size=29,
        patch=9, projection=24,
    )  # fmt: skip
    found = ["--model", f"clip={quick}", "--precision", "clip=f32,bf16,int8"]
    found += ["--model", f"open={open_clip(folder / 'open')}", "--precision", "open=f32,bf16,int8"]
    found += ["--model", f"tanh={tanh}", "--precision", "tanh=f32,bf16"]
    for name in PIPELINES:
        found += ["--model", f"{name}={FIXTURES / 'pipelines' / name}", "--precision", f"{name}=f32,bf16"]
    for name in LORAS:
        found += ["--lora", f"{name}={FIXTURES / 'adapters' / name}.safetensors"]
    for name in EMBEDDINGS:
        found += ["--embedding", f"<{name}>={FIXTURES / 'adapters' / name}.safetensors"]
    return found
