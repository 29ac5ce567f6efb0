"""Images of every accepted form, as the daemon gets them."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import guidanced
from guidanced.errors import ItemFailure
from guidanced.images import MERGE_LIMIT, Batch, batches, list_images
from guidanced.limits import Limits
from guidanced.pieces import read, shape_of
from guidanced.pillow import _png
from guidanced.wire import Input

RNG = np.random.default_rng(7)


def sent(images: object) -> list[Input]:
    """The inputs of the one request that images make."""
    (batch,) = batches(list_images(images), Limits())
    assert isinstance(batch, Batch)
    return batch.inputs()


def failing(images: object) -> list[ItemFailure]:
    return [e for e in batches(list_images(images), Limits()) if isinstance(e, ItemFailure)]


def bytes_image(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_one_form_after_another_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "ä b.png"
    path.write_bytes(png(bytes_image(5, 7)))
    small = RNG.random((2, 3, 6, 4), dtype=np.float32)
    forms = [
        path,
        str(path),
        path.read_bytes(),
        Image.fromarray(bytes_image(3, 2)),
        bytes_image(3, 2),
        bytes_image(2, 2, 4),
        small,
        small[0].astype(np.float16),
        small[1].astype(np.float64),
    ]
    listed = list_images(forms)
    assert listed.count == 10
    assert [shape.count for shape in listed.shapes] == [1, 1, 1, 1, 1, 1, 2, 1, 1]
    inputs = sent(forms)
    headers = [entry.header() for entry in inputs]
    assert [h["datatype"] for h in headers] == [
        "BYTES", "BYTES", "BYTES", "UINT8", "UINT8", "FP32", "FP16", "FP32",
    ]
    assert headers[0] == {"name": "images", "datatype": "BYTES", "content_type": "image/png"}
    # The PIL image and the equal-sized array beside it share a frame, in order.
    assert headers[3]["shape"] == [2, 3, 2, 3]
    assert np.array_equal(np.asarray(inputs[3].payload)[0], np.asarray(forms[3]))
    assert np.array_equal(np.asarray(inputs[3].payload)[1], forms[4])
    assert headers[4]["shape"] == [1, 2, 2, 4]


def test_equal_sizes_apart_are_not_joined_across_another_item() -> None:
    a, b = bytes_image(4, 4), bytes_image(5, 5)
    shapes = [entry.shape for entry in sent([a, b, a])]
    assert shapes == [(1, 4, 4, 3), (1, 5, 5, 3), (1, 4, 4, 3)]


def test_large_arrays_travel_without_a_copy() -> None:
    large = np.zeros((3, 600, 600), np.float32)
    assert large.nbytes > MERGE_LIMIT
    inputs = sent([large, large])
    assert [entry.shape for entry in inputs] == [(1, 3, 600, 600)] * 2
    assert np.shares_memory(np.asarray(inputs[0].payload), large)


def test_strided_and_big_endian_arrays_arrive_as_their_values() -> None:
    base = RNG.random((8, 8, 3)).astype(">f4")
    planar = base.transpose(2, 0, 1)[:, ::2, ::-1]
    (entry,) = sent(planar)
    assert entry.datatype == "FP32"
    arrived = np.frombuffer(np.asarray(entry.payload).tobytes(), "<f4").reshape(entry.shape)
    assert np.array_equal(arrived[0], planar.astype(np.float32))


def rgb_over_white(image: Image.Image) -> np.ndarray:
    """transformers' conversion to RGB (``image_transforms.convert_to_rgb``), written out."""
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return np.asarray(image.convert("RGB"))
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def arrived(entry: Input) -> Image.Image:
    """A sent image as the daemon sees it: a file by Pillow's reading, an array as RGB or RGBA."""
    if isinstance(entry.payload, bytes):
        return Image.open(io.BytesIO(entry.payload))
    return Image.fromarray(np.asarray(entry.payload)[0])


