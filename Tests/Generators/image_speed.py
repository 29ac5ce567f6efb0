"""Times Pillow's decode and the references' preprocessing, beside ImageBenchmark in the Swift tests.

    PYTHON Tests/Generators/image_speed.py FOLDER                       # draws the PNG files, times Pillow
    GUIDANCED_IMAGE_BENCHMARK=FOLDER swift test -c release --filter ImageBenchmark
"""

import io
import pathlib
import sys
import time

import numpy as np
import torchvision_operators  # noqa: F401  (before torchvision)
from open_clip.transform import image_transform
from PIL import Image
from transformers.image_transforms import convert_to_rgb


def photo(size, channels, noise):
    """Smooth shapes with film grain, which compresses about as a photograph does."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (size // 32, size // 32, channels), dtype=np.uint8)
    mode = {3: "RGB", 4: "RGBA"}[channels]
    image = np.array(Image.fromarray(coarse, mode).resize((size, size), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray(np.clip(image + random.integers(-noise, noise + 1, image.shape), 0, 255).astype(np.uint8), mode)


def milliseconds(body):
    best = float("inf")
    for _ in range(15):
        start = time.perf_counter()
        body()
        best = min(best, time.perf_counter() - start)
    return f"{best * 1000:.2f} ms"


folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, size, channels, noise in (
    ("photo-1024-rgb", 1024, 3, 4), ("photo-1024-rgba", 1024, 4, 4), ("photo-512-rgb", 512, 3, 4), ("noise-1024-rgb", 1024, 3, 128),
):
    photo(size, channels, noise).save(folder / f"{name}.png")
    data = (folder / f"{name}.png").read_bytes()
    image = Image.open(io.BytesIO(data))
    image.load()
    resize, crop, convert = image_transform(224, is_train=False).transforms[:3]
    print(
        f"{name} ({len(data)} bytes): decode", milliseconds(lambda: Image.open(io.BytesIO(data)).load()),
        "transformers' steps", milliseconds(lambda: Image.fromarray(convert_to_rgb(image, return_numpy=True)).resize((224, 224), 3)),
        "open_clip's steps", milliseconds(lambda: convert(crop(resize(image)))))
