"""Images of every accepted form, as the daemon gets them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guidanced.images import MERGE_LIMIT, collect

RNG = np.random.default_rng(7)


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
    collected = collect(forms)
    assert collected.count == 10
    assert [piece.count for piece in collected.pieces] == [1, 1, 1, 1, 1, 1, 2, 1, 1]
    headers = [entry.header() for entry in collected.inputs()]
    assert [h["datatype"] for h in headers] == [
        "BYTES", "BYTES", "BYTES", "UINT8", "UINT8", "FP32", "FP16", "FP32",
    ]
    assert headers[0] == {"name": "images", "datatype": "BYTES", "content_type": "image/png"}
    # The PIL image and the equal-sized array beside it share a frame, in order.
    assert headers[3]["shape"] == [2, 3, 2, 3]
    assert np.array_equal(np.asarray(collected.inputs()[3].payload)[0], np.asarray(forms[3]))
    assert np.array_equal(np.asarray(collected.inputs()[3].payload)[1], forms[4])
    assert headers[4]["shape"] == [1, 2, 2, 4]


def test_equal_sizes_apart_are_not_joined_across_another_item() -> None:
    a, b = bytes_image(4, 4), bytes_image(5, 5)
    shapes = [entry.shape for entry in collect([a, b, a]).inputs()]
    assert shapes == [(1, 4, 4, 3), (1, 5, 5, 3), (1, 4, 4, 3)]


def test_large_arrays_travel_without_a_copy() -> None:
    large = np.zeros((3, 600, 600), np.float32)
    assert large.nbytes > MERGE_LIMIT
    inputs = collect([large, large]).inputs()
    assert [entry.shape for entry in inputs] == [(1, 3, 600, 600)] * 2
    assert np.shares_memory(np.asarray(inputs[0].payload), large)


def test_strided_and_big_endian_arrays_arrive_as_their_values() -> None:
    base = RNG.random((8, 8, 3)).astype(">f4")
    planar = base.transpose(2, 0, 1)[:, ::2, ::-1]
    (entry,) = collect(planar).inputs()
    assert entry.datatype == "FP32"
    sent = np.frombuffer(np.asarray(entry.payload).tobytes(), "<f4").reshape(entry.shape)
    assert np.array_equal(sent[0], planar.astype(np.float32))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16"])
def test_modes_whose_conversion_matters_travel_as_png(mode: str) -> None:
    image = Image.fromarray(bytes_image(9, 4))
    image = Image.new("I;16", (4, 9), 40000) if mode == "I;16" else image.convert(mode)
    (entry,) = collect(image).inputs()
    assert entry.content_type == "image/png"
    assert isinstance(entry.payload, bytes)
    back = Image.open(io.BytesIO(entry.payload))
    assert back.mode == mode and back.tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV"])
def test_modes_that_png_lacks_are_converted(mode: str) -> None:
    image = Image.fromarray(bytes_image(9, 4)).convert(mode)
    (entry,) = collect(image).inputs()
    assert entry.datatype == "UINT8"
    assert np.array_equal(np.asarray(entry.payload)[0], np.asarray(image.convert("RGB")))


def test_other_file_formats_are_decoded_by_pillow_and_broken_ones_are_left_to_the_daemon() -> None:
    buffer = io.BytesIO()
    Image.fromarray(bytes_image(16, 12)).save(buffer, "JPEG")
    decoded = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    good, bad = collect([buffer.getvalue(), b"no image at all"]).inputs()
    assert np.array_equal(np.asarray(good.payload)[0], decoded)
    assert bad.payload == b"no image at all" and bad.content_type is None


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
    (piece,) = collect(image).pieces
    assert (piece.gradient_shape, piece.batched) == (shape, batched)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        ([], ValueError, "at least one image"),
        (np.zeros((3, 5, 7), np.uint8), ValueError, "channels come last"),
        (np.zeros((5, 7, 3), np.float32), ValueError, "channels come first"),
        (np.zeros((5, 7), np.uint8), ValueError, r"\[5, 7\]"),
        (np.zeros((0, 3, 5, 7), np.float32), ValueError, "without pixels"),
        (np.zeros((3, 5, 7), np.int64), TypeError, "int64"),
        ([b"\x89PNG", None], TypeError, r"images\[1\].*NoneType"),
        ({"a": 1}, TypeError, "dict"),
        ("/nonexistent/file.png", FileNotFoundError, "nonexistent"),
    ],
)
def test_what_is_no_image_is_refused(images: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        collect(images)


def test_torch_tensors_of_every_float_type() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.rand(2, 3, 4, 5, requires_grad=True)
    (entry,) = collect(tensor).inputs()
    assert entry.datatype == "FP32" and np.array_equal(entry.payload, tensor.detach().numpy())
    (half,) = collect(tensor.to(torch.bfloat16)).inputs()
    assert half.datatype == "BF16"
    widened = np.asarray(half.payload).astype(np.uint32) << 16
    expected = tensor.detach().to(torch.bfloat16).float().numpy()
    assert np.array_equal(widened.view(np.float32), expected)
