"""Writes the lists under Tests/EncodersTests/Fixtures/published: names, types and shapes of the encoders' tensors in the
files that people have, and what they are to be taken for.

    python Tests/Generators/published.py

The files themselves are too large to keep. Their names follow from the classes that wrote them (transformers'
`CLIPTextModel`, open_clip's `CLIP` and `CustomTextCLIP`, OpenAI's `model.py`), and from what loaders look for or leave out:
diffusers' `single_file_utils.py`, ComfyUI's `supported_models.py`, stable-diffusion.cpp's list of unused tensors, a listing
of FLUX's file in A1111's pull request 16484, and OneTrainer's issue 915 (SD 2.1 keeps all 24 layers). Of the UNet, T5 and
VAE there are a few names only. `embeddings.position_ids` is I64, or F16 and F32 in files that were converted as a whole.
"""

import json
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "EncodersTests" / "Fixtures" / "published"
L = dict(width=768, layers=12, mlp=3072)
H = dict(width=1024, layers=24, mlp=4096)
G = dict(width=1280, layers=32, mlp=5120)
VOCABULARY, CONTEXT = 49408, 77


def both(name, shape_in, shape_out):
    return [(f"{name}.weight", [shape_out, shape_in]), (f"{name}.bias", [shape_out])]


def norm(name, width):
    return [(f"{name}.weight", [width]), (f"{name}.bias", [width])]


def hf_layers(prefix, width, layers, mlp):
    tensors = []
    for i in range(layers):
        p = f"{prefix}encoder.layers.{i}."
        tensors += norm(p + "layer_norm1", width) + norm(p + "layer_norm2", width)
        tensors += both(p + "mlp.fc1", width, mlp) + both(p + "mlp.fc2", mlp, width)
        for matrix in ["k_proj", "out_proj", "q_proj", "v_proj"]:
            tensors += both(f"{p}self_attn.{matrix}", width, width)
    return tensors


def hf_text(prefix, width, layers, mlp, projection=None, position_ids=False):
    p = prefix + "text_model."
    tensors = [(p + "embeddings.position_embedding.weight", [CONTEXT, width]),
               (p + "embeddings.token_embedding.weight", [VOCABULARY, width])]
    tensors += hf_layers(p, width, layers, mlp) + norm(p + "final_layer_norm", width)
    if position_ids:
        tensors.append((p + "embeddings.position_ids", [1, CONTEXT]))
    if projection:
        tensors.append((prefix + "text_projection.weight", [projection, width]))
    return tensors


