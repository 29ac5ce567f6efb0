"""Makes the small diffusers pipelines under Tests/DaemonTests/Fixtures/pipelines and what diffusers'
own `encode_prompt` makes of prompts with them.

    python Tests/Generators/pipelines.py [OUTPUT_FOLDER]

Beside it, in `adapters/`, LoRAs and textual inversions that some cases use.

Each folder holds what `save_pretrained` writes of the text side (and an image encoder): `model_index.json`,
`text_encoder/`, `text_encoder_2/`, `tokenizer/`, `tokenizer_2/`, `image_encoder/`, `feature_extractor/`, with random
weights stored in half precision. `expected.json` lists the cases:

    {"library": "diffusers …", "cases": [{"recipe", "op", "params", "outputs": {NAME: "case.0.NAME", …}}]}

where `params` are the daemon's, `outputs` names the tensor of `expected.safetensors` (fp32) that each output must equal,
and `tokens` gives the ids of every prompt and encoder. Everything is computed in fp32 on the weights as they are stored.
"""

import json
import pathlib
import shutil
import sys

import torchvision_operators  # noqa: F401  (before diffusers)

import numpy
import torch
from compel import Compel
from diffusers import (
    AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler, FluxPipeline,
    FluxTransformer2DModel, SD3Transformer2DModel, StableDiffusion3Pipeline, StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline, UNet2DConditionModel, __version__,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessorPil, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer,
    CLIPVisionConfig, CLIPVisionModelWithProjection,
)

import models

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "DaemonTests" / "Fixtures" / "pipelines"
MERGES = 400

PROMPTS = [
    "a photo of a red circle on a blue background",
    "a portrait of an old sailor, oil painting, dramatic light",
    "",
    "smörgåsbord & naïve café",
]
NEGATIVES = ["blurry, low quality", "", "text, watermark", "a cat"]


def tokenizer(folder, pad):
    """The first merges of the default model's vocabulary in transformers' layout."""
    folder.mkdir(parents=True, exist_ok=True)
    source = HERE.parents[1] / "Models" / "default" / "merges.txt"
    merges = [line for line in source.read_text().splitlines() if not line.startswith("#version")][:MERGES]
    base = [name for name, _ in sorted(
        json.loads((source.parent / "vocab.json").read_text()).items(), key=lambda entry: entry[1])][:512]
    entries = base + ["".join(merge.split()) for merge in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: i for i, entry in enumerate(entries)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "add_prefix_space": False,
        "errors": "replace", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>", "pad_token": pad}, indent=2))
    return CLIPTokenizer.from_pretrained(folder), len(entries)


def text_encoder(seed, vocabulary, projected, **sizes):
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=vocabulary, max_position_embeddings=77, bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1,
        pad_token_id=1, **sizes)
    model = (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)
    models.liven(model, torch.Generator().manual_seed(seed))
    if not hasattr(model, "text_model"):
        # diffusers' clip skip looks for the final norm in `text_model`, which transformers 5 flattened away.
        object.__setattr__(model, "text_model", model)
    return model.half().float().eval()


def image_encoder(seed, projection):
    torch.manual_seed(seed)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=7,
        projection_dim=projection))
    models.liven(model, torch.Generator().manual_seed(seed))
    return model.half().float().eval()


def unet(cross, **extra):
    return UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross, norm_num_groups=16, **extra)


def vae(channels=4):
    return AutoencoderKL(
        block_out_channels=[32, 64], in_channels=3, out_channels=3, norm_num_groups=16,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=channels)


def xl_unet(cross, pooled, numbers):
    return unet(
        cross, attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=numbers * 8 + pooled)


def make_sd1(work):
    tokens, count = tokenizer(work / "tokenizer-end", "<|endoftext|>")
    torch.manual_seed(11)
    return StableDiffusionPipeline(
        vae=vae(), unet=unet(32), scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        text_encoder=text_encoder(1, count, False, hidden_size=32, intermediate_size=64, num_hidden_layers=4,
                                  num_attention_heads=2),
        tokenizer=tokens, safety_checker=None, image_encoder=image_encoder(5, 24),
        feature_extractor=CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        requires_safety_checker=False)


