"""Makes the small checkpoints under Tests/EncodersTests/Fixtures/formats: the same few towers in every form that people
keep them in, written by torch, safetensors, transformers and open_clip.

    python Tests/Generators/formats.py [OUTPUT_FOLDER]

`expected.json` says for each of them the format, the towers by role, and the SHA-256 (first 16 digits) of every tensor
after widening to fp32, under transformers' names. Where a tower is stored under open_clip's names, transformers' model
with the translated weights is run beside open_clip's first, so that the translation itself is checked.

The tensors beside the text towers (UNet, VAE) are NaN throughout: whoever reads them fails.
"""

import collections
import hashlib
import json
import pathlib
import zipfile
import shutil
import sys
import types

import torchvision_operators  # noqa: F401  (before open_clip)

import numpy
import open_clip
import torch
from safetensors.torch import save_file
from transformers import (
    CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from models import liven

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "formats"
SMALL_VOCABULARY = HERE.parent / "EncodersTests" / "Fixtures" / "text" / "small" / "plain"

WIDTH, CONTEXT, VOCABULARY = 64, 12, 60
expected = {}


def save_script(module, path):
    """Saves a TorchScript archive without its debug tables, which hold the paths of the machine that wrote it."""
    torch.jit.save(module, path)
    without_debug(path)


def without_debug(path):
    """Rewrites an archive without `.debug_pkl` entries, each value on a 64-byte boundary as torch writes it."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith(".debug_pkl")]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            header = archive.fp.tell() + 30 + len(name.encode())
            padding = -(header + 4) % 64
            entry.extra = b"FB" + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(entry, data)


def text_config(**changes):
    sizes = dict(vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=2,
                 num_attention_heads=1, max_position_embeddings=CONTEXT, bos_token_id=VOCABULARY - 2,
                 eos_token_id=VOCABULARY - 1, pad_token_id=0, projection_dim=40)
    return CLIPTextConfig(**(sizes | changes))


def vision_config(**changes):
    sizes = dict(hidden_size=WIDTH, intermediate_size=80, num_hidden_layers=2, num_attention_heads=1, image_size=16,
                 patch_size=8, projection_dim=40)
    return CLIPVisionConfig(**(sizes | changes))


def build(kind, config, seed):
    torch.manual_seed(seed)
    model = kind(config)
    liven(model, torch.Generator().manual_seed(seed))
    return model.eval()


def build_open_clip(seed, layers, joint, quick=False, vision=None):
    torch.manual_seed(seed)
    model = open_clip.CLIP(
        embed_dim=joint, quick_gelu=quick,
        vision_cfg=vision or {"image_size": 16, "layers": 1, "width": WIDTH, "patch_size": 8, "mlp_ratio": 1.0},
        text_cfg={"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": WIDTH, "heads": 1, "layers": layers,
                  "mlp_ratio": 1.5})
    liven(model, torch.Generator().manual_seed(seed))
    return model.eval()


def state(model, tower="text_model."):
    """A transformers model's tensors under the names of a checkpoint with both towers."""
    weights = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(("embeddings.", "encoder.", "final_layer_norm.", "pre_layrnorm.", "post_layernorm.")):
            name = tower + name
        weights[name] = tensor.detach().clone()
    return weights


def translated(weights, stem, tower):
    """open_clip's tower under transformers' names."""
    result = {}
    blocks = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
              "mlp.c_proj": "mlp.fc2"}
    for name, tensor in weights.items():
        if not name.startswith(stem + "transformer.resblocks."):
            continue
        index, rest = name.removeprefix(stem + "transformer.resblocks.").split(".", 1)
        prefix = f"{tower}encoder.layers.{index}."
        if rest.startswith("attn.in_proj_"):
            for letter, part in zip("qkv", tensor.chunk(3)):
                result[f"{prefix}self_attn.{letter}_proj.{rest.removeprefix('attn.in_proj_')}"] = part.clone()
        else:
            module, kind = rest.rsplit(".", 1)
            result[f"{prefix}{blocks[module]}.{kind}"] = tensor
    return result


