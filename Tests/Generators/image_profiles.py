"""Writes profiles.tsv, and one normalised image a profile, beside what images.py writes: what transformers'
torchvision backend (CLIPImageProcessor of transformers 5) and ComfyUI's CLIP vision make of images.

    PYTHON Tests/Generators/image_profiles.py        # in the reference environment, on x86-64 with AVX2 or more

ComfyUI is no package. `comfy` below has the steps of `clip_preprocess` (comfy/clip_vision.py) after those of its
LoadImage node (nodes.py), on the same functions of torch.
"""

import numpy as np
import torch

import images
from transformers.models.clip.image_processing_clip import CLIPImageProcessor

OUT, crc, synthetic = images.OUT, images.crc, images.synthetic
torch.set_num_threads(1)


def torchvision_bytes(image, **options):
    """[H, W, 3] bytes before normalisation, from the processor itself."""
    processor = CLIPImageProcessor(do_rescale=False, do_normalize=False, **options)
    assert processor.backend == "torchvision"
    values = processor(image, return_tensors="pt")["pixel_values"][0]
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy().astype(np.uint8))


def comfy(image, size, crop=True):
    """Levels [H, W, 3] and normalised values [3, H, W]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")).astype(np.float32) / 255.0)[None].movedim(-1, 1)
    if pixels.shape[2:] != (size, size):
        scale = size / min(pixels.shape[2:])
        sides = tuple(round(scale * side) for side in pixels.shape[2:]) if crop else (size, size)
        pixels = torch.nn.functional.interpolate(pixels, size=sides, mode="bicubic", antialias=True)
        top, left = (pixels.shape[2] - size) // 2, (pixels.shape[3] - size) // 2
        pixels = pixels[:, :, top:top + size, left:left + size]
    levels = torch.clip(255.0 * pixels, 0, 255).round()
    mean, std = torch.tensor(images.MEAN), torch.tensor(images.STD)
    normalised = (levels / 255.0 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    return np.ascontiguousarray(levels[0].permute(1, 2, 0).numpy().astype(np.uint8)), normalised[0].numpy()


def configurations(size):
    """name -> bytes of an image. ImageFixtures.configuration in the Swift tests knows the names."""
    larger = size + size // 3 + 1
    codes = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
    table = {
        f"torchvision-{name}": (lambda image, code=code: torchvision_bytes(
            image, size={"shortest_edge": size}, crop_size=size, resample=code))
        for name, code in codes.items()
    }
    return table | {
        "torchvision-padded": lambda image: torchvision_bytes(
            image, size={"shortest_edge": size}, crop_size={"height": larger, "width": larger + 3}),
        "torchvision-cropped": lambda image: torchvision_bytes(
            image, size={"shortest_edge": larger}, crop_size={"height": size, "width": size}),
        "torchvision-squash": lambda image: torchvision_bytes(
            image, size={"height": size, "width": larger}, do_center_crop=False),
        "torchvision-bounded": lambda image: torchvision_bytes(
            image, size={"shortest_edge": size, "longest_edge": size + size // 2}, crop_size=size),
        "torchvision-unresized": lambda image: torchvision_bytes(image, do_resize=False, crop_size=size),
        "comfy-bicubic": lambda image: comfy(image, size)[0],
        "comfy-squash": lambda image: comfy(image, size, crop=False)[0],
    }


def write_resize():
    lines, seed = [], 7000
    for mode in ("RGB", "RGBA", "L", "P", "I;16"):
        for index, (height, width) in enumerate(images.SIZES):
            size = [32, 21, 64, 7][index % 4]
            image = synthetic(mode, height, width, seed)
            for name, make in configurations(size).items():
                if mode not in ("RGB", "L") and not name.endswith("bicubic"):
                    continue
                try:
                    result = crc(make(image).tobytes())
                except (ValueError, RuntimeError) as error:
                    assert "0" in str(error), error
                    result = "error"
                lines.append(f"{mode}\t{height}\t{width}\t{seed}\t{size}\t{name}\t{result}")
            seed += 1
    # Large and lopsided, where positions are far from exact in floating point.
    for mode, height, width in (("RGB", 8001, 2), ("L", 2000, 1503), ("RGBA", 1031, 777), ("RGB", 1080, 1920)):
        image = synthetic(mode, height, width, seed)
        for name in ("torchvision-bicubic", "torchvision-lanczos", "comfy-bicubic"):
            lines.append(f"{mode}\t{height}\t{width}\t{seed}\t224\t{name}\t{crc(configurations(224)[name](image).tobytes())}")
        seed += 1
    (OUT / "profiles.tsv").write_text("\n".join(lines) + "\n")
    print(len(lines), "resizes")


def write_normalized():
    image = synthetic("RGB", 45, 70, 99)
    processor = CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=24)
    name = "transformers-torchvision"
    processor(image, return_tensors="pt")["pixel_values"][0].numpy().astype("<f4").tofile(OUT / f"normalized-{name}.bin")
    torchvision_bytes(image, size={"shortest_edge": 24}, crop_size=24).tofile(OUT / f"bytes-{name}.bin")
    levels, normalised = comfy(image, 24)
    levels.tofile(OUT / "bytes-comfy.bin")
    normalised.astype("<f4").tofile(OUT / "normalized-comfy.bin")


if __name__ == "__main__":
    write_resize()
    write_normalized()
