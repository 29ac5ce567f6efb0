"""Writes random-weight checkpoints of full size, and what transformers computes with them.

    python Tests/Generators/full_size.py OUTPUT_FOLDER [--weights-only] [vit-b-32] [vit-l-14] [vit-h-14] [bigg-text]

By default vit-b-32 and vit-l-14. vit-h-14 has the shape of LAION's ViT-H/14; bigg-text is the text tower of LAION's
ViT-bigG/14 alone (the second one of SDXL). With --weights-only nothing is computed: checkpoint, tokenizer and
preprocessing, for benchmarks. bigg-text is made that way only.

Each becomes OUTPUT_FOLDER/NAME: weights as `save_pretrained` writes them, CLIP's tokenizer in transformers' layout
(made from open_clip's copy of the vocabulary), `preprocessor_config.json`, and the expected outputs twice:
`expected.safetensors` with `expected.json` (as models.py describes them, read by the Swift tests), and
`expected.npz` for Python:

    prompts [N] text   prompt_embeddings [N, D]   images [M, H, W, 3] uint8   image_embeddings [M, D]
    cosine [M, N]   logit_scale   pixels [2, 3, S, S]   pixel_embeddings [2, D]
    gradient [3, S, S]: of 1 - cos(pixels 0, prompt 0) with respect to the pixels

Not committed: 0.6, 1.7, 3.9 and 2.8 GB.
"""

import argparse
import gzip
import json
import pathlib
import time

import torchvision_operators  # noqa: F401  (before open_clip)

import numpy
import open_clip
import torch
from transformers import (
    CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer,
)

import models

PROMPTS = [
    "a photo of a cat", "A red circle above a small green star, on a blue background.", "",
    "an extremely detailed oil painting of a lighthouse in a storm, dramatic light, by the sea, waves, birds, "
    "clouds, foam, cliffs, a small boat, people waving, warm windows, a long wooden pier and one lonely dog",
    "smörgåsbord — 寿司 🍣 & naïve café",
]

SHAPES = {
    "vit-b-32": dict(
        text=dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8),
        vision=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                    image_size=224, patch_size=32),
        projection=512),
    "vit-l-14": dict(
        text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
        vision=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                    image_size=224, patch_size=14),
        projection=768),
    "vit-h-14": dict(
        text=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                  hidden_act="gelu"),
        vision=dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
                    image_size=224, patch_size=14, hidden_act="gelu"),
        projection=1024),
    "bigg-text": dict(
        text=dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20,
                  hidden_act="gelu"),
        vision=None, projection=1280),
}


def write_tokenizer(folder):
    """CLIP's vocabulary in transformers' layout: byte symbols, the same ending words, merges, two marks."""
    packed = pathlib.Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    merges = gzip.decompress(packed.read_bytes()).decode().split("\n")[1:49152 - 256 - 2 + 1]
    symbols = list(open_clip.tokenizer.bytes_to_unicode().values())
    entries = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(merge.split()) for merge in merges]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(entries)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def make_checkpoint(folder, shape, seed, generator):
    """Writes weights, tokenizer and preprocessing, and returns them."""
    models.fresh(folder)
    torch.manual_seed(seed)
    if shape["vision"] is None:
        model = CLIPTextModelWithProjection(CLIPTextConfig(**shape["text"], projection_dim=shape["projection"]))
    else:
        model = CLIPModel(CLIPConfig(text_config=shape["text"], vision_config=shape["vision"],
                                     projection_dim=shape["projection"]))
    model.eval()
    models.liven(model, generator)
    model.save_pretrained(folder)
    tokenizer = write_tokenizer(folder)
    processor = CLIPImageProcessor()
    if shape["vision"] is not None:
        processor.save_pretrained(folder)
    return model, tokenizer, processor


def make(root, name, seed, weights_only):
    folder = root / name
    generator = torch.Generator().manual_seed(seed)
    model, tokenizer, processor = make_checkpoint(folder, SHAPES[name], seed, generator)
    if weights_only:
        return
    config = model.config
    text, image = models.TransformersText(model), models.TransformersImage(model)
    scale = model.logit_scale.exp().item()
    sizes = {"vocabulary": 49408, "context": 77, "start": 49406, "end": 49407,
             "pad": tokenizer.pad_token_id, "image": config.vision_config.image_size}
    models.expect(folder, text, image, sizes, scale, generator, f"transformers, {name}")

    rows = tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
    images = [torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
              for height, width in [(300, 300), (300, 300)]]
    pixels = processor(images=[value.numpy() for value in images], return_tensors="pt").pixel_values
    with torch.no_grad():
        prompts = text(rows)[0]
        features = image(pixels)
        cosine = torch.nn.functional.cosine_similarity(features[:, None], prompts[None], dim=-1)
    variable = pixels[:1].clone().requires_grad_(True)
    loss = 1 - torch.nn.functional.cosine_similarity(image(variable)[0], prompts[0], dim=0)
    loss.backward()
    numpy.savez(
        folder / "expected.npz", prompts=numpy.array(PROMPTS), prompt_embeddings=prompts.numpy(),
        images=torch.stack(images).numpy(), image_embeddings=features.numpy(), cosine=cosine.numpy(),
        logit_scale=scale, pixels=pixels.numpy(), pixel_embeddings=features.numpy(),
        gradient=variable.grad[0].numpy())

    timings = {}
    for what, work in [("image", lambda: image(pixels[:1])), ("text", lambda: text(rows[:1]))]:
        with torch.no_grad():
            work()
            start = time.perf_counter()
            for _ in range(5):
                work()
        timings[what] = (time.perf_counter() - start) / 5
    start = time.perf_counter()
    for _ in range(3):
        variable.grad = None
        (1 - torch.nn.functional.cosine_similarity(image(variable)[0], prompts[0], dim=0)).backward()
    timings["gradient"] = (time.perf_counter() - start) / 3
    milliseconds = ", ".join(f"{key} {1e3 * value:.1f} ms" for key, value in timings.items())
    print(f"{folder}: PyTorch on {torch.get_num_threads()} threads: {milliseconds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHAPES))
    parser.add_argument("--weights-only", action="store_true")
    arguments = parser.parse_args()
    names = arguments.names or ["vit-b-32", "vit-l-14"]
    for name in names:
        if name not in SHAPES:
            parser.error(f"{name}: expected one of {', '.join(SHAPES)}")
        if SHAPES[name]["vision"] is None and not arguments.weights_only:
            parser.error(f"{name}: expected outputs are not made of a text tower alone; add --weights-only")
    for seed, name in enumerate(SHAPES, start=100):
        if name in names:
            make(arguments.folder, name, seed, arguments.weights_only)


if __name__ == "__main__":
    main()
