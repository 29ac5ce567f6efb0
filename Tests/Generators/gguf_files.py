"""Makes the GGUF files under Tests/EncodersTests/Fixtures/gguf with the gguf package, under the names and keys that
clip.cpp's `convert_hf_to_gguf.py` writes.

    python Tests/Generators/gguf_files.py [OUTPUT_FOLDER]

`blocks.gguf` has a few rows of every type that is read, of random bits with sensible scales; beside each tensor, under its
name with `.f32` behind it, are the values that the package's own dequantisation gives.

`expected.json` holds, as `formats.py` does, digests of every tensor after the package's own dequantisation. The token
embedding and everything that is no matrix stay in F16 or F32, as clip.cpp leaves them.
"""

import json
import pathlib
import shutil
import sys

import torchvision_operators  # noqa: F401  (before transformers' image processors)

import gguf
import numpy
from transformers import CLIPConfig, CLIPModel

from formats import build, digests, text_config, vision_config

import torch

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "gguf"

BLOCKS = {"layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
          "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_out", "mlp.fc1": "ffn_down", "mlp.fc2": "ffn_up"}
TOP = {"embeddings.token_embedding.weight": "token_embd.weight", "embeddings.position_embedding.weight":
       "position_embd.weight", "embeddings.patch_embedding.weight": "patch_embd.weight",
       "embeddings.class_embedding": "class_embd", "pre_layrnorm": "pre_ln", "post_layernorm": "post_ln",
       "final_layer_norm": "post_ln"}


def clip_cpp_name(name, swapped):
    tower, rest = name.split(".", 1)
    if tower not in ("text_model", "vision_model"):
        return name
    letter = tower[0]
    if rest.startswith("encoder.layers."):
        index, rest = rest.removeprefix("encoder.layers.").split(".", 1)
        module, kind = rest.rsplit(".", 1)
        module = BLOCKS[module]
        if swapped and module.startswith("ffn"):
            module = {"ffn_down": "ffn_up", "ffn_up": "ffn_down"}[module]
        return f"{letter}.blk.{index}.{module}.{kind}"
    if rest in TOP:
        return f"{letter}.{TOP[rest]}"
    module, kind = rest.rsplit(".", 1)
    return f"{letter}.{TOP[module]}.{kind}"


def write(path, model, quantisation, *, text=True, vision=True, gelu=False, swapped=False):
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_text_encoder", text)
    writer.add_bool("clip.has_vision_encoder", vision)
    writer.add_bool("clip.use_gelu", gelu)
    config = model.config
    for tower, sizes in [("text", config.text_config), ("vision", config.vision_config)]:
        if not (text if tower == "text" else vision):
            continue
        writer.add_uint32(f"clip.{tower}.embedding_length", sizes.hidden_size)
        writer.add_uint32(f"clip.{tower}.feed_forward_length", sizes.intermediate_size)
        writer.add_uint32(f"clip.{tower}.projection_dim", config.projection_dim)
        writer.add_uint32(f"clip.{tower}.attention.head_count", sizes.num_attention_heads)
        writer.add_float32(f"clip.{tower}.attention.layer_norm_epsilon", sizes.layer_norm_eps)
        writer.add_uint32(f"clip.{tower}.block_count", sizes.num_hidden_layers)
    if text:
        writer.add_token_list([f"token{index}" for index in range(config.text_config.vocab_size)])
    if vision:
        writer.add_array("clip.vision.image_mean", [0.5, 0.25, 0.125])
        writer.add_array("clip.vision.image_std", [0.25, 0.5, 0.125])
    weights = {}
    for name, tensor in model.state_dict().items():
        if name == "logit_scale" or "position_ids" in name:
            continue
        if name.startswith("text") and not text or name.startswith("vis") and not vision:
            continue
        data = tensor.detach().numpy().astype(numpy.float32)
        stored = clip_cpp_name(name, swapped)
        is_matrix = data.ndim == 2 and name.endswith(".weight") and "embedding" not in name
        if is_matrix and quantisation not in ("F32", "F16"):
            kind = getattr(gguf.GGMLQuantizationType, quantisation)
            packed = gguf.quants.quantize(data, kind)
            writer.add_tensor(stored, packed, raw_dtype=kind)
            data = gguf.quants.dequantize(packed, kind)
        else:
            data = data.astype(numpy.float16 if data.ndim > 1 and quantisation != "F32" else numpy.float32)
            writer.add_tensor(stored, data)
        weights[name] = torch.from_numpy(numpy.array(data, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return digests(weights)


SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}


def write_blocks(path):
    """Random blocks: every bit pattern of numbers and small scales, F16 scales of both signs (in `SCALES`, where a block
    has them) down to subnormal ones."""
    random = numpy.random.default_rng(41)
    writer = gguf.GGUFWriter(path, "blocks")
    for name in [*SCALES, "BF16"]:
        kind = getattr(gguf.GGMLQuantizationType, name)
        length, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (3 * 512 // length, size), dtype=numpy.uint8)
        for place in SCALES.get(name, []):
            scales = (random.standard_normal(len(blocks)) * 10.0 ** random.uniform(-7, 0, len(blocks)))
            blocks[:, place:place + 2] = scales.astype("<f2").view(numpy.uint8).reshape(-1, 2)
        if name == "BF16":
            halves = random.standard_normal(blocks.size // 2).astype("<f4").view("<u4") >> 16
            blocks = halves.astype("<u2").view(numpy.uint8)
        rows = blocks.reshape(3, -1)
        writer.add_tensor(name, rows, raw_dtype=kind)
        writer.add_tensor(f"{name}.f32", gguf.quants.dequantize(rows, kind).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    config = CLIPConfig(text_config=text_config(num_hidden_layers=1, num_attention_heads=4).to_dict(),
                        vision_config=vision_config(num_hidden_layers=1, intermediate_size=96).to_dict(),
                        projection_dim=32)
    model = build(CLIPModel, config, 31)
    expected = {kind.lower(): write(root / f"{kind.lower()}.gguf", model, kind)
                for kind in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]}
    expected["text-gelu"] = write(root / "text-gelu.gguf", model, "Q8_0", vision=False, gelu=True)
    expected["vision-swapped"] = write(root / "vision-swapped.gguf", model, "F16", text=False, swapped=True)
    write_blocks(root / "blocks.gguf")
    (root / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {root}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