def in_mode(mode: str) -> Image.Image:
    picture = Image.fromarray(bytes_image(9, 13, 4), "RGBA")
    if mode.startswith("I;16"):
        image = Image.new(mode, (13, 9))
        image.putdata([int(v) for v in RNG.integers(0, 600, 117)])
        return image
    if mode in ("I", "F"):
        return Image.fromarray(RNG.integers(-50, 400, (9, 13)).astype(np.int32)).convert(mode)
    if mode == "LAB":
        return Image.frombytes("LAB", (13, 9), bytes_image(9, 13).tobytes())
    if mode in ("LA", "RGBA", "RGBa", "PA"):
        via = {"LA": "LA", "PA": "PA"}.get(mode, "RGBA")
        return picture.convert(via).convert(mode)
    return picture.convert("RGB").convert(mode)


MODES = ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
MODES += ["I", "F", "I;16", "I;16L", "I;16B", "I;16N"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_arrives_as_the_reference_converts_it(mode: str) -> None:
    image = in_mode(mode)
    (entry,) = sent(image)
    assert np.array_equal(rgb_over_white(arrived(entry)), rgb_over_white(image))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("key", [None, 0])
def test_the_conversion_written_out_is_that_of_the_references_processor(
    mode: str, key: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pillow's processor does without it, also where it is there and broken.
    monkeypatch.setitem(sys.modules, "torchvision", sys.modules.get("torchvision"))
    pytest.importorskip("transformers")
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    image = in_mode(mode)
    if key is not None and mode in ("1", "L", "P"):
        image.info["transparency"] = key
    if key is not None and mode == "RGB":
        image.info["transparency"] = image.getpixel((3, 3))
    processor = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=8)
    expected = processor(image, return_tensors="np")["pixel_values"]
    (entry,) = sent(image)
    found = processor(Image.fromarray(rgb_over_white(arrived(entry))), return_tensors="np")
    assert np.array_equal(found["pixel_values"], expected)


@pytest.mark.parametrize(
    ("mode", "key"),
    [
        ("RGB", (10, 20, 30)),
        ("L", 77),
        ("1", 0),
        ("P", 3),
        ("P", bytes([0, 128, 255, 7])),
        ("P", 0),
    ],
)
def test_transparent_colours_and_entries_arrive(mode: str, key: object) -> None:
    pixels = bytes_image(9, 13)
    pixels[2:5, 3:9] = (10, 20, 30) if mode == "RGB" else (77, 77, 77)
    image = Image.fromarray(pixels)
    image = image.quantize(9) if mode == "P" else image.convert(mode)
    plain = rgb_over_white(image)
    image.info["transparency"] = key
    expected = rgb_over_white(image.copy())
    assert not np.array_equal(plain, expected)
    (entry,) = sent(image)
    assert np.array_equal(rgb_over_white(arrived(entry)), expected)


def test_alpha_in_a_palette_counts_only_where_the_reference_looks() -> None:
    # Pillow lists no alpha among the bands of P, whatever its palette holds.
    image = Image.fromarray(bytes_image(6, 6)).quantize(4)
    palette = np.asarray(image.convert("RGB").quantize(4).getpalette("RGBA")).reshape(-1, 4)
    palette[:4, 3] = [0, 60, 120, 255]
    image.putpalette(palette.ravel().tolist(), "RGBA")
    (entry,) = sent(image)
    assert np.array_equal(rgb_over_white(arrived(entry)), rgb_over_white(image))


def test_a_palette_shorter_than_the_pixels_numbers_is_black_there() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([9, 8, 7, 6, 5, 4])
    image.putdata([0, 1, 2, 255])
    (entry,) = sent(image)
    assert np.array_equal(rgb_over_white(arrived(entry)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "P"])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (8, 2), (17, 5)])
def test_modes_that_pillow_resizes_by_the_nearest_pixel_keep_their_mode(
    mode: str, size: tuple[int, int]
) -> None:
    image = Image.fromarray(bytes_image(size[1], size[0])).convert(mode)
    (entry,) = sent(image)
    assert entry.content_type == "image/png"
    back = arrived(entry)
    assert back.mode == mode and back.tobytes() == image.tobytes()
    assert np.array_equal(np.asarray(back.convert("RGB")), np.asarray(image.convert("RGB")))


