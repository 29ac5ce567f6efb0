"""Writes Tests/EncodersTests/Fixtures/image: PNG files of other programs' making, and what Pillow,
transformers (CLIPImageProcessorPil), open_clip (image_transform) and torch make of them.

    PYTHON Tests/Generators/images.py        # in the reference environment; needs netpbm's pnmtopng

Everything is seeded; running it twice gives the same files.
"""

import io
import pathlib
import struct
import subprocess
import warnings
import zlib

import numpy as np
import torch
from PIL import Image, ImageCms, PngImagePlugin

import torchvision_operators  # noqa: F401  (before torchvision)
import torchvision.transforms.functional as tvf  # noqa: E402
from open_clip.transform import ResizeKeepRatio, center_crop_or_pad, image_transform  # noqa: E402
from transformers.image_transforms import convert_to_rgb  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402

OUT = pathlib.Path(__file__).parent.parent / "EncodersTests" / "Fixtures" / "image"
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
warnings.simplefilter("ignore")
torch.set_num_threads(1)


def noise(count, seed):
    """Bytes that ImageFixtures.noise in the Swift tests makes too."""
    x = np.arange(count, dtype=np.uint64) * 0x9E3779B1 + seed
    x &= 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x85EBCA77) & 0xFFFFFFFF
    x ^= x >> 13
    x = (x * 0xC2B2AE3D) & 0xFFFFFFFF
    return (x >> 24).astype(np.uint8)