def make_sd2(work):
    tokens, count = tokenizer(work / "tokenizer-zero", "!")
    torch.manual_seed(12)
    return StableDiffusionPipeline(
        vae=vae(), unet=unet(48), scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        text_encoder=text_encoder(2, count, False, hidden_size=48, intermediate_size=96, num_hidden_layers=3,
                                  num_attention_heads=3, hidden_act="gelu"),
        tokenizer=tokens, safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def pair(work, first_projected):
    end, count = tokenizer(work / "tokenizer-end", "<|endoftext|>")
    zero, _ = tokenizer(work / "tokenizer-zero", "!")
    first = text_encoder(3, count, first_projected, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
                         num_attention_heads=2, projection_dim=20)
    second = text_encoder(4, count, True, hidden_size=40, intermediate_size=80, num_hidden_layers=4,
                          num_attention_heads=2, hidden_act="gelu", projection_dim=28)
    return end, zero, first, second


def make_sdxl(work):
    end, zero, first, second = pair(work, False)
    torch.manual_seed(13)
    return StableDiffusionXLPipeline(
        vae=vae(), unet=xl_unet(72, 28, 6), scheduler=EulerDiscreteScheduler(), text_encoder=first,
        text_encoder_2=second, tokenizer=end, tokenizer_2=zero, add_watermarker=False)


def make_refiner(work):
    _, zero, _, second = pair(work, False)
    torch.manual_seed(14)
    return StableDiffusionXLImg2ImgPipeline(
        vae=vae(), unet=xl_unet(40, 28, 5), scheduler=EulerDiscreteScheduler(), text_encoder=None,
        text_encoder_2=second, tokenizer=None, tokenizer_2=zero, requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False, add_watermarker=False)


def make_sd3(work):
    end, zero, first, second = pair(work, True)
    torch.manual_seed(15)
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=96, pooled_projection_dim=48),
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(), text_encoder=first, text_encoder_2=second,
        tokenizer=end, tokenizer_2=zero, text_encoder_3=None, tokenizer_3=None)


def make_flux(work):
    tokens, count = tokenizer(work / "tokenizer-end", "<|endoftext|>")
    torch.manual_seed(16)
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8]),
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(1), tokenizer=tokens, tokenizer_2=None,
        text_encoder=text_encoder(1, count, False, hidden_size=32, intermediate_size=64, num_hidden_layers=4,
                                  num_attention_heads=2),
        text_encoder_2=None)


MAKERS = {"sd1": make_sd1, "sd2": make_sd2, "sdxl": make_sdxl, "sdxl-refiner": make_refiner, "sd3-clip": make_sd3,
          "flux-clip": make_flux}


class Cases:
    """The cases of one pipeline, and their tensors."""

    def __init__(self):
        self.cases, self.tensors = [], {}

    def add(self, params, outputs, tokens=None, op="condition"):
        number = len(self.cases)
        names = {}
        for name, tensor in outputs.items():
            names[name] = f"case.{number}.{name}"
            self.tensors[names[name]] = tensor.detach().float().contiguous().clone()
        case = {"op": op, "params": params, "outputs": names}
        if tokens is not None:
            case["tokens"] = tokens
        self.cases.append(case)

    def write(self, folder):
        (folder / "expected.json").write_text(
            json.dumps({"library": f"diffusers {__version__}", "cases": self.cases}, indent=1, ensure_ascii=False))
        save_file(self.tensors, folder / "expected.safetensors")


def rows(tokenizer, prompts):
    return tokenizer(prompts, padding="max_length", max_length=77, truncation=True).input_ids


@torch.no_grad()
def cases_sd(pipe, recipe):
    cases = Cases()
    for skip in [None, 1, 2]:
        for negative in [NEGATIVES, None]:
            if skip and negative is None:
                continue
            hidden, negative_hidden = pipe.encode_prompt(
                PROMPTS, "cpu", 1, True, negative_prompt=negative, clip_skip=skip)
            # diffusers leaves the negative prompt where it is; the daemon skips alike.
            if skip:
                negative_hidden, _ = pipe.encode_prompt(negative, "cpu", 1, False, clip_skip=skip)
            params = {"prompts": PROMPTS, "recipe": recipe}
            if negative:
                params["negative_prompts"] = negative
            if skip:
                params["clip_skip"] = skip
            cases.add(params, {"hidden_states": hidden, "negative_hidden_states": negative_hidden},
                      [rows(pipe.tokenizer, PROMPTS)])
    return cases


