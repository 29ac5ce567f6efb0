"""Converts checkpoints with `guidanced convert` and loads the result with transformers: the outputs must be those of the
library that the checkpoint came from.

    python Tests/Parity/converted.py [--bin .build/release/guidanced]

OpenCLIP's small fixtures and OpenAI's archive are compared with open_clip itself, the others with transformers on the
original. Tolerance: 1e-5 of the largest value (both sides compute in fp32; the weights are equal bit for bit).
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "Tests" / "Generators"))

import torchvision_operators  # noqa: E402, F401  (before open_clip)

import open_clip  # noqa: E402
import torch  # noqa: E402
from transformers import (  # noqa: E402
    CLIPImageProcessor, CLIPModel, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer,
)

FIXTURES = ROOT / "Tests" / "EncodersTests" / "Fixtures"


def rows(vocabulary, context):
    generator = torch.Generator().manual_seed(5)
    row = torch.randint(0, vocabulary - 3, (2, context), generator=generator)
    row[:, 0] = vocabulary - 2
    row[:, context - 3] = vocabulary - 1
    row[:, context - 2:] = 0
    return row


def difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def convert(binary, source, folder):
    subprocess.run([binary, "convert", str(source), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def text_of(kind, folder, ids):
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        output = model(input_ids=ids)
    return output.last_hidden_state


def against_open_clip(binary, source, root, image):
    """Both towers of an open_clip directory."""
    made = CLIPModel.from_pretrained(convert(binary, source, root / source.name), dtype=torch.float32).eval()
    model = open_clip.create_model(f"local-dir:{source}", precision="fp32").eval()
    ids = rows(made.config.text_config.vocab_size, made.config.text_config.max_position_embeddings)
    pixels = torch.randn((2, 3, image, image), generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        yield f"{source.name} text", difference(made.get_text_features(input_ids=ids).pooler_output,
                                                model.encode_text(ids))
        yield f"{source.name} image", difference(made.get_image_features(pixel_values=pixels).pooler_output,
                                                 model.encode_image(pixels))
    yield f"{source.name} scale", abs(made.logit_scale.item() - model.logit_scale.item())


def openai(binary, root):
    """The TorchScript archive runs itself."""
    source = FIXTURES / "formats" / "openai.pt"
    made = CLIPModel.from_pretrained(convert(binary, source, root / "openai"), dtype=torch.float32).eval()
    script = torch.jit.load(source).float().eval()
    ids = rows(made.config.text_config.vocab_size, made.config.text_config.max_position_embeddings)
    # The module was traced with one row.
    for index in range(2):
        with torch.no_grad():
            pixels = torch.randn((1, 3, 24, 24), generator=torch.Generator().manual_seed(index))
            yield "openai.pt text", difference(
                made.get_text_features(input_ids=ids[index:index + 1]).pooler_output,
                script.encode_text(ids[index:index + 1]))
            yield "openai.pt image", difference(
                made.get_image_features(pixel_values=pixels).pooler_output, script.encode_image(pixels))


def pipelines(binary, root):
    """Text encoders of a diffusers folder, and of files with the same kind of tower."""
    folder = FIXTURES / "formats" / "diffusers-sdxl"
    for role, part, kind in [("clip_l", "text_encoder", CLIPTextModel),
                             ("clip_g", "text_encoder_2", CLIPTextModelWithProjection)]:
        made = convert(binary, f"{folder}#{role}", root / role)
        ids = rows(574, 12)
        yield f"{folder.name} {role}", difference(text_of(kind, made, ids), text_of(kind, folder / part, ids))
        tokenizer = CLIPTokenizer.from_pretrained(made)
        original = CLIPTokenizer.from_pretrained(folder / ("tokenizer" if role == "clip_l" else "tokenizer_2"))
        same = tokenizer("a cat! 12") == original("a cat! 12") and tokenizer.pad_token_id == original.pad_token_id
        yield f"{folder.name} {role} tokens", 0.0 if same else 1.0
    made = convert(binary, f"{folder}#image_encoder", root / "image_encoder")
    processor = CLIPImageProcessor.from_pretrained(made)
    yield f"{folder.name} image mean", abs(processor.image_mean[1] - 0.25)
    made = convert(binary, FIXTURES / "formats" / "sd1.ckpt", root / "sd1")
    other = convert(binary, FIXTURES / "formats" / "sd1.safetensors", root / "sd1-2")
    yield "sd1.ckpt", difference(text_of(CLIPTextModel, made, rows(60, 12)), text_of(CLIPTextModel, other, rows(60, 12)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default=str(ROOT / ".build" / "release" / "guidanced"))
    binary = parser.parse_args().bin
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        checks = [
            against_open_clip(binary, FIXTURES / "models" / "open-clip-gelu", root, 35),
            against_open_clip(binary, FIXTURES / "models" / "open-clip-custom-text", root, 32),
            openai(binary, root), pipelines(binary, root),
        ]
        for check in checks:
            for label, value in check:
                print(f"{label:40} {value:.2e}")
                worst = max(worst, value)
    print("converted: equal" if worst <= 1e-5 else f"converted: DIFFERENT ({worst:.2e})")
    return 0 if worst <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