def test_other_file_formats_are_decoded_by_pillow_and_strange_ones_are_left_to_the_daemon() -> None:
    buffer = io.BytesIO()
    Image.fromarray(bytes_image(16, 12)).save(buffer, "JPEG")
    decoded = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    good, bad = sent([buffer.getvalue(), b"no image at all"])
    assert np.array_equal(np.asarray(good.payload)[0], decoded)
    assert bad.payload == b"no image at all" and bad.content_type is None


def test_a_damaged_jpeg_is_reported_in_pillows_words() -> None:
    buffer = io.BytesIO()
    Image.fromarray(bytes_image(64, 64)).save(buffer, "JPEG")
    with pytest.raises(guidanced.BadImage, match="truncated"):
        read(buffer.getvalue()[:-500])


def test_file_objects_are_read_from_their_beginning(tmp_path: Path) -> None:
    data = png(bytes_image(5, 7))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    buffer = io.BytesIO()
    buffer.write(data)  # at its end, as after image.save(buffer)
    with open(path, "rb") as file, open(path, "rb", buffering=0) as raw:
        assert [entry.payload for entry in sent([file, raw, buffer])] == [data] * 3
        assert [entry.payload for entry in sent([file])] == [data]


def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    data = png(bytes_image(5, 7))
    with open(writing, "wb") as file:
        file.write(data)
    with open(reading, "rb") as file:
        assert sent(file)[0].payload == data


@pytest.mark.parametrize("make", [tuple, iter, lambda forms: dict(enumerate(forms)).values()])
def test_any_iterable_is_a_list(make: Any) -> None:
    forms = [bytes_image(4, 4), bytes_image(4, 5)]
    assert [entry.shape for entry in sent(make(forms))] == [(1, 4, 4, 3), (1, 4, 5, 3)]


@pytest.mark.parametrize(
    ("image", "shape", "batched"),
    [
        (np.zeros((3, 5, 7), np.float32), (3, 5, 7), False),
        (np.zeros((2, 3, 5, 7), np.float32), (2, 3, 5, 7), True),
        (np.zeros((5, 7, 3), np.uint8), (3, 5, 7), False),
        (np.zeros((2, 5, 7, 4), np.uint8), (2, 3, 5, 7), True),
    ],
)
def test_gradients_have_the_images_shape(
    image: np.ndarray, shape: tuple[int, ...], batched: bool
) -> None:
    found = shape_of(image)
    assert (found.gradient, found.batched) == (shape, batched)


@pytest.mark.parametrize("images", [[], (), iter([])])
def test_no_images_at_all_are_an_error(images: object) -> None:
    with pytest.raises(ValueError, match="at least one image") as caught:
        list_images(images)
    assert isinstance(caught.value, guidanced.Error)