def hf_vision(width, layers, mlp, patch, size, projection):
    p = "vision_model."
    tensors = [(p + "embeddings.class_embedding", [width]),
               (p + "embeddings.patch_embedding.weight", [width, 3, patch, patch]),
               (p + "embeddings.position_embedding.weight", [(size // patch) ** 2 + 1, width]),
               (p + "embeddings.position_ids", [1, (size // patch) ** 2 + 1])]
    tensors += norm(p + "pre_layrnorm", width) + hf_layers(p, width, layers, mlp) + norm(p + "post_layernorm", width)
    return tensors + [("visual_projection.weight", [projection, width])]


def blocks(prefix, width, layers, mlp):
    tensors = []
    for i in range(layers):
        p = f"{prefix}transformer.resblocks.{i}."
        tensors += [(p + "attn.in_proj_weight", [3 * width, width]), (p + "attn.in_proj_bias", [3 * width])]
        tensors += both(p + "attn.out_proj", width, width) + norm(p + "ln_1", width)
        tensors += both(p + "mlp.c_fc", width, mlp) + both(p + "mlp.c_proj", mlp, width) + norm(p + "ln_2", width)
    return tensors


def clip_text(prefix, width, layers, mlp, projection, scale=True):
    tensors = [(prefix + "positional_embedding", [CONTEXT, width]), (prefix + "text_projection", [width, projection])]
    if scale:
        tensors.append((prefix + "logit_scale", []))
    tensors += blocks(prefix, width, layers, mlp)
    return tensors + [(prefix + "token_embedding.weight", [VOCABULARY, width])] + norm(prefix + "ln_final", width)


def clip_vision(width, layers, mlp, patch, size, projection):
    tensors = [("visual.class_embedding", [width]), ("visual.proj", [width, projection]),
               ("visual.positional_embedding", [(size // patch) ** 2 + 1, width]),
               ("visual.conv1.weight", [width, 3, patch, patch])]
    return tensors + norm("visual.ln_pre", width) + blocks("visual.", width, layers, mlp) + norm("visual.ln_post", width)


def typed(tensors, kind, integers="I64"):
    return [[name, integers if name.endswith("position_ids") else kind, shape] for name, shape in tensors]


def openai(tensors):
    """OpenAI's `convert_weights` leaves norms, embeddings and the scale in F32."""
    halves = ("conv1.weight", "attn.in_proj_weight", "attn.in_proj_bias", "proj", "text_projection")
    listed = []
    for name, shape in tensors:
        half = name.endswith(halves) or ".mlp." in name or ".out_proj." in name
        listed.append([name, "F16" if half else "F32", shape])
    return listed + [[name, "I64", []] for name in ["input_resolution", "context_length", "vocab_size"]]


UNET = [("model.diffusion_model.input_blocks.0.0.weight", [320, 4, 3, 3]),
        ("model.diffusion_model.time_embed.0.weight", [1280, 320]),
        ("first_stage_model.encoder.conv_in.weight", [128, 3, 3, 3]),
        ("first_stage_model.quant_conv.weight", [8, 8, 1, 1])]
SCHEDULE = [("betas", [1000]), ("alphas_cumprod", [1000]), ("model_ema.num_updates", [])]
MMDIT = [("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", [4608, 1536]),
         ("model.diffusion_model.x_embedder.proj.weight", [1536, 16, 2, 2])]
FLUX = [("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", [9216, 3072]),
        ("vae.encoder.conv_in.weight", [128, 3, 3, 3])]
T5 = [("text_encoders.t5xxl.transformer.shared.weight", [32128, 4096]),
      ("text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight", [4096, 4096])]


def text(sizes, activation, pad, projection=None):
    return {"text": {**sizes, "heads": sizes["width"] // 64, "activation": activation, "pad_token": pad,
                     "projection": projection}}


def write(name, form, tensors, towers, recipes):
    names = [tensor[0] for tensor in tensors]
    assert len(set(names)) == len(names)
    lines = ",\n  ".join(json.dumps(tensor) for tensor in sorted(tensors))
    head = json.dumps({"format": form, "towers": towers, "uses": recipes}, indent=1)
    (OUT / f"{name}.json").write_text(head[:-2] + f',\n "tensors": [\n  {lines}\n ]\n}}\n')


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    quick, gelu, end = "quick_gelu", "gelu", VOCABULARY - 1
    l, h, g = text(L, quick, end), text(H, gelu, 0, 1024), text(G, gelu, 0, 1280)
    projected = text(L, quick, end, 768)
    te = "cond_stage_model.transformer."
    write("v1-5-pruned-emaonly", "sd1", typed(hf_text(te, **L, position_ids=True) + UNET + SCHEDULE, "F32"),
          {"clip_l": l}, ["sd1", "flux-clip"])
    write("v1-converted-f16", "sd1", typed(hf_text(te, **L, position_ids=True) + UNET, "F16", "F16"),
          {"clip_l": l}, ["sd1", "flux-clip"])
    old = [(name.replace("text_model.", ""), shape) for name, shape in hf_text(te, **L)]
    write("v1-old-names", "sd1", typed(old + UNET, "F16"), {"clip_l": l}, ["sd1", "flux-clip"])
    write("v2-1_768-ema-pruned", "sd2", typed(clip_text("cond_stage_model.model.", **H, projection=1024) + UNET, "F32"),
          {"clip_h": h}, ["sd2"])
    pair = hf_text("conditioner.embedders.0.transformer.", **L, position_ids=True)
    pair += clip_text("conditioner.embedders.1.model.", **G, projection=1280)
    write("sd_xl_base_1.0", "sdxl", typed(pair + UNET, "F16"), {"clip_l": l, "clip_g": g},
          ["sd1", "sdxl", "sdxl-refiner", "flux-clip"])
    write("sd_xl_refiner_1.0", "sdxl-refiner",
          typed(clip_text("conditioner.embedders.0.model.", **G, projection=1280) + UNET, "F16"), {"clip_g": g},
          ["sdxl-refiner"])
    clips = hf_text("text_encoders.clip_l.transformer.", **L)
    clips += hf_text("text_encoders.clip_g.transformer.", **G, projection=1280)
    write("sd3_medium_incl_clips", "sd3", typed(clips + MMDIT, "F16"), {"clip_l": projected, "clip_g": g},
          ["sd1", "sdxl", "sdxl-refiner", "sd3-clip", "flux-clip"])
    flux = typed(hf_text("text_encoders.clip_l.transformer.", **L), "F16") + typed(FLUX + T5, "F8_E4M3")
    write("flux1-dev-fp8", "flux", flux, {"clip_l": projected}, ["sd1", "flux-clip"])
    write("comfy-clip_l", "text-encoder", typed(hf_text("", **L), "F16"), {"clip_l": projected}, ["sd1", "flux-clip"])
    write("comfy-clip_g", "text-encoder", typed(hf_text("", **G, projection=1280), "F16"), {"clip_g": g},
          ["sdxl-refiner"])
    uses = ["embedding", "gradient", "sd1", "sd2", "sdxl-refiner", "flux-clip", "unclip", "ip-adapter"]

    def model(width, joint, vision, activation, pad):
        sizes = dict(width=width, layers=12, mlp=4 * width) if width < 1024 else {1024: H, 1280: G}[width]
        own = text(sizes, activation, pad, joint)
        heads = vision.pop("heads")
        own["vision"] = {**vision, "heads": heads, "activation": activation, "projection": joint}
        return sizes, own

    for name, width, vision in [
            ("openai-ViT-B-32", 512, dict(width=768, layers=12, mlp=3072, patch=32, size=224, heads=12)),
            ("openai-ViT-L-14", 768, dict(width=1024, layers=24, mlp=4096, patch=14, size=224, heads=16))]:
        sizes, own = model(width, width, vision, quick, 0)
        tensors = clip_text("", **sizes, projection=width) + clip_vision(**vision, projection=width)
        write(name, "openai", openai(tensors), {"clip": own}, uses)
    for name, width, vision in [
            ("laion-CLIP-ViT-H-14", 1024, dict(width=1280, layers=32, mlp=5120, patch=14, size=224, heads=16)),
            ("laion-CLIP-ViT-bigG-14", 1280, dict(width=1664, layers=48, mlp=8192, patch=14, size=224, heads=16))]:
        sizes, own = model(width, width, vision, gelu, 0)
        tensors = clip_text("", **sizes, projection=width) + clip_vision(**vision, projection=width)
        write(name, "open_clip", typed(tensors, "F32"), {"clip": own}, uses)


if __name__ == "__main__":
    main()
