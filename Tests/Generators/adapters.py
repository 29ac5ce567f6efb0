"""Makes the textual inversions and LoRAs under Tests/EncodersTests/Fixtures/adapters, and what the reference libraries
make of them.

    python Tests/Generators/adapters.py [OUTPUT_FOLDER]

`base/` is a small text tower. Each LoRA is trained by nobody (random), written by diffusers or under kohya's names, and
merged by PEFT; `NAME.merged.safetensors` holds the matrices that changed. kohya's names are checked by loading the file
with diffusers, which translates them. DoRA on the input axis, which PEFT does not have, is computed here by LyCORIS' rule
(`apply_weight_decompose`): the merged matrix divided by the lengths of its columns, times `dora_scale`.
`inversions.json` holds the vectors of the textual inversions.
"""

import json
import pathlib
import shutil
import sys

import torchvision_operators  # noqa: F401  (before diffusers)

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from models import liven

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "adapters"
MODULES = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def base_model():
    torch.manual_seed(1)
    model = CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8, bos_token_id=38, eos_token_id=39, pad_token_id=0, projection_dim=24))
    liven(model, torch.Generator().manual_seed(1))
    return model.eval()


def named(weights):
    """Under the names of a checkpoint with both towers."""
    return {name if name.startswith(("text_model.", "text_projection")) else "text_model." + name: tensor
            for name, tensor in weights.items()}


def trained(seed, modules, **options):
    """PEFT's model with every factor random, as if it had been trained."""
    torch.manual_seed(seed)
    model = get_peft_model(base_model(), LoraConfig(target_modules=modules, **options))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "lora_A" in name or "lora_B" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape))
            elif "lora_magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.randn(parameter.shape))
    return model


def factors(model):
    """What diffusers stores: module → part → tensor, under the names of a checkpoint with both towers."""
    weights = {name.removeprefix("base_model.model."): tensor.detach().clone()
               for name, tensor in get_peft_model_state_dict(model).items()}
    return named(weights)


def merged(model):
    return named({name: tensor for name, tensor in model.merge_and_unload().state_dict().items()})


def write_merged(root, name, weights, base):
    changed = {key: tensor.contiguous() for key, tensor in weights.items() if not torch.equal(tensor, base[key])}
    assert changed
    save_file(changed, root / f"{name}.merged.safetensors")


def diffusers_reads(weights, base, root):
    """The text encoder after diffusers' own loader, merged. (diffusers 0.42 knows the old names of attention only where
    one of them is `to_out_lora`.)"""
    path = root / "check.safetensors"
    save_file({name: tensor.float() for name, tensor in weights.items() if "unet" not in name}, path)
    stored, alphas = StableDiffusionPipeline.lora_state_dict(str(path))
    path.unlink()
    model = base_model()
    StableDiffusionPipeline.load_lora_into_text_encoder(stored, alphas, model, prefix="text_encoder")
    for module in model.modules():
        if hasattr(module, "lora_A"):
            module.merge()
    read = named({name.replace(".base_layer", ""): tensor for name, tensor in model.state_dict().items()})
    return {name: read[name] for name in base}


def kohya(weights, alpha, prefix="lora_te_"):
    stored = {}
    for name, tensor in weights.items():
        module, part = name.split(".lora_")
        module = prefix + module.replace(".", "_")
        if part.startswith("magnitude"):
            stored[f"{module}.dora_scale"] = tensor.reshape(-1, 1).clone()
        else:
            side = "down" if part.startswith("A") else "up"
            stored[f"{module}.lora_{side}.weight"] = tensor.contiguous().clone()
            stored[f"{module}.alpha"] = torch.tensor(float(alpha))
    return stored