def long_prompt():
    return ", ".join(f"thing number {i}" for i in range(40))


@torch.no_grad()
def cases_sd1(pipe):
    cases = cases_sd(pipe, "sd1")
    # diffusers always truncates.
    hidden, negative = pipe.encode_prompt([long_prompt()], "cpu", 1, True)
    cases.add({"prompts": [long_prompt()], "recipe": "sd1", "long_prompts": "truncate"},
              {"hidden_states": hidden, "negative_hidden_states": negative},
              [rows(pipe.tokenizer, [long_prompt()])])
    return cases


COMPEL = ["a cat++ in the (rain)0.5", "a (very old)0.3 sailor-- on a (red boat)1.4", "plain text",
          "(\"a cat\", \"a dog in the rain\").blend(0.7, 0.4)"]


@torch.no_grad()
def compel_cases(pipe, cases):
    compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, truncate_long_prompts=True)
    hidden = torch.cat([compel.build_conditioning_tensor(prompt) for prompt in COMPEL])
    cases.add({"prompts": COMPEL, "recipe": "sd1", "syntax": "compel"}, {"hidden_states": hidden})
    joined = compel.build_conditioning_tensor("(\"a cat\", \"a red circle\").and()")
    cases.add({"prompts": ["(\"a cat\", \"a red circle\").and()"], "recipe": "sd1", "syntax": "compel"},
              {"hidden_states": joined})


@torch.no_grad()
def cases_xl(pipe, recipe):
    cases = Cases()
    for skip in [None, 1]:
        for negative in [NEGATIVES, None]:
            if skip and negative is None:
                continue
            hidden, negative_hidden, pooled, negative_pooled = pipe.encode_prompt(
                PROMPTS, num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt=negative,
                clip_skip=skip, device="cpu")
            if skip:
                negative_hidden = pipe.encode_prompt(
                    negative, num_images_per_prompt=1, do_classifier_free_guidance=False, clip_skip=skip,
                    device="cpu")[0]
            sizes = {"width": 640, "height": 448, "crop_top": 8, "crop_left": 16, "original_width": 1280,
                     "original_height": 900}
            original, crop, target = (900, 1280), (8, 16), (448, 640)
            params = {"prompts": PROMPTS, "recipe": recipe, **sizes}
            if recipe == "sdxl-refiner":
                params["aesthetic_score"] = 7.5
                times, negative_times = pipe._get_add_time_ids(
                    original, crop, target, 7.5, 2.5, original, crop, target, torch.float32, 28)
            else:
                times = pipe._get_add_time_ids(original, crop, target, torch.float32, 28)
                negative_times = times
            if negative:
                params["negative_prompts"] = negative
            if skip:
                params["clip_skip"] = skip
            count = len(PROMPTS)
            tokenizers = [entry for entry in [pipe.tokenizer, pipe.tokenizer_2] if entry is not None]
            cases.add(params, {
                "hidden_states": hidden, "negative_hidden_states": negative_hidden, "pooled": pooled,
                "negative_pooled": negative_pooled, "time_ids": times.repeat(count, 1),
                "negative_time_ids": negative_times.repeat(count, 1)},
                [rows(entry, PROMPTS) for entry in tokenizers])
    return cases


@torch.no_grad()
def cases_sd3(pipe):
    cases = Cases()
    width = pipe.transformer.config.joint_attention_dim
    for negative in [NEGATIVES, None]:
        hidden, negative_hidden, pooled, negative_pooled = pipe.encode_prompt(
            PROMPTS, None, None, device="cpu", negative_prompt=negative)
        params = {"prompts": PROMPTS, "recipe": "sd3-clip", "hidden_width": width}
        if negative:
            params["negative_prompts"] = negative
        # The rest are T5's rows.
        cases.add(params, {
            "hidden_states": hidden[:, :77], "negative_hidden_states": negative_hidden[:, :77], "pooled": pooled,
            "negative_pooled": negative_pooled}, [rows(entry, PROMPTS) for entry in [pipe.tokenizer, pipe.tokenizer_2]])
    return cases


@torch.no_grad()
def cases_flux(pipe):
    cases = Cases()
    pooled = pipe._get_clip_prompt_embeds(PROMPTS, 1, "cpu")
    negative = pipe._get_clip_prompt_embeds(NEGATIVES, 1, "cpu")
    cases.add({"prompts": PROMPTS, "negative_prompts": NEGATIVES, "recipe": "flux-clip"},
              {"pooled": pooled, "negative_pooled": negative}, [rows(pipe.tokenizer, PROMPTS)])
    return cases