def text_from_open_clip(weights):
    result = translated(weights, "", "text_model.")
    result["text_model.embeddings.token_embedding.weight"] = weights["token_embedding.weight"]
    result["text_model.embeddings.position_embedding.weight"] = weights["positional_embedding"]
    for kind in ["weight", "bias"]:
        result[f"text_model.final_layer_norm.{kind}"] = weights[f"ln_final.{kind}"]
    result["text_projection.weight"] = weights["text_projection"].T.contiguous()
    return result


def vision_from_open_clip(weights):
    result = translated(weights, "visual.", "vision_model.")
    result["vision_model.embeddings.patch_embedding.weight"] = weights["visual.conv1.weight"]
    result["vision_model.embeddings.class_embedding"] = weights["visual.class_embedding"]
    result["vision_model.embeddings.position_embedding.weight"] = weights["visual.positional_embedding"]
    for kind in ["weight", "bias"]:
        result[f"vision_model.pre_layrnorm.{kind}"] = weights[f"visual.ln_pre.{kind}"]
        result[f"vision_model.post_layernorm.{kind}"] = weights[f"visual.ln_post.{kind}"]
    result["visual_projection.weight"] = weights["visual.proj"].T.contiguous()
    return result


def check_translation(model, layers, joint, activation):
    """transformers computes from the translated weights what open_clip does from its own."""
    weights = text_from_open_clip(model.state_dict())
    config = text_config(num_hidden_layers=layers, projection_dim=joint, hidden_act=activation)
    other = CLIPTextModelWithProjection(config).eval()
    named = {name if name in other.state_dict() else name.removeprefix("text_model."): tensor
             for name, tensor in weights.items()}
    other.load_state_dict(named)
    rows = torch.tensor([[VOCABULARY - 2, 5, 6, 7, VOCABULARY - 1, 0, 0, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        difference = (model.encode_text(rows) - other(input_ids=rows).text_embeds).abs().max()
    assert difference < 1e-4, difference
    return weights


def digests(weights):
    found = {}
    for name, tensor in sorted(weights.items()):
        if name.endswith("position_ids"):
            continue
        data = tensor.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        found[name] = hashlib.sha256(data).hexdigest()[:16]
    return found


def expect(name, form, towers, **more):
    """towers: role → weights under transformers' names, as they are stored."""
    expected[name] = {"format": form, "towers": {role: digests(weights) for role, weights in towers.items()}} | more


def half(weights, dtype=torch.float16):
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def under(prefix, weights):
    return {prefix + name: tensor.contiguous() for name, tensor in weights.items()}


def strangers():
    nan = float("nan")
    return {"model.diffusion_model.input_blocks.0.0.weight": torch.full((4, 3), nan),
            "first_stage_model.decoder.conv_in.bias": torch.full((5,), nan)}


def open_clip_text(model):
    """What a pipeline's file keeps of an open_clip model: everything but the image tower."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()
            if not name.startswith("visual.")}


class Callback:
    """Stands for Lightning's callback, which such files name as a key."""


def lightning():
    """What Lightning writes beside the weights."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    Callback.__module__, Callback.__qualname__, Callback.__name__ = module.__name__, "ModelCheckpoint", "ModelCheckpoint"
    module.ModelCheckpoint = Callback
    for part in ["pytorch_lightning", "pytorch_lightning.callbacks"]:
        sys.modules[part] = types.ModuleType(part)
    sys.modules[module.__name__] = module
    return {"epoch": 3, "global_step": 470000, "pytorch-lightning_version": "1.4.2",
            "callbacks": {Callback: {"best_model_score": numpy.float64(0.25), "monitor": None,
                                     "dirpath": "/somewhere", "kept": {1, 2}}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}],
            "lr_schedulers": []}


def directories(root):
    both = CLIPConfig(text_config=text_config().to_dict(), vision_config=vision_config().to_dict(), projection_dim=40)
    model = build(CLIPModel, both, 1)
    folder = root / "transformers-bin"
    folder.mkdir()
    model.config.save_pretrained(folder)
    weights = half(model.state_dict())
    weights["text_model.embeddings.position_ids"] = torch.full((1, CONTEXT), 7, dtype=torch.int64)
    torch.save(weights, folder / "pytorch_model.bin")
    expect(folder.name, "transformers", {"clip": weights}, container="torch")

    model = build(CLIPTextModelWithProjection, text_config(hidden_act="gelu"), 2)
    folder = root / "transformers-bin-shards"
    folder.mkdir()
    model.config.save_pretrained(folder)
    weights = half(model.state_dict(), torch.bfloat16)
    names = sorted(weights)
    shards = {f"pytorch_model-0000{part + 1}-of-00002.bin": names[part::2] for part in range(2)}
    for shard, members in shards.items():
        torch.save({name: weights[name] for name in members}, folder / shard)
    index = {name: shard for shard, members in shards.items() for name in members}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}) + "\n")
    expect(folder.name, "transformers", {"clip": state(types.SimpleNamespace(state_dict=lambda: weights))},
           container="torch")

    model = build_open_clip(3, layers=2, joint=40)
    folder = root / "open-clip-bin"
    folder.mkdir()
    config = {"model_cfg": {"embed_dim": 40,
                            "vision_cfg": {"image_size": 16, "layers": 1, "width": WIDTH, "patch_size": 8,
                                           "mlp_ratio": 1.0},
                            "text_cfg": {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": WIDTH, "heads": 1,
                                         "layers": 2, "mlp_ratio": 1.5}}}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    check_translation(model, 2, 40, "gelu")
    weights = half(model.state_dict(), torch.bfloat16)
    torch.save(weights, folder / "open_clip_pytorch_model.bin")
    towers = text_from_open_clip(weights) | vision_from_open_clip(weights)
    towers["logit_scale"] = weights["logit_scale"]
    expect(folder.name, "open_clip", {"clip": towers}, container="torch")


def openai(root):
    """A traced module with matrices in fp16 and the rest in fp32, as OpenAI distributed its models."""
    model = build_open_clip(4, layers=2, joint=40, quick=True,
                            vision={"image_size": 24, "layers": 2, "width": WIDTH, "patch_size": 8, "mlp_ratio": 1.25})
    towers = check_translation(model, 2, 40, "quick_gelu")
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2 and "embedding" not in name:
            parameter.data = parameter.data.half().float()
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    images, rows = torch.ones((1, 3, 24, 24)), torch.zeros((1, CONTEXT), dtype=torch.int64)
    traced = torch.jit.trace_module(
        model, {"forward": (images, rows), "encode_text": (rows,), "encode_image": (images,)}, check_trace=False)
    for name, parameter in traced.named_parameters():
        if parameter.dim() >= 2 and "embedding" not in name:
            parameter.data = parameter.data.half()
    save_script(traced, root / "openai.pt")
    towers = text_from_open_clip(weights) | vision_from_open_clip(weights)
    towers["logit_scale"] = weights["logit_scale"]
    expect("openai.pt", "openai", {"clip": towers}, container="torchscript")


def pipelines(root):
    lone = build(CLIPTextModel, text_config(hidden_act="quick_gelu"), 5)
    l = half(state(lone))
    stored = dict(l, **{"text_model.embeddings.position_ids": torch.rand(1, CONTEXT)})
    save_file(under("cond_stage_model.transformer.", stored) | strangers(), root / "sd1.safetensors")
    expect("sd1.safetensors", "sd1", {"clip_l": l}, container="safetensors")
    torch.save(lightning() | {"state_dict": under("cond_stage_model.transformer.", stored) | strangers()},
               root / "sd1.ckpt")
    expect("sd1.ckpt", "sd1", {"clip_l": l}, container="torch")

    h = build_open_clip(6, layers=3, joint=40)
    weights = half(open_clip_text(h))
    save_file(under("cond_stage_model.model.", weights) | strangers(), root / "sd2.safetensors")
    check_translation(h, 3, 40, "gelu")
    expect("sd2.safetensors", "sd2",
           {"clip_h": dict(text_from_open_clip(weights), logit_scale=weights["logit_scale"])}, container="safetensors")

    g = build_open_clip(7, layers=2, joint=48)
    check_translation(g, 2, 48, "gelu")
    weights = half(open_clip_text(g))
    towers = dict(text_from_open_clip(weights), logit_scale=weights["logit_scale"])
    save_file(under("conditioner.embedders.0.transformer.", l) | under("conditioner.embedders.1.model.", weights)
              | strangers(), root / "sdxl.safetensors")
    expect("sdxl.safetensors", "sdxl", {"clip_l": l, "clip_g": towers}, container="safetensors")
    save_file(under("conditioner.embedders.0.model.", weights) | strangers(), root / "refiner.safetensors")
    expect("refiner.safetensors", "sdxl-refiner", {"clip_g": towers}, container="safetensors")

    projected = half(state(build(CLIPTextModelWithProjection, text_config(hidden_act="quick_gelu"), 8)),
                     torch.bfloat16)
    second = half(text_from_open_clip(open_clip_text(g)), torch.bfloat16)
    t5 = {"text_encoders.t5xxl.transformer.shared.weight": torch.full((3, 3), float("nan"))}
    save_file(under("text_encoders.clip_l.transformer.", projected) | under("text_encoders.clip_g.transformer.", second)
              | t5 | strangers(), root / "sd3.safetensors")
    expect("sd3.safetensors", "sd3", {"clip_l": projected, "clip_g": second}, container="safetensors")
    save_file(under("text_encoders.clip_l.transformer.", projected) | t5, root / "flux.safetensors")
    expect("flux.safetensors", "flux", {"clip_l": projected}, container="safetensors")


def legacy(root):
    """From before torch 1.6: views of shared storages, transposed matrices, three datatypes, wrapped as by
    DataParallel."""
    model = build(CLIPTextModel, text_config(), 9)
    folder = root / "legacy"
    folder.mkdir()
    model.config.save_pretrained(folder)
    weights = state(model)
    stored = collections.OrderedDict(weights)
    for layer in range(2):
        stem = f"text_model.encoder.layers.{layer}.self_attn."
        fused = torch.cat([weights[f"{stem}{letter}_proj.weight"] for letter in "qkv"])
        for index, letter in enumerate("qkv"):
            stored[f"{stem}{letter}_proj.weight"] = fused[index * WIDTH:(index + 1) * WIDTH]
        name = f"text_model.encoder.layers.{layer}.mlp.fc1.weight"
        stored[name] = weights[name].t().contiguous().t()
    for name, dtype in [("text_model.final_layer_norm.weight", torch.float64),
                        ("text_model.embeddings.position_embedding.weight", torch.bfloat16),
                        ("text_model.embeddings.token_embedding.weight", torch.float16)]:
        stored[name] = stored[name].to(dtype)
    rows = torch.randn((7, WIDTH))
    stored["text_model.final_layer_norm.bias"] = rows[:, 3].new_tensor(rows[0].tolist())
    stored["text_model.encoder.layers.0.layer_norm1.bias"] = rows.t()[:, 3]
    stored = collections.OrderedDict(("module." + name, tensor) for name, tensor in stored.items())
    torch.save({"state_dict": stored, "step": 12}, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    expect("legacy", "transformers", {"clip": {name.removeprefix("module."): tensor for name, tensor in stored.items()}},
           container="torch")


def diffusers_folder(root, name, pipeline, parts, **more):
    """parts: folder → (class name, model) or (class name, None) for one that nobody reads."""
    folder = root / name
    folder.mkdir()
    index = {"_class_name": pipeline, "_diffusers_version": "0.30.0", "unet": ["diffusers", "UNet2DConditionModel"]}
    for part in ["text_encoder", "text_encoder_2", "text_encoder_3", "image_encoder"]:
        if part in parts:
            kind, model = parts[part]
            index[part] = ["transformers", kind]
            if model is not None:
                model.half().save_pretrained(folder / part)
    for part in more.get("tokenizers", []):
        index[part] = ["transformers", "CLIPTokenizer"]
        (folder / part).mkdir()
        for file in ["vocab.json", "merges.txt"]:
            shutil.copy(SMALL_VOCABULARY / file, folder / part / file)
        pad = "!" if part.endswith("2") else "<|endoftext|>"
        (folder / part / "special_tokens_map.json").write_text(json.dumps({"pad_token": pad}) + "\n")
    if "feature_extractor" in more:
        index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
        (folder / "feature_extractor").mkdir()
        (folder / "feature_extractor" / "preprocessor_config.json").write_text(
            json.dumps(more["feature_extractor"]) + "\n")
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return folder


def diffusers(root):
    spelled = dict(vocab_size=574, bos_token_id=572, eos_token_id=573)
    l = build(CLIPTextModel, text_config(hidden_act="quick_gelu", num_hidden_layers=1, **spelled), 10)
    g = build(CLIPTextModelWithProjection, text_config(hidden_act="gelu", num_hidden_layers=2, **spelled), 11)
    image = build(CLIPVisionModelWithProjection, vision_config(hidden_act="gelu"), 12)
    diffusers_folder(root, "diffusers-sdxl", "StableDiffusionXLPipeline",
                     {"text_encoder": ("CLIPTextModel", l), "text_encoder_2": ("CLIPTextModelWithProjection", g),
                      "image_encoder": ("CLIPVisionModelWithProjection", image)},
                     tokenizers=["tokenizer", "tokenizer_2"],
                     feature_extractor={"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16},
                                        "image_mean": [0.5, 0.25, 0.125], "image_std": [0.25, 0.5, 0.125]})
    expect("diffusers-sdxl", "diffusers",
           {"clip_l": state(l), "clip_g": state(g), "image_encoder": state(image, "vision_model.")},
           container="safetensors")
    h = build(CLIPTextModel, text_config(hidden_act="gelu"), 13)
    diffusers_folder(root, "diffusers-sd2", "StableDiffusionPipeline", {"text_encoder": ("CLIPTextModel", h)})
    expect("diffusers-sd2", "diffusers", {"clip_h": state(h)}, container="safetensors")
    g = build(CLIPTextModelWithProjection, text_config(hidden_act="gelu", num_hidden_layers=1), 14)
    diffusers_folder(root, "diffusers-refiner", "StableDiffusionXLImg2ImgPipeline",
                     {"text_encoder": (None, None), "text_encoder_2": ("CLIPTextModelWithProjection", g)})
    expect("diffusers-refiner", "diffusers", {"clip_g": state(g)}, container="safetensors")
    l = build(CLIPTextModel, text_config(hidden_act="quick_gelu", num_hidden_layers=1), 15)
    diffusers_folder(root, "diffusers-flux", "FluxPipeline",
                     {"text_encoder": ("CLIPTextModel", l), "text_encoder_2": ("T5EncoderModel", None)})
    expect("diffusers-flux", "diffusers", {"clip_l": state(l)}, container="safetensors",
           ignored=["text_encoder_2 (T5EncoderModel)"])


class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        self.names = ["a", "b"]
        self.sizes = [2, 3]

    def forward(self, x):
        return x @ self.weight


def small(root):
    """A few tensors in each of torch's containers, for mutation."""
    folder = root / "small"
    folder.mkdir()
    rows = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    members = {"half": rows.half(), "turned": rows.t(), "column": rows[:, 1], "whole": torch.tensor([[3]]), "name": "cat",
               "nested": collections.OrderedDict(double=rows.double()[0], scalar=torch.tensor(2.5, dtype=torch.bfloat16))}
    torch.save(members, folder / "small.pt")
    torch.save(members, folder / "small-legacy.pt", _use_new_zipfile_serialization=False)
    save_script(torch.jit.script(Scripted()), folder / "small-script.pt")


def main(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    directories(root)
    openai(root)
    pipelines(root)
    legacy(root)
    small(root)
    diffusers(root)
    (root / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {root}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