def smooth(height, width, channels, seed):
    """Ramps with a little noise: what photographs are like to a filter of PNG."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    planes = [(x * (3 + c) + y * (5 - c) + noise(height * width, seed + c).reshape(height, width) // 8) % 256
              for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def crc(data):
    return format(zlib.crc32(bytes(data)), "08x")


# PNG files ------------------------------------------------------------------------------------------


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filtered(rows, pixel_bytes, first_filter):
    """Rows of bytes under PNG's five filters in turn."""
    out, previous = b"", np.zeros_like(rows[0]) if len(rows) else None
    for index, row in enumerate(rows):
        kind = (first_filter + index) % 5
        left = np.concatenate([np.zeros(pixel_bytes, np.uint8), row])[: len(row)].astype(int)
        corner = np.concatenate([np.zeros(pixel_bytes, np.uint8), previous])[: len(row)].astype(int)
        up = previous.astype(int)
        estimate = left + up - corner
        distances = np.stack([abs(estimate - left), abs(estimate - up), abs(estimate - corner)])
        paeth = np.choose(distances.argmin(0), [left, up, corner])
        predicted = [0 * left, left, up, (left + up) // 2, paeth][kind]
        out += bytes([kind]) + ((row.astype(int) - predicted) % 256).astype(np.uint8).tobytes()
        previous = row
    return out


def packed(samples, depth):
    """[rows, columns, channels] samples as rows of bytes."""
    if depth == 16:
        return samples.astype(">u2").view(np.uint8).reshape(samples.shape[0], -1)
    flat = samples.reshape(samples.shape[0], -1).astype(np.uint8)
    if depth == 8:
        return flat
    bits = ((flat[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(flat.shape[0], -1)
    return np.packbits(bits.astype(np.uint8), axis=1)


def handmade(color_type, depth, width, height, interlaced, seed, trns=None, palette=None, before=()):
    """A PNG file put together chunk by chunk, for the forms that no writer here produces."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    values = noise(height * width * channels * 2, seed).view(np.uint16).reshape(height, width, channels)
    top = len(palette) // 3 if palette is not None else 1 << depth
    samples = values.astype(np.int64) % top
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        part = samples[y::dy, x::dx]
        if part.size:
            raw += filtered(packed(part, depth), max(1, channels * depth // 8), seed % 5)
    data = zlib.compress(raw, 9)
    middle = len(data) // 2
    return b"".join([
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))),
        *[chunk(k, d) for k, d in before],
        *([chunk(b"PLTE", bytes(palette))] if palette is not None else []),
        *([chunk(b"tRNS", trns)] if trns is not None else []),
        chunk(b"IDAT", data[:middle]), chunk(b"IDAT", b""), chunk(b"IDAT", data[middle:]),
        chunk(b"IEND"),
    ])


def netpbm(pixels, *options, alpha=None):
    """pnmtopng's file of [H, W] or [H, W, 3] samples, 8 or 16 bits."""
    def pnm(array):
        kind, top = (b"P5" if array.ndim == 2 else b"P6"), (65535 if array.dtype == np.uint16 else 255)
        data = array.astype(">u2").tobytes() if top == 65535 else array.tobytes()
        return kind + b"\n%d %d\n%d\n" % (array.shape[1], array.shape[0], top) + data
    arguments = ["pnmtopng", *options]
    if alpha is not None:
        path = pathlib.Path(OUT) / "alpha.pgm"
        path.write_bytes(pnm(alpha))
        arguments.append(f"-alpha={path}")
    result = subprocess.run(arguments, input=pnm(pixels), capture_output=True, check=True).stdout
    if alpha is not None:
        path.unlink()
    return result


def pillow(image, **options):
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def png_files():
    files = {}
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    seed = 1
    for color_type, allowed in depths.items():
        for depth in allowed:
            for interlaced in (False, True):
                palette = noise(3 * min(1 << depth, 200), seed + 7) if color_type == 3 else None
                name = f"type{color_type}-{depth}bit{'-interlaced' if interlaced else ''}"
                width, height = [(33, 17), (7, 5), (29, 31), (13, 8)][seed % 4]
                files[name] = handmade(color_type, depth, width, height, interlaced, seed, palette=palette)
                seed += 1
    for size in ((1, 1), (2, 1), (1, 3), (5, 5)):
        files[f"tiny-{size[0]}x{size[1]}-interlaced"] = handmade(2, 8, *size, True, seed)
        seed += 1

    # Transparency in every form.
    for depth, value in ((1, 1), (1, 0), (2, 2), (4, 9), (8, 77), (16, 300), (16, 255), (16, 65535)):
        files[f"trns-grey-{depth}bit-{value}"] = handmade(
            0, depth, 19, 11, False, seed, trns=struct.pack(">H", value))
        seed += 1
    files["trns-rgb-8bit"] = handmade(2, 8, 9, 9, False, seed, trns=struct.pack(">HHH", *[
        int(v) for v in noise(9 * 9 * 3 * 2, seed).view(np.uint16)[:3] % 256]))
    seed += 1
    files["trns-rgb-16bit"] = handmade(2, 16, 9, 9, False, seed, trns=struct.pack(">HHH", *[
        int(v) >> 8 for v in noise(9 * 9 * 3 * 2, seed).view(np.uint16)[:3]]))
    seed += 1
    palette = noise(3 * 16, seed)
    for name, trns in {
        "one": b"\xff\xff\x00\xff", "several": b"\x00\x40\x80\xc0\xff\x10", "opaque": b"\xff\xff\xff",
        "newline": b"\xff\x00\xff\x0a", "all": bytes(range(0, 256, 16)),
    }.items():
        files[f"trns-palette-{name}"] = handmade(3, 4, 21, 14, name == "all", seed, trns=trns, palette=palette)
        seed += 1

    # Chunks that must not change a pixel.
    profile = zlib.compress(b"not a profile" * 50)
    files["chunks"] = handmade(2, 8, 12, 10, False, seed, before=[
        (b"gAMA", struct.pack(">I", 22222)), (b"cHRM", struct.pack(">8I", *range(30000, 38000, 1000))),
        (b"sBIT", b"\x05\x06\x05"), (b"bKGD", struct.pack(">HHH", 1, 2, 3)),
        (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)), (b"tEXt", b"Title\0hello"), (b"vpAg", b"\0" * 9)])
    files["chunks-srgb"] = handmade(6, 8, 12, 10, False, seed + 1, before=[(b"sRGB", b"\0")])
    files["chunks-iccp"] = handmade(0, 8, 12, 10, False, seed + 2, before=[(b"iCCP", b"junk\0\0" + profile)])
    files["chunks-ztxt-bomb"] = handmade(2, 8, 3, 3, False, seed + 3, before=[
        (b"zTXt", b"bomb\0\0" + zlib.compress(bytes(900_000), 9)),
        (b"iCCP", b"bomb\0\0" + zlib.compress(bytes(900_000), 9))])
    files["long-30000x1"] = handmade(3, 1, 30000, 1, False, seed + 4, palette=[200, 30, 60, 10, 240, 90])
    files["long-1x30000"] = handmade(3, 1, 1, 30000, False, seed + 5, palette=[200, 30, 60, 10, 240, 90])

    # Pillow.
    files["pillow-rgb"] = pillow(Image.fromarray(smooth(60, 83, 3, 5)), optimize=True)
    files["pillow-rgba"] = pillow(Image.fromarray(smooth(47, 40, 4, 6), "RGBA"))
    files["pillow-la"] = pillow(Image.fromarray(smooth(31, 52, 2, 7), "LA"))
    files["pillow-grey"] = pillow(Image.fromarray(smooth(33, 33, 1, 8)[..., 0]))
    files["pillow-grey16"] = pillow(Image.fromarray(
        smooth(20, 35, 1, 9)[..., 0].astype(np.uint16) * 3))
    files["pillow-bilevel"] = pillow(Image.fromarray(smooth(25, 45, 1, 10)[..., 0]).convert("1"))
    quantized = Image.fromarray(smooth(40, 40, 3, 11)).quantize(37)
    files["pillow-palette"] = pillow(quantized, transparency=3)
    files["pillow-palette-bits4"] = pillow(Image.fromarray(smooth(23, 19, 3, 12)).quantize(9), bits=4)
    files["pillow-rgb-trns"] = pillow(Image.fromarray(smooth(9, 9, 3, 13)), transparency=tuple(
        int(v) for v in smooth(9, 9, 3, 13)[4, 4]))
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    srgb[24:36] = bytes(12)  # the time of its creation
    files["pillow-icc"] = pillow(Image.fromarray(smooth(16, 16, 3, 14)), icc_profile=bytes(srgb))
    text = PngImagePlugin.PngInfo()
    text.add_itxt("Comment", "Grüße " * 40, zip=True)
    files["pillow-text"] = pillow(Image.fromarray(smooth(16, 16, 3, 15)), pnginfo=text)
    frames = [Image.fromarray(smooth(18, 22, 3, 16 + i)) for i in range(3)]
    files["pillow-animated"] = pillow(frames[0], save_all=True, append_images=frames[1:])

    # netpbm.
    files["netpbm-rgb"] = netpbm(smooth(37, 51, 3, 30))
    files["netpbm-rgb-interlaced"] = netpbm(smooth(37, 51, 3, 31), "-interlace")
    files["netpbm-grey"] = netpbm(smooth(22, 41, 1, 32)[..., 0], "-gamma", "0.45")
    files["netpbm-grey16"] = netpbm(smooth(22, 41, 1, 33)[..., 0].astype(np.uint16) * 257 + 11)
    files["netpbm-rgb16"] = netpbm(smooth(22, 41, 3, 34).astype(np.uint16) * 251 + 5)
    files["netpbm-palette"] = netpbm((smooth(30, 30, 3, 35) // 100 * 100).astype(np.uint8), "-interlace")
    files["netpbm-alpha"] = netpbm(smooth(24, 26, 3, 36), alpha=smooth(24, 26, 1, 37)[..., 0])
    files["netpbm-grey-alpha16"] = netpbm(
        smooth(24, 26, 1, 38)[..., 0].astype(np.uint16) * 257, alpha=smooth(24, 26, 1, 39)[..., 0].astype(np.uint16) * 250)
    files["netpbm-transparent"] = netpbm((smooth(30, 30, 3, 40) // 90 * 90).astype(np.uint8), "-transparent", "rgb:5a/5a/5a")
    files["netpbm-background"] = netpbm(
        smooth(15, 15, 3, 41), "-gamma", "1.0", "-background", "red")
    return files


def samples(image):
    """An image's samples in the layout of DecodedImage."""
    if image.mode == "1":
        return (np.array(image).astype(np.uint8) * 255).tobytes()
    return image.tobytes()


# Preprocessing --------------------------------------------------------------------------------------


def transformers_bytes(image, **options):
    """[H, W, 3] bytes before normalisation, from the processor itself."""
    processor = CLIPImageProcessorPil(do_rescale=False, do_normalize=False, **options)
    values = processor(image, return_tensors="np")["pixel_values"][0]
    return np.ascontiguousarray(np.moveaxis(values, 0, -1).astype(np.uint8))


def openclip_bytes(image, size, **options):
    transform = image_transform(size, is_train=False, **options)
    for step in transform.transforms[:-2]:  # without ToTensor and Normalize
        image = step(image)
    assert image.mode == "RGB"
    return np.array(image)


def configurations(size):
    """name -> bytes of an image. ImageFixtures.configuration in the Swift tests knows the names."""
    codes = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
    table = {
        f"transformers-{name}": (lambda image, code=code: transformers_bytes(
            image, size={"shortest_edge": size}, crop_size=size, resample=code))
        for name, code in codes.items()
    }
    larger = size + size // 3 + 1
    table |= {
        "transformers-padded": lambda image: transformers_bytes(
            image, size={"shortest_edge": size}, crop_size={"height": larger, "width": larger + 3}),
        "transformers-cropped": lambda image: transformers_bytes(
            image, size={"shortest_edge": larger}, crop_size={"height": size, "width": size}),
        "transformers-squash": lambda image: transformers_bytes(
            image, size={"height": size, "width": larger}, do_center_crop=False),
        "transformers-bounded": lambda image: transformers_bytes(
            image, size={"shortest_edge": size, "longest_edge": size + size // 2}, crop_size=size),
        "transformers-unresized": lambda image: transformers_bytes(
            image, do_resize=False, crop_size=size),
        "open_clip-bicubic": lambda image: openclip_bytes(image, size),
        "open_clip-bilinear": lambda image: openclip_bytes(image, size, interpolation="bilinear"),
        "open_clip-squash": lambda image: openclip_bytes(image, size, resize_mode="squash"),
        "open_clip-longest": lambda image: openclip_bytes(image, size, resize_mode="longest"),
        "open_clip-longest-fill": lambda image: openclip_bytes(
            image, size, resize_mode="longest", fill_color=5),
        "open_clip-cover": lambda image: openclip_bytes(image, (size, larger), interpolation="bilinear"),
    }
    return table


def synthetic(mode, height, width, seed):
    """The image that ImageFixtures.synthetic makes."""
    count = height * width
    if mode == "1":
        return Image.fromarray(((noise(count, seed) > 127) * 255).astype(np.uint8).reshape(height, width)).convert(
            "1", dither=Image.Dither.NONE)
    if mode == "L":
        return Image.fromarray(noise(count, seed).reshape(height, width))
    if mode == "I;16":
        # Mostly small values, where clipping leaves something to see.
        values = noise(2 * count, seed).reshape(-1, 2).astype(np.uint16)
        values = values[:, 0] + ((values[:, 1] > 200) * values[:, 1]) * 256
        return Image.fromarray(values.astype(np.uint16).reshape(height, width))
    if mode == "P":
        image = Image.frombytes("P", (width, height), (noise(count, seed) % 61).tobytes())
        image.putpalette(noise(3 * 50, seed + 1).tobytes())
        if seed % 3 == 1:
            image.info["transparency"] = 7
        elif seed % 3 == 2:
            image.info["transparency"] = noise(40, seed + 2).tobytes()
        return image
    channels = len(mode)
    return Image.frombytes(mode, (width, height), noise(count * channels, seed).tobytes())


SIZES = [
    (1, 1), (1, 2), (2, 1), (3, 3), (7, 5), (5, 7), (16, 16), (17, 16), (31, 33), (32, 32), (50, 64), (63, 64),
    (64, 64), (65, 64), (97, 101), (100, 37), (37, 100), (128, 129), (224, 225), (300, 200), (211, 333), (1, 90),
    (90, 1), (400, 3), (3, 500), (513, 511),
]


def write_resize():
    lines, seed = [], 1000
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        for index, (height, width) in enumerate(SIZES):
            size = [32, 21, 64, 7][index % 4]
            image = synthetic(mode, height, width, seed)
            for name, make in configurations(size).items():
                if mode in ("L", "LA", "1") and name in ("transformers-box", "transformers-hamming"):
                    continue
                try:
                    result = crc(make(image).tobytes())
                except ValueError as error:
                    assert "height and width must be > 0" in str(error), error
                    result = "error"
                lines.append(f"{mode}\t{height}\t{width}\t{seed}\t{size}\t{name}\t{result}")
            seed += 1
    # Large and lopsided, where positions are far from exact in floating point.
    for mode, height, width in (("P", 3, 40001), ("RGB", 40001, 2), ("1", 1999, 3001), ("L", 2000, 1503), ("RGBA", 1031, 777)):
        image = synthetic(mode, height, width, seed)
        for name in ("transformers-bicubic", "open_clip-bicubic", "transformers-lanczos", "open_clip-squash"):
            lines.append(f"{mode}\t{height}\t{width}\t{seed}\t224\t{name}\t{crc(configurations(224)[name](image).tobytes())}")
        seed += 1
    (OUT / "resize.tsv").write_text("\n".join(lines) + "\n")
    print(len(lines), "resizes")


def write_pngs():
    folder = OUT / "png"
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, data in sorted(png_files().items()):
        (folder / f"{name}.png").write_bytes(data)
        image = Image.open(io.BytesIO(data))
        image.load()
        white = convert_to_rgb(image, return_numpy=True)
        opaque = np.array(image.convert("RGB"))
        lines.append("\t".join([
            name, image.mode, str(image.height), str(image.width), crc(samples(image)), crc(white.tobytes()),
            crc(opaque.tobytes()), crc(transformers_bytes(image, size=24, crop_size=24).tobytes()),
            crc(openclip_bytes(image, 24).tobytes())]))
    (OUT / "png.tsv").write_text("\n".join(lines) + "\n")
    print(len(lines), "PNG files,", sum(p.stat().st_size for p in folder.iterdir()), "bytes")


def write_tables():
    """Every pair of colour and alpha, every 16-bit grey: exhaustive, as digests."""
    color = np.tile(np.arange(256), 256).astype(np.uint8)
    alpha = np.repeat(np.arange(256), 256).astype(np.uint8)
    rgba = Image.frombytes("RGBA", (256, 256), np.stack([color, 255 - color, 255 - color, alpha], -1).tobytes())
    grey16 = Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    lines = [
        f"white\t{crc(convert_to_rgb(rgba, return_numpy=True).tobytes())}",
        f"opaque\t{crc(np.array(rgba.convert('RGB')).tobytes())}",
        f"premultiplied\t{crc(rgba.convert('RGBa').tobytes())}",
        f"unpremultiplied\t{crc(Image.frombytes('RGBa', rgba.size, rgba.tobytes()).convert('RGBA').tobytes())}",
        f"grey16\t{crc(np.array(grey16.convert('RGB')).tobytes())}",
    ]
    (OUT / "tables.tsv").write_text("\n".join(lines) + "\n")


def write_normalized():
    """Two normalised inputs bit for bit, and one set of bytes for diagnosis."""
    image = synthetic("RGB", 45, 70, 99)
    processor = CLIPImageProcessorPil(size=24, crop_size=24)
    processor(image, return_tensors="np")["pixel_values"][0].astype("<f4").tofile(OUT / "normalized-transformers-pil.bin")
    image_transform(24, is_train=False)(image).numpy().astype("<f4").tofile(OUT / "normalized-open_clip.bin")
    transformers_bytes(image, size=24, crop_size=24).tofile(OUT / "bytes-transformers-pil.bin")
    openclip_bytes(image, 24).tofile(OUT / "bytes-open_clip.bin")


# The differentiable path ------------------------------------------------------------------------------


def unit(count, seed):
    return torch.from_numpy(noise(count, seed).astype(np.float64) / 255)


def differentiable(kind, x, size):
    """The float path, from torch's and torchvision's own functions."""
    height, width = x.shape[-2:]
    short, long = min(height, width), max(height, width)

    def interpolate(x, new, mode="bicubic"):
        return torch.nn.functional.interpolate(x[None], size=tuple(new), mode=mode, antialias=True, align_corners=False)[0]

    new = (int(size * long / short), size) if width <= height else (size, int(size * long / short))
    if kind.startswith("transformers"):
        x = interpolate(x, new, "bilinear" if kind == "transformers-bilinear" else "bicubic")
        crop = size + size // 3 + 1 if kind == "transformers-padded" else size
        top, left = (x.shape[1] - crop) // 2, (x.shape[2] - crop) // 2
        x = torch.nn.functional.pad(x, (max(0, -left), max(0, -left), max(0, -top), max(0, -top)))
        top, left = max(0, top), max(0, left)
        x = x[:, top:top + crop, left:left + crop]
    elif kind == "open_clip-squash":
        x = interpolate(x, (size, size))
    elif kind == "open_clip-longest":
        x = interpolate(x, ResizeKeepRatio.get_params(Image.new("L", (width, height)), (size, size), 1.0))
        x = center_crop_or_pad(x, (size, size), fill=0)
    else:
        x = tvf.center_crop(interpolate(x, new), [size, size])
    return (x - torch.tensor(MEAN, dtype=x.dtype)[:, None, None]) / torch.tensor(STD, dtype=x.dtype)[:, None, None]


def write_differentiable():
    cases = [
        ("transformers", 16, 16, 20), ("transformers", 37, 53, 20), ("open_clip", 37, 53, 20), ("transformers", 24, 24, 24),
        ("transformers", 100, 23, 17), ("open_clip", 23, 100, 16), ("transformers", 1, 1, 9), ("transformers", 1, 40, 8),
        ("open_clip", 41, 1, 8), ("transformers", 500, 333, 14), ("open_clip", 2000, 31, 10), ("transformers", 2300, 1801, 7),
        ("open_clip", 41, 40, 33), ("transformers", 40, 41, 33), ("open_clip-squash", 30, 50, 24), ("transformers-padded", 30, 35, 20),
        ("open_clip-longest", 30, 50, 24), ("transformers-bilinear", 61, 45, 20), ("transformers", 224, 225, 16), ("open_clip", 8, 5, 32),
    ]
    lines, blob, seed = [], [], 5000
    for kind, height, width, size in cases:
        x = unit(3 * height * width, seed).reshape(3, height, width).requires_grad_()
        y = differentiable(kind, x, size)
        d = unit(y.numel(), seed + 1).reshape(y.shape) - 0.5
        (y * d).sum().backward()
        # Large gradients are sampled: every stride-th value.
        stride = max(1, x.numel() // 1500)
        values, gradient = y.detach().flatten(), x.grad.flatten()[::stride]
        lines.append(f"{kind}\t{height}\t{width}\t{size}\t{seed}\t{values.numel()}\t{stride}\t{gradient.numel()}")
        blob += [values.numpy(), gradient.numpy()]
        seed += 2
    (OUT / "differentiable.tsv").write_text("\n".join(lines) + "\n")
    np.concatenate(blob).astype("<f4").tofile(OUT / "differentiable.bin")
    print(len(lines), "differentiable cases,", sum(map(len, blob)) * 4, "bytes")


def write_halves():
    """All 65,536 halves widened, as a digest over their bits (NaN payloads included)."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        bits = halves.astype(np.float32)
    finite = np.isfinite(halves)
    (OUT / "halves.tsv").write_text(f"{crc(bits[finite].astype('<f4').tobytes())}\t{int(finite.sum())}\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    write_pngs()
    write_resize()
    write_tables()
    write_normalized()
    write_differentiable()
    write_halves()
