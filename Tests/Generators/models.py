"""Makes the small checkpoints under Tests/EncodersTests/Fixtures/models and what the reference libraries
compute with them.

    python Tests/Generators/models.py [OUTPUT_FOLDER]

Each folder holds a checkpoint as transformers or open_clip writes it, `expected.json` (token rows, which library)
and `expected.safetensors` (fp32):

    text.embeddings [N, D]   text.hidden [L+1, C, W] (row 0, padded)   text.last [N, C, W] (after the final norm)
    image.pixels [2, 3, S, S]   image.embeddings [2, D]   image.hidden [L+1, T, W] (image 0, after the pre-norm)
    gradient [3, S, S]: of 1 - cos(image 0, text 0) with respect to the pixels
    scores.cosine [2, N]   scores.logit [2, N]

Everything is computed in fp32 on the weights as they are stored. The libraries' own random weights are too tame to
show errors (outputs nearly constant), so matrices are doubled, and biases and norm weights drawn at random.
"""

import json
import pathlib
import shutil
import sys

import torchvision_operators  # noqa: F401  (before open_clip)

import open_clip
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "EncodersTests" / "Fixtures" / "models"


def liven(model, generator):
    """Makes every weight matter."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name == "logit_scale":
                parameter.fill_(3.1)
            elif parameter.dim() >= 2:
                parameter.mul_(2)
            else:
                noise = torch.randn(parameter.shape, generator=generator)
                is_norm = "norm" in name or "ln_" in name or "layrnorm" in name
                if is_norm and name.endswith("weight"):
                    parameter.copy_(1 + 0.3 * noise)
                else:
                    parameter.copy_(0.2 * noise)


def record(layers):
    """Hooks that collect a stack of blocks' input and every block's output, in order."""
    states = []

    def keep(value):
        states.append((value[0] if isinstance(value, tuple) else value).detach().clone())

    handles = [layers[0].register_forward_pre_hook(
        lambda module, arguments, named: keep(named["hidden_states"] if not arguments else arguments[0]),
        with_kwargs=True)]
    handles += [layer.register_forward_hook(lambda module, arguments, output: keep(output)) for layer in layers]
    return states, handles


class TransformersText:
    def __init__(self, model):
        self.text = model.text_model if hasattr(model, "text_model") else model
        self.projection = getattr(model, "text_projection", None)
        self.layers = self.text.encoder.layers

    def __call__(self, rows):
        output = self.text(input_ids=rows)
        pooled = output.pooler_output
        return (pooled if self.projection is None else self.projection(pooled)), output.last_hidden_state


class TransformersImage:
    def __init__(self, model):
        self.vision = model.vision_model if hasattr(model, "vision_model") else model
        self.projection = getattr(model, "visual_projection", None)
        self.layers = self.vision.encoder.layers

    def __call__(self, pixels):
        pooled = self.vision(pixel_values=pixels).pooler_output
        return pooled if self.projection is None else self.projection(pooled)


class OpenCLIPText:
    def __init__(self, model):
        self.model = model
        self.tower = model.text if hasattr(model, "text") else model
        self.layers = self.tower.transformer.resblocks

    def __call__(self, rows):
        kept = []
        handle = self.tower.ln_final.register_forward_hook(lambda module, arguments, output: kept.append(output))
        embedding = self.model.encode_text(rows)
        handle.remove()
        return embedding, kept[0]


class OpenCLIPImage:
    def __init__(self, model):
        self.model = model
        self.layers = model.visual.transformer.resblocks

    def __call__(self, pixels):
        return self.model.encode_image(pixels)


def token_rows(vocabulary, context, start, end, generator):
    """Short, medium, full and almost empty rows, each from the start to the end token."""
    rows = []
    for length in [3, max(4, context // 2), context - 2, 0, 1]:
        content = torch.randint(0, vocabulary - 2, (length,), generator=generator).tolist()
        content = [token if token not in (start, end) else token - 3 for token in content]
        rows.append([start] + content + [end])
    return rows


def expect(folder, text, image, sizes, scale, generator, library):
    """Runs the towers that are there and writes the two expected files."""
    tensors = {}
    notes = {"library": library}
    embeddings = pixels = None
    if text is not None:
        rows = token_rows(sizes["vocabulary"], sizes["context"], sizes["start"], sizes["end"], generator)
        padded = torch.tensor([row + [sizes["pad"]] * (sizes["context"] - len(row)) for row in rows])
        states, handles = record(text.layers)
        with torch.no_grad():
            text(padded[:1])
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            embeddings, last = text(padded)
        tensors["text.embeddings"] = embeddings
        tensors["text.hidden"] = torch.stack(states)[:, 0]
        tensors["text.last"] = last
        notes |= {"tokens": rows, "pad": sizes["pad"], "context": sizes["context"]}
    if image is not None:
        side = sizes["image"]
        pixels = torch.randn((2, 3, side, side), generator=generator)
        states, handles = record(image.layers)
        with torch.no_grad():
            image(pixels[:1])
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            features = image(pixels)
        tensors["image.pixels"] = pixels
        tensors["image.embeddings"] = features
        tensors["image.hidden"] = torch.stack(states)[:, 0]
        if embeddings is None:
            target = torch.randn(features.shape[1], generator=generator)
            tensors["gradient.target"] = target
        else:
            target = embeddings[0]
            cosine = torch.nn.functional.cosine_similarity(features[:, None], embeddings[None], dim=-1)
            tensors["scores.cosine"] = cosine
            tensors["scores.logit"] = scale * cosine
        variable = pixels[:1].clone().requires_grad_(True)
        loss = 1 - torch.nn.functional.cosine_similarity(image(variable)[0], target, dim=0)
        loss.backward()
        tensors["gradient"] = variable.grad[0]
        notes["loss"] = loss.item()
    save_file({name: tensor.detach().float().contiguous() for name, tensor in tensors.items()},
              folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps(notes) + "\n")
    for name, tensor in tensors.items():
        assert torch.isfinite(tensor).all(), name


def store(folder, dtype):
    """Rewrites the safetensors of a folder in another datatype, as torch's `Module.to` would."""
    for path in folder.glob("*.safetensors"):
        save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path,
                  metadata={"format": "pt"})


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def make_transformers(root, name, seed, *, text=None, vision=None, projection=24, dtype=torch.float32,
                      shard="1GB", edit=None, kind=CLIPModel):
    folder = root / name
    fresh(folder)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    if kind is CLIPModel:
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)
    elif text is not None:
        config = CLIPTextConfig(**text, projection_dim=projection)
    else:
        config = CLIPVisionConfig(**vision, projection_dim=projection)
    model = kind(config)
    liven(model, generator)
    model.save_pretrained(folder, max_shard_size=shard)
    if dtype is not torch.float32:
        store(folder, dtype)
    if edit is not None:
        path = folder / "config.json"
        document = json.loads(path.read_text())
        edit(document)
        path.write_text(json.dumps(document, indent=2) + "\n")
    # What the library reads back is the reference, in fp32 whatever is stored.
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    sizes = {}
    if text is not None:
        inner = model.config.text_config if kind is CLIPModel else model.config
        legacy = inner.eos_token_id == 2
        sizes |= {"vocabulary": inner.vocab_size, "context": inner.max_position_embeddings,
                  "start": inner.vocab_size - 2 if legacy else inner.bos_token_id,
                  "end": inner.vocab_size - 1 if legacy else inner.eos_token_id, "pad": inner.pad_token_id}
    if vision is not None:
        sizes["image"] = (model.config.vision_config if kind is CLIPModel else model.config).image_size
    scale = model.logit_scale.exp().item() if hasattr(model, "logit_scale") else 1
    expect(folder, TransformersText(model) if text is not None else None,
           TransformersImage(model) if vision is not None else None, sizes, scale, generator,
           f"transformers {transformers.__version__}")


