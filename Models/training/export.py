"""Write a checkpoint as a transformers directory.

``python export.py --run runs/default --name polish --out ../default``

Weights are stored as float16: half the size, and exact for whoever widens them again. They are
rounded before anything is measured, so the numbers in the card are those of the files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import CLIP, ModelShape
from tokenizer import END, START, Tokenizer
from loader import MEAN, STD


def configuration(shape: ModelShape) -> dict[str, object]:
    """``config.json`` of transformers' ``CLIPModel``."""
    common = {
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "attention_dropout": 0.0,
        "projection_dim": shape.projection,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
    }
    end = shape.vocabulary - 1
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "dtype": "float16",
        "projection_dim": shape.projection,
        "logit_scale_init_value": 2.6592,
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.text.width,
            "intermediate_size": 4 * shape.text.width,
            "num_hidden_layers": shape.text.layers,
            "num_attention_heads": shape.text.heads,
            "max_position_embeddings": shape.context,
            "bos_token_id": end - 1,
            "eos_token_id": end,
            "pad_token_id": end,
            **common,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": shape.vision.width,
            "intermediate_size": 4 * shape.vision.width,
            "num_hidden_layers": shape.vision.layers,
            "num_attention_heads": shape.vision.heads,
            "image_size": shape.image_size,
            "patch_size": shape.patch_size,
            "num_channels": 3,
            **common,
        },
    }


def preprocessing(shape: ModelShape) -> dict[str, object]:
    """``preprocessor_config.json``: resize the shorter side (bicubic), crop, normalise."""
    side = shape.image_size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "do_convert_rgb": True,
    }


def added_token(content: str, index: int) -> dict[str, object]:
    """An entry of ``added_tokens`` in ``tokenizer.json``."""
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def fast_tokenizer(tokenizer: Tokenizer) -> dict[str, object]:
    """``tokenizer.json``: the same tokenizer in the fast library's format."""
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(START, tokenizer.start), added_token(END, tokenizer.end)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": pattern},
                    "behavior": "Removed",
                    "invert": True,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": True,
                },
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, tokenizer.end],
            "cls": [START, tokenizer.start],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": tokenizer.vocabulary,
            "merges": [" ".join(m) for m in tokenizer.merges],
        },
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--name", default="polish", help="the stage whose checkpoint it is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--last", action="store_true", help="the last weights, not their average")
    args = parser.parse_args()
    saved = torch.load(args.run / f"{args.name}.pt", weights_only=True, map_location="cpu")
    shape = ModelShape.from_dict(saved["shape"])
    model = CLIP(shape)
    model.load_state_dict(saved["model" if args.last else "average"])
    tokenizer = Tokenizer.load(args.run)
    tokenizer.save(args.out, shape.context)
    (args.out / "tokenizer.json").write_text(
        json.dumps(fast_tokenizer(tokenizer), ensure_ascii=False) + "\n"
    )
    write_json(args.out / "config.json", configuration(shape))
    write_json(args.out / "preprocessor_config.json", preprocessing(shape))
    tensors = {k: v.half().contiguous() for k, v in model.exported().items()}
    weights = args.out / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    count = sum(v.numel() for v in tensors.values())
    print(f"step {saved['step']}, {saved['elapsed'] / 60:.1f} minutes, {count} parameters")


if __name__ == "__main__":
    main()