def loras(root):
    base = named(base_model().state_dict())
    model = base_model()
    model.save_pretrained(root / "base")

    model = trained(2, MODULES, r=4, lora_alpha=6)
    StableDiffusionPipeline.save_lora_weights(
        root, text_encoder_lora_layers=factors(model), weight_name="peft.safetensors",
        text_encoder_lora_adapter_metadata={"r": 4, "lora_alpha": 6})
    write_merged(root, "peft", merged(model), base)

    model = trained(3, ["q_proj", "v_proj", "out_proj", "fc2"], r=3, lora_alpha=2)
    stored = {name: tensor.half() for name, tensor in kohya(factors(model), 2).items()}
    stored["lora_unet_down_blocks_0.lora_down.weight"] = torch.zeros((1, 2))
    stored["lora_unet_down_blocks_0.lora_up.weight"] = torch.zeros((2, 1))
    save_file(stored, root / "kohya.safetensors")
    torch.save(stored, root / "kohya.pt")
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.half().float()
    expected = merged(model)
    read = diffusers_reads(stored, base, root)
    for name, tensor in expected.items():
        assert torch.allclose(read[name], tensor, atol=1e-6), name
    write_merged(root, "kohya", expected, base)

    model = trained(4, ["k_proj", "out_proj", "fc1"], r=2, lora_alpha=4, use_dora=True)
    stored = factors(model)
    pair = {"lora_te1_": stored, "lora_te2_": {name: tensor for name, tensor in stored.items() if "fc1" in name}}
    both = {}
    for prefix, weights in pair.items():
        both |= kohya(weights, 4, prefix)
    save_file(both, root / "dora-rows.safetensors")
    write_merged(root, "dora-rows", merged(model), base)

    model = trained(5, ["q_proj", "fc2"], r=2, lora_alpha=1)
    stored = kohya(factors(model), 1)
    plain = merged(model)
    expected = dict(base)
    for name in list(stored):
        if name.endswith(".lora_up.weight"):
            module = name.removesuffix(".lora_up.weight")
            key = next(key for key in plain if "lora_te_" + key.removesuffix(".weight").replace(".", "_") == module
                       and key.endswith(".weight"))
            scale = 1 + 0.3 * torch.rand((1, plain[key].shape[1]))
            stored[f"{module}.dora_scale"] = scale
            expected[key] = plain[key] * (scale / plain[key].norm(dim=0, keepdim=True))
    save_file(stored, root / "dora-columns.safetensors")
    write_merged(root, "dora-columns", expected, base)

    old = {"text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.down.weight": torch.randn((2, 32)),
           "text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.up.weight": torch.randn((32, 2)),
           "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.down.weight": torch.randn((2, 32)),
           "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight": torch.randn((32, 2)),
           "text_encoder.text_model.encoder.layers.1.mlp.fc1.lora_linear_layer.down.weight": torch.randn((3, 32)),
           "text_encoder.text_model.encoder.layers.1.mlp.fc1.lora_linear_layer.up.weight": torch.randn((48, 3))}
    save_file(old, root / "old-diffusers.safetensors")
    write_merged(root, "old-diffusers", diffusers_reads(old, base, root), base)


def inversions(root):
    torch.manual_seed(6)
    expected = {}

    def write(name, content, **vectors):
        if name.endswith(".safetensors"):
            save_file(content, root / name)
        else:
            torch.save(content, root / name)
        expected[name] = {role: tensor.float().reshape(-1, tensor.shape[-1]).tolist()
                          for role, tensor in vectors.items()}

    vectors = torch.randn((3, 8))
    write("a1111.pt", {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "my-cat", "step": 499,
                       "sd_checkpoint": None, "sd_checkpoint_name": None}, any=vectors)
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors.half())})
    write("parameter-dict.pt", {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters},
          any=vectors.half())
    single = torch.randn(8, dtype=torch.float16)
    write("diffusers.bin", {"<cat-toy>": single}, any=single)
    write("diffusers.safetensors", {"<cat-toy>": single}, any=single)
    write("emb-params.safetensors", {"emb_params": vectors.bfloat16()}, any=vectors.bfloat16())
    wide = torch.randn((3, 12))
    write("sdxl.safetensors", {"clip_l": vectors, "clip_g": wide}, clip_l=vectors, clip_g=wide)
    write("tensor.pt", vectors[:2], any=vectors[:2])
    (root / "inversions.json").write_text(json.dumps(expected, sort_keys=True) + "\n")


def main(root):
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    loras(root)
    inversions(root)
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {root}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