def make_open_clip(root, name, seed, model_cfg, dtype=torch.float32):
    folder = root / name
    fresh(folder)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    preprocess = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}, indent=2) + "\n")
    arguments = {key: value for key, value in model_cfg.items() if key != "custom_text"}
    kind = open_clip.CustomTextCLIP if model_cfg.get("custom_text") else open_clip.CLIP
    model = kind(**arguments)
    liven(model, generator)
    weights = {name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    model = open_clip.create_model(f"local-dir:{folder}", precision="fp32").eval()
    vocabulary = model_cfg["text_cfg"]["vocab_size"]
    sizes = {"vocabulary": vocabulary, "context": model_cfg["text_cfg"]["context_length"], "start": vocabulary - 2,
             "end": vocabulary - 1, "pad": 0, "image": model_cfg["vision_cfg"]["image_size"]}
    expect(folder, OpenCLIPText(model), OpenCLIPImage(model), sizes, model.logit_scale.exp().item(), generator,
           f"open_clip {open_clip.__version__}")


def legacy_dicts(document):
    """As early CLIP files on the hub: `…_config_dict` holds the truth, `…_config` something else."""
    document["text_config_dict"] = document["text_config"]
    document["vision_config_dict"] = document["vision_config"]
    document["text_config"] = dict(document["text_config"], hidden_act="gelu", num_hidden_layers=7)
    document["vision_config"] = dict(document["vision_config"], layer_norm_eps=0.01)


def without_defaults(document):
    """As files that only say what differs from the defaults."""
    for tower in ["text_config", "vision_config"]:
        for field in ["hidden_act", "layer_norm_eps", "model_type", "num_channels", "projection_dim",
                      "attention_dropout", "initializer_factor", "initializer_range"]:
            document[tower].pop(field, None)
    document.pop("model_type")
    document["text_config"].pop("num_attention_heads")


def main(root):
    make_transformers(
        root, "transformers-patch7", 1, projection=20,
        text=dict(vocab_size=320, hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
                  max_position_embeddings=16, bos_token_id=318, eos_token_id=319, pad_token_id=0),
        vision=dict(hidden_size=36, intermediate_size=52, num_hidden_layers=2, num_attention_heads=1, image_size=35,
                    patch_size=7))
    make_transformers(
        root, "transformers-gelu-f16", 2, projection=28, dtype=torch.float16,
        text=dict(vocab_size=311, hidden_size=40, intermediate_size=72, num_hidden_layers=3, num_attention_heads=1,
                  max_position_embeddings=77, bos_token_id=0, eos_token_id=2, pad_token_id=1, hidden_act="gelu",
                  layer_norm_eps=1e-6),
        vision=dict(hidden_size=52, intermediate_size=100, num_hidden_layers=2, num_attention_heads=4, image_size=40,
                    patch_size=8, hidden_act="gelu", layer_norm_eps=1e-6))
    make_transformers(
        root, "transformers-shards-bf16", 3, projection=17, dtype=torch.bfloat16, shard="40KB",
        text=dict(vocab_size=300, hidden_size=24, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3,
                  max_position_embeddings=20, bos_token_id=297, eos_token_id=298, pad_token_id=298,
                  layer_norm_eps=1e-3),
        vision=dict(hidden_size=44, intermediate_size=66, num_hidden_layers=2, num_attention_heads=2, image_size=32,
                    patch_size=16, layer_norm_eps=1e-3))
    make_transformers(
        root, "transformers-legacy-dicts", 4, projection=48, edit=legacy_dicts, dtype=torch.float16,
        text=dict(vocab_size=330, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                  max_position_embeddings=12, bos_token_id=328, eos_token_id=329, pad_token_id=329),
        vision=dict(hidden_size=20, intermediate_size=33, num_hidden_layers=2, num_attention_heads=5, image_size=27,
                    patch_size=9, hidden_act="gelu_pytorch_tanh"))
    make_transformers(
        root, "transformers-defaults", 5, projection=32, edit=without_defaults, dtype=torch.float16,
        text=dict(vocab_size=400, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=8,
                  max_position_embeddings=14, bos_token_id=398, eos_token_id=399, pad_token_id=0),
        vision=dict(hidden_size=24, intermediate_size=96, num_hidden_layers=4, num_attention_heads=12, image_size=30,
                    patch_size=8))
    make_transformers(
        root, "transformers-text-projected", 6, projection=30, kind=CLIPTextModelWithProjection, dtype=torch.float16,
        text=dict(vocab_size=310, hidden_size=28, intermediate_size=56, num_hidden_layers=3, num_attention_heads=7,
                  max_position_embeddings=10, bos_token_id=308, eos_token_id=309, pad_token_id=0, hidden_act="gelu"))
    make_transformers(
        root, "transformers-text-bare", 7, kind=CLIPTextModel, dtype=torch.float16,
        text=dict(vocab_size=305, hidden_size=30, intermediate_size=41, num_hidden_layers=2, num_attention_heads=2,
                  max_position_embeddings=9, bos_token_id=303, eos_token_id=304, pad_token_id=0))
    make_transformers(
        root, "transformers-image-projected", 8, projection=26, kind=CLIPVisionModelWithProjection,
        vision=dict(hidden_size=33, intermediate_size=70, num_hidden_layers=2, num_attention_heads=3, image_size=24,
                    patch_size=5, hidden_act="gelu"))
    make_open_clip(
        root, "open-clip-gelu", 9,
        {"embed_dim": 22,
         "vision_cfg": {"image_size": 35, "layers": 2, "width": 39, "head_width": 13, "patch_size": 7,
                        "mlp_ratio": 2.5},
         "text_cfg": {"context_length": 15, "vocab_size": 340, "width": 36, "heads": 3, "layers": 2}})
    make_open_clip(
        root, "open-clip-custom-text", 10,
        {"embed_dim": 34, "quick_gelu": True, "custom_text": True,
         "vision_cfg": {"image_size": 32, "layers": 3, "width": 40, "head_width": 20, "patch_size": 8,
                        "norm_kwargs": {"eps": 1e-6}},
         "text_cfg": {"context_length": 77, "vocab_size": 302, "width": 32, "heads": 1, "layers": 2,
                      "mlp_ratio": 3.0, "norm_kwargs": {"eps": 1e-6}}},
        dtype=torch.float16)
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(f"{total / 1e6:.2f} MB in {root}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES)