class Broken:
    """What a library hands out that gives up when it is looked at."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("the device is gone")


def closed_image() -> Image.Image:
    image = Image.open(io.BytesIO(png(bytes_image(4, 4))))
    image.close()
    return image


def truncated_image() -> Image.Image:
    return Image.open(io.BytesIO(png(bytes_image(64, 64))[:-2000]))


def closed_file() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


@pytest.mark.parametrize(
    ("image", "kind", "words"),
    [
        (np.zeros((3, 5, 7), np.uint8), guidanced.BadTensor, "channels come last"),
        (np.zeros((5, 7, 3), np.float32), guidanced.BadTensor, "channels come first"),
        (np.zeros((5, 7), np.uint8), guidanced.BadTensor, r"\[5, 7\]"),
        (np.zeros((0, 3, 5, 7), np.float32), guidanced.BadTensor, "without pixels"),
        (np.zeros((3, 5, 7), np.int64), guidanced.BadTensor, "int64"),
        (np.zeros((3, 5, 7), np.complex64), guidanced.BadTensor, "complex64"),
        (np.float32(1), guidanced.BadTensor, "float"),
        (None, guidanced.BadTensor, "NoneType"),
        ({"a": 1}, guidanced.BadTensor, "dict"),
        (7, guidanced.BadTensor, "int"),
        (b"", guidanced.BadImage, "no bytes"),
        ("/nonexistent/file.png", guidanced.UnreadableFile, "nonexistent.*No such file"),
        ("/", guidanced.UnreadableFile, "directory"),
        ("a\0b", guidanced.UnreadableFile, "null"),
        (io.StringIO("x"), guidanced.UnreadableFile, "binary"),
        (closed_file(), guidanced.UnreadableFile, "closed"),
        (closed_image(), guidanced.BadImage, ""),
        (truncated_image(), guidanced.BadImage, "truncated"),
        (Broken(), guidanced.BadImage, "device is gone"),
    ],
)
def test_what_is_no_image_fails_alone(image: object, kind: type, words: str) -> None:
    good = bytes_image(4, 4)
    found = list(batches(list_images([good, image, good]), Limits()))
    (failure,) = [entry for entry in found if isinstance(entry, ItemFailure)]
    assert failure.index == 1 and type(failure.error) is kind
    assert re.search(words, str(failure.error))
    (batch,) = [entry for entry in found if isinstance(entry, Batch)]
    assert batch.indices == [0, 2]
    assert failing(image)[0].index == 0


def test_a_batch_that_cannot_be_read_fails_as_so_many_items() -> None:
    bad = np.zeros((3, 4, 4, 5), np.int32)
    found = failing([bytes_image(4, 4), bad, bytes_image(4, 4)])
    assert [failure.index for failure in found] == [1, 2, 3]


def limits(**more: int) -> Limits:
    return Limits.of({"limits": more}, {"threads": more.get("threads")})


def cut(images: object, bounds: Limits) -> list[list[int]]:
    return [entry.indices for entry in batches(list_images(images), bounds)]


def test_large_calls_are_cut_by_number_frames_and_bytes() -> None:
    small = [bytes_image(2, 2) for _ in range(70)]
    assert [len(part) for part in cut(small[:32], limits())] == [32]
    assert [len(part) for part in cut(small, limits())] == [32, 32, 6]
    assert [len(part) for part in cut(small, limits(threads=100))] == [70]
    assert [len(part) for part in cut(small[:9], limits(images=4))] == [4, 4, 1]
    assert [len(part) for part in cut(small[:9], limits(inputs=2))] == [2, 2, 2, 2, 1]
    # 12 bytes an image
    assert [len(part) for part in cut(small[:9], limits(request_bytes=47))] == [3, 3, 3]
    assert [len(part) for part in cut(small[:9], limits(queued_bytes=24))] == [2, 2, 2, 2, 1]
    assert [len(part) for part in cut(small[:9], limits(header_bytes=2000))] == [4, 4, 1]
    assert sum(cut(small, limits(images=7)), []) == list(range(70))


def test_large_calls_are_cut_by_pixels_and_by_bytes_of_replies() -> None:
    # 4 pixels an image: of arrays, of files, and of both.
    arrays, files = [bytes_image(2, 2)] * 5, [png(bytes_image(2, 2))] * 5
    for images in (arrays, files, [np.zeros((5, 3, 2, 2), np.float32)], [arrays[0], *files[:4]]):
        assert [len(part) for part in cut(images, limits(request_pixels=9))] == [2, 2, 1]
        assert [len(part) for part in cut(images, limits(queued_pixels=8))] == [2, 2, 1]
        assert [len(part) for part in cut(images, limits(request_pixels=1))] == [1] * 5
        found = batches(list_images(images), limits(reply_bytes=3 * 12 * 4), reply_bytes=12)
        assert [len(batch.indices) for batch in found] == [3, 2]
    large = _png((4096, 2048), 8, 0, np.zeros((1, 1), np.uint8), [])  # 8 Mi pixels, or so it says
    assert [len(part) for part in cut([large] * 5, limits())] == [2, 2, 1]
    damaged = [b"\x89PNG\r\n\x1a\n" + bytes(size) for size in (0, 4, 16, 40)]
    assert [len(part) for part in cut(damaged, limits(request_pixels=9))] == [4]


def test_an_array_is_cut_without_a_copy() -> None:
    array = RNG.random((5, 3, 4, 4), dtype=np.float32)
    found = list(batches(list_images([array]), limits(request_bytes=2 * 192)))
    assert [batch.indices for batch in found] == [[0, 1], [2, 3], [4]]
    assert all(np.shares_memory(batch.inputs()[0].payload, array) for batch in found)
    assert np.array_equal(np.concatenate([b.inputs()[0].payload for b in found]), array)


def test_an_image_that_no_request_has_room_for_fails_alone() -> None:
    found = list(batches(list_images([bytes_image(2, 2), bytes_image(9, 9)]), limits(request_bytes=100)))
    assert [type(entry) for entry in found] == [ItemFailure, Batch]
    assert found[0].index == 1 and isinstance(found[0].error, guidanced.TooLarge)


def test_files_are_read_only_when_their_turn_comes() -> None:
    class Counted:
        reads = 0

        def read(self) -> bytes:
            Counted.reads += 1
            return b"\x89PNG\r\n\x1a\n"

    found = batches(list_images([Counted() for _ in range(6)]), limits(images=2))
    next(found)
    assert Counted.reads <= 3


def test_a_batch_is_halved_across_its_pieces() -> None:
    (batch,) = batches(list_images([bytes_image(2, 2), np.zeros((4, 3, 2, 2), np.float32)]), limits())
    first, second = batch.halves()
    assert (first.indices, second.indices) == ([0, 1], [2, 3, 4])
    assert [entry.shape[0] for entry in first.inputs()] == [1, 1]
    assert [entry.shape[0] for entry in second.inputs()] == [3]


def test_torch_tensors_of_every_float_type() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.rand(2, 3, 4, 5, requires_grad=True)
    (entry,) = sent(tensor)
    assert entry.datatype == "FP32" and np.array_equal(entry.payload, tensor.detach().numpy())
    (half,) = sent(tensor.to(torch.bfloat16))
    assert half.datatype == "BF16"
    widened = np.asarray(half.payload).astype(np.uint32) << 16
    expected = tensor.detach().to(torch.bfloat16).float().numpy()
    assert np.array_equal(widened.view(np.float32), expected)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("ahead", [(), (2,)])
def test_torch_bytes_come_in_torchs_order(channels: int, ahead: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    pixels = RNG.integers(0, 256, (*ahead, 5, 3, channels), dtype=np.uint8)
    planar = torch.from_numpy(np.moveaxis(pixels, -1, -3).copy())
    (entry,) = sent(planar)
    assert np.array_equal(np.asarray(entry.payload).reshape(pixels.shape), pixels)
    assert shape_of(planar).gradient == (*ahead, 3, 5, 3)
    (entry,) = sent(torch.from_numpy(pixels.reshape(*ahead, 5, 3, channels)[..., :2, :]))
    assert entry.shape[1:] == (5, 2, channels)


def test_tensors_without_data_or_of_strange_types_fail_alone() -> None:
    torch = pytest.importorskip("torch")
    strange = [
        torch.empty(3, 4, 4, device="meta"),
        torch.zeros(3, 4, 4, dtype=torch.complex64),
        torch.zeros(3, 4, 4, dtype=torch.int32),
        torch.zeros(3, 4, 4, dtype=torch.float8_e4m3fn),
    ]
    found = failing([torch.zeros(3, 4, 4), *strange])
    assert [failure.index for failure in found] == [1, 2, 3, 4]
    assert "meta" in str(found[0].error)
    (entry,) = sent(torch.eye(4).expand(3, 4, 4).to_sparse())
    assert np.array_equal(np.asarray(entry.payload)[0], np.eye(4)[None].repeat(3, 0))


def test_a_turned_picture_is_named_and_not_turned() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    stream = io.BytesIO()
    Image.fromarray(bytes_image(8, 16)).save(stream, "JPEG", exif=exif)
    for turned in (stream.getvalue(), Image.open(io.BytesIO(stream.getvalue()))):
        with pytest.warns(guidanced.DaemonWarning, match="EXIF orientation 6"):
            (frame,) = sent(turned)
        assert frame.shape == (1, 8, 16, 3)
    upright = Image.fromarray(bytes_image(8, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sent(upright)