def make_adapters(folder):
    """A LoRA for one encoder and for SDXL's two as kohya's trainers write them, and textual inversions."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(21)

    def matrix(*shape):
        return torch.randn(shape, generator=generator) * 0.2

    def lora(prefix, width, layers, rank, alpha):
        tensors = {}
        for layer in range(layers):
            for name, outputs, inputs in [
                    ("self_attn_q_proj", width, width), ("self_attn_v_proj", width, width),
                    ("mlp_fc1", 2 * width, width), ("mlp_fc2", width, 2 * width)]:
                key = f"{prefix}_text_model_encoder_layers_{layer}_{name}"
                tensors[key + ".lora_down.weight"] = matrix(rank, inputs)
                tensors[key + ".lora_up.weight"] = matrix(outputs, rank)
                tensors[key + ".alpha"] = torch.tensor(float(alpha))
        return tensors

    save_file(lora("lora_te", 32, 4, 3, 2), folder / "ink.safetensors")
    save_file(lora("lora_te", 32, 4, 2, 2), folder / "wash.safetensors")
    save_file(lora("lora_te1", 32, 3, 2, 1) | lora("lora_te2", 40, 4, 4, 4), folder / "ink-xl.safetensors")
    save_file({"<cat-toy>": matrix(2, 32)}, folder / "cat-toy.safetensors")
    save_file({"clip_l": matrix(3, 32), "clip_g": matrix(3, 40)}, folder / "cat-toy-xl.safetensors")


def merged(pipe, loras):
    """Adds kohya's LoRAs to the pipeline's text encoders; gives back what undoes it."""
    saved = []
    for file, strength in loras:
        tensors = load_file(file)
        for key in [name[:-len(".alpha")] for name in tensors if name.endswith(".alpha")]:
            prefix, rest = key.split("_text_model_encoder_layers_")
            encoder = pipe.text_encoder_2 if prefix == "lora_te2" else pipe.text_encoder
            layer, name = rest.split("_", 1)
            module = encoder.text_model.encoder.layers[int(layer)]
            for part in name.replace("self_attn_", "self_attn.").replace("mlp_", "mlp.").split("."):
                module = getattr(module, part)
            down, up = tensors[key + ".lora_down.weight"], tensors[key + ".lora_up.weight"]
            saved.append((module.weight, module.weight.detach().clone()))
            module.weight.add_(strength * tensors[key + ".alpha"] / len(down) * up @ down)
    return saved


def restore(saved):
    for weight, before in reversed(saved):
        weight.copy_(before)


@torch.no_grad()
def adapter_cases_sd1(pipe, cases, folder):
    for loras in [[("ink", 0.7)], [("ink", 1.0), ("wash", -0.5)]]:
        saved = merged(pipe, [(folder / f"{name}.safetensors", strength) for name, strength in loras])
        hidden, negative = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=NEGATIVES)
        restore(saved)
        cases.add({"prompts": PROMPTS, "negative_prompts": NEGATIVES, "recipe": "sd1",
                   "loras": [{"name": name, "strength": strength} for name, strength in loras]},
                  {"hidden_states": hidden, "negative_hidden_states": negative})
    # diffusers replaces the word by as many tokens as there are vectors.
    pipe.load_textual_inversion(load_file(folder / "cat-toy.safetensors"), token="<cat-toy>")
    prompts = ["a photo of <cat-toy> on a table", "<cat-toy>", "nothing of the kind"]
    hidden, negative = pipe.encode_prompt(prompts, "cpu", 1, True, negative_prompt=["<cat-toy>"] * 3)
    cases.add({"prompts": prompts, "negative_prompts": ["<cat-toy>"], "recipe": "sd1"},
              {"hidden_states": hidden, "negative_hidden_states": negative})


@torch.no_grad()
def adapter_cases_sdxl(pipe, cases, folder):
    saved = merged(pipe, [(folder / "ink-xl.safetensors", 0.8)])
    hidden, negative, pooled, negative_pooled = pipe.encode_prompt(
        PROMPTS, negative_prompt=NEGATIVES, device="cpu")
    restore(saved)
    cases.add({"prompts": PROMPTS, "negative_prompts": NEGATIVES, "recipe": "sdxl",
               "loras": [{"name": "ink-xl", "strength": 0.8}]},
              {"hidden_states": hidden, "negative_hidden_states": negative, "pooled": pooled,
               "negative_pooled": negative_pooled})
    vectors = load_file(folder / "cat-toy-xl.safetensors")
    for key, tokens, encoder in [("clip_l", pipe.tokenizer, pipe.text_encoder),
                                 ("clip_g", pipe.tokenizer_2, pipe.text_encoder_2)]:
        pipe.load_textual_inversion(vectors[key], token="<cat-toy-xl>", tokenizer=tokens, text_encoder=encoder)
    prompts = ["a <cat-toy-xl> in the rain", "nothing of the kind"]
    hidden, negative, pooled, negative_pooled = pipe.encode_prompt(
        prompts, negative_prompt=["<cat-toy-xl>"] * 2, device="cpu")
    cases.add({"prompts": prompts, "negative_prompts": ["<cat-toy-xl>"], "recipe": "sdxl"},
              {"hidden_states": hidden, "negative_hidden_states": negative, "pooled": pooled,
               "negative_pooled": negative_pooled})


def pictures():
    """Three pictures that are drawn anew wherever they are needed: [height, width, 3], bytes."""
    result = []
    for number, (height, width) in enumerate([(40, 56), (28, 28), (64, 33)]):
        y, x, c = numpy.meshgrid(range(height), range(width), range(3), indexing="ij")
        result.append(((x * (5 + number) + y * 3 * (c + 1) + 40 * number) % 256).astype(numpy.uint8))
    return result


@torch.no_grad()
def image_cases(pipe, cases):
    """`inputs: "pictures"`: the images of `pictures()`."""
    images = [Image.fromarray(picture) for picture in pictures()]
    projected, _ = pipe.encode_image(images, "cpu", 1)
    states, against = pipe.encode_image(images, "cpu", 1, output_hidden_states=True)
    for recipe in ["unclip", "ip-adapter"]:
        cases.add({"recipe": recipe}, {"image_embeddings": projected,
                                       "negative_image_embeddings": torch.zeros_like(projected)},
                  op="condition_image")
    cases.add({"recipe": "ip-adapter-plus"}, {"hidden_states": states, "negative_hidden_states": against},
              op="condition_image")
    weights = [0.5, 0.75, -0.25]
    mixed = sum(weight * row for weight, row in zip(weights, projected))
    cases.add({"recipe": "unclip", "weights": weights, "mix": True}, {"image_embeddings": mixed[None]},
              op="condition_image")


CASES = {"sd1": cases_sd1, "sd2": lambda pipe: cases_sd(pipe, "sd2"), "sdxl": lambda pipe: cases_xl(pipe, "sdxl"),
         "sdxl-refiner": lambda pipe: cases_xl(pipe, "sdxl-refiner"), "sd3-clip": cases_sd3, "flux-clip": cases_flux}


def save_text_side(pipe, folder):
    """What the daemon reads of a pipeline; the parity check saves the whole of it."""
    for name in ["text_encoder", "text_encoder_2", "image_encoder"]:
        model = getattr(pipe, name, None)
        if model is not None:
            model.half().save_pretrained(folder / name)
            model.float()
    for name in ["tokenizer", "tokenizer_2", "feature_extractor"]:
        part = getattr(pipe, name, None)
        if part is not None:
            part.save_pretrained(folder / name)
    (folder / "model_index.json").write_text(json.dumps(
        {key: value for key, value in pipe.config.items() if not key.startswith("_") or key in (
            "_class_name", "_diffusers_version")} | {"_class_name": type(pipe).__name__,
                                                     "_diffusers_version": __version__}, indent=2, default=str))


def main(root):
    work = root / ".work"
    make_adapters(root.parent / "adapters")
    for name, make in MAKERS.items():
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pipe = make(work)
        save_text_side(pipe, folder)
        cases = CASES[name](pipe)
        if name == "sd1":
            image_cases(pipe, cases)
            compel_cases(pipe, cases)
            adapter_cases_sd1(pipe, cases, root.parent / "adapters")
        if name == "sdxl":
            adapter_cases_sdxl(pipe, cases, root.parent / "adapters")
        cases.write(folder)
    shutil.rmtree(work)
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {root}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
