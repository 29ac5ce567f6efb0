"""The Python client on the embedded model: what a user of it relies on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import guidanced
from daemon import Daemon
from guidanced import Client
from pictures import noise, planar, png, shape

SHAPES = [
    ("circle", "red", "white"),
    ("square", "blue", "yellow"),
    ("triangle", "green", "black"),
    ("circle", "yellow", "blue"),
    ("square", "red", "black"),
]


@pytest.fixture
def g(daemon: Daemon) -> Iterator[Client]:
    with Client(daemon.endpoint, control=daemon.control, timeout=60) as client:
        yield client


def test_the_daemon_about_itself(g: Client, daemon: Daemon) -> None:
    assert "GD01" in g.hello()["protocols"]
    assert 0 < g.ping() < 5
    assert g.models()[0]["name"] == "default"
    assert g.health()["ready"] is True
    assert g.status()["pid"] == daemon.process.pid


def test_every_picture_is_first_for_its_own_prompt(g: Client) -> None:
    pictures = [shape(*entry) for entry in SHAPES]
    prompts = [f"a {colour} {kind} on a {ground} background" for kind, colour, ground in SHAPES]
    for index, prompt in enumerate(prompts):
        ranking = g.rank(pictures, prompt)
        assert ranking[0].index == index, (prompt, ranking)
        assert sorted(entry.index for entry in ranking) == list(range(len(SHAPES)))
    scores = g.score(pictures, prompts)
    assert scores.argmax(0).tolist() == scores.argmax(1).tolist() == list(range(len(SHAPES)))


def test_classification_names_shapes_and_colours(g: Client) -> None:
    pictures = [shape(*entry) for entry in SHAPES]
    labels = ["red circle", "blue square", "green triangle", "yellow circle", "red square"]
    classes = g.classify(pictures, labels)
    assert classes.best == labels
    assert np.allclose(classes.probabilities.sum(1), 1, atol=1e-5)


def test_all_forms_of_an_image_agree(g: Client, tmp_path: Path) -> None:
    pixels = noise(50, 70, seed=5)
    path = tmp_path / "ä noise.png"
    path.write_bytes(png(pixels))
    forms = [path, str(path), png(pixels), Image.fromarray(pixels), pixels, pixels[None]]
    rows = g.embed_image([*forms, planar(pixels), planar(pixels)[None].astype(np.float64)])
    assert rows.shape[0] == 8
    assert all(np.array_equal(rows[0], row) for row in rows[1:6])
    assert np.array_equal(rows[6], rows[7]) and rows[6] @ rows[0] > 0.99


def test_palette_grey_and_jpeg_pictures_by_pillow(g: Client, tmp_path: Path) -> None:
    image = Image.fromarray(noise(40, 40, seed=6))
    jpeg = tmp_path / "a.jpg"
    image.save(jpeg)
    forms = [image.convert(mode) for mode in ("P", "L", "LA", "1", "RGBA", "CMYK")]
    rows = g.embed_image([*forms, jpeg])
    expected = g.embed_image([np.asarray(form.convert("RGB")) for form in [*forms, Image.open(jpeg)]])
    assert np.array_equal(rows, expected)


def over_white(image: Image.Image) -> np.ndarray:
    """transformers' conversion to RGB, written out."""
    if "A" not in image.getbands() and image.info.get("transparency") is None:
        return np.asarray(image.convert("RGB"))
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
    + ["I", "F", "I;16", "I;16B"],
)
def test_a_pil_image_of_any_mode_is_what_the_reference_makes_of_it(g: Client, mode: str) -> None:
    if mode.startswith("I;16"):
        image = Image.new(mode, (40, 30))
        image.putdata([i % 400 for i in range(1200)])
    elif mode == "LAB":
        image = Image.frombytes(mode, (40, 30), noise(30, 40, seed=8).tobytes())
    else:
        image = Image.fromarray(noise(30, 40, seed=8))
        if mode in ("LA", "PA", "RGBA", "RGBa"):
            image.putalpha(Image.fromarray(noise(30, 40, seed=9)[..., 0]))
        image = image.convert(mode)
    assert np.array_equal(g.embed_image(image), g.embed_image(over_white(image)))


@pytest.mark.parametrize(("mode", "key"), [("RGB", (250, 0, 0)), ("L", 76), ("P", 1), ("P", b"\x00\x80")])
def test_a_transparent_colour_counts(g: Client, mode: str, key: object) -> None:
    pixels = noise(40, 40, seed=4)
    pixels[5:35, 8:30] = (250, 0, 0)
    image = Image.fromarray(pixels)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    if mode == "L":
        key = image.getpixel((10, 10))
    plain = g.embed_image(image)
    image.info["transparency"] = key
    found = g.embed_image(image)
    assert np.array_equal(found, g.embed_image(over_white(image)))
    assert float(found[0] @ plain[0]) < 0.99


def test_a_large_call_is_its_parts(g: Client) -> None:
    pictures = [noise(12 + i % 5, 20, seed=i) for i in range(70)]
    rows = g.embed_image(pictures)
    assert rows.shape[0] == 70
    assert np.array_equal(rows, np.concatenate([g.embed_image(p) for p in pictures]))
    prompts = ["a red circle", "a blue square"]
    scores = g.score(pictures, prompts)
    assert np.array_equal(scores, np.concatenate([g.score(p, prompts) for p in pictures]))
    assert [entry.index for entry in g.rank(pictures, prompts[0])] == sorted(
        range(70), key=lambda i: (-scores[i, 0], i)
    )
    together = g.gradient(np.stack([planar(p[:12]) for p in pictures[:40]]), prompts)
    alone = g.gradient(planar(pictures[39][:12]), prompts)
    assert np.array_equal(together.gradient[39], alone.gradient)
    texts = [f"picture number {i}" for i in range(600)]
    assert np.array_equal(g.embed_text(texts)[599], g.embed_text(texts[599])[0])


def test_coroutines_get_the_same_numbers(g: Client, daemon: Daemon) -> None:
    pictures = [noise(16 + i, 24, seed=i) for i in range(20)]
    expected = [g.score(p, ["a cat", "a dog"]) for p in pictures]

    async def work() -> list[np.ndarray]:
        async with guidanced.AsyncClient(daemon.endpoint, control=daemon.control) as client:
            assert (await client.health())["ready"] is True
            handle = await client.prepare(["a cat", "a dog"])
            return await asyncio.gather(*(client.score(p, handle) for p in pictures))

    assert all(np.array_equal(a, b) for a, b in zip(asyncio.run(work()), expected))


def test_a_mixed_list_keeps_its_order_around_a_broken_file(g: Client) -> None:
    good = [planar(noise(20, 20, seed=i)) for i in range(3)]
    images = [good[0], b"\x89PNG\r\n\x1a\nbroken", np.stack(good[1:])]
    with pytest.raises(guidanced.ItemError) as caught:
        g.embed_image(images)
    assert [item.index for item in caught.value.items] == [1]
    rows = g.embed_image(images, strict=False)
    assert rows.shape[0] == 4 and isinstance(rows.items[0].error, guidanced.BadImage)
    assert np.array_equal(rows[[0, 2, 3]], g.embed_image(np.stack(good)))
    gradient = g.gradient(images, "a cat", strict=False)
    assert [part.shape for part in gradient.gradient][::2] == [(3, 20, 20), (2, 3, 20, 20)]
    assert np.isnan(gradient.gradient[1]).all()


@pytest.mark.parametrize("loss", ["cosine", "spherical", "logit"])
@pytest.mark.parametrize("size", [(64, 64), (90, 70), (33, 47)])
def test_the_gradient_is_the_slope_of_the_loss(
    g: Client, loss: str, size: tuple[int, int]
) -> None:
    # Central differences along smooth random directions, in which float32 keeps enough digits.
    rng = np.random.default_rng(11)
    height, width = size
    image = planar(noise(height, width, seed=8)) * 0.5 + 0.25
    prompts, weights = ["a red circle", "a slice of pizza"], [1.0, -0.4]
    result = g.gradient(image, prompts, weights=weights, loss=loss)
    for _ in range(4):
        coarse = rng.standard_normal((3, 5, 5)).astype(np.float32)
        direction = np.stack(
            [
                np.asarray(Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC))
                for c in coarse
            ]
        )
        direction /= np.linalg.norm(direction)
        step = 0.05 * np.sqrt(image.size) / 64
        both = np.stack([image + step * direction, image - step * direction])
        high, low = g.gradient(both, prompts, weights=weights, loss=loss).loss
        numeric = (float(high) - float(low)) / (2 * step)
        analytic = float((result.gradient * direction).sum())
        slack = 0.03 * float(np.linalg.norm(result.gradient)) / np.sqrt(10)
        assert abs(numeric - analytic) < 0.03 * abs(analytic) + slack


def test_losses_weights_and_pairs(g: Client) -> None:
    images = np.stack([planar(noise(32, 32, seed=i)) for i in range(2)])
    prompts = ["a red circle", "a blue square"]
    a, b = (g.gradient(images, prompt) for prompt in prompts)
    assert np.allclose(a.loss, 1 - a.score, atol=1e-5)
    assert np.allclose(a.score, g.score(images, prompts[0])[:, 0], atol=1e-5)
    mixed = g.gradient(images, prompts, weights=[2, 1])
    assert np.allclose(mixed.gradient, (2 * a.gradient + b.gradient) / 3, atol=1e-6)
    pairs = g.gradient(images, prompts, pairwise=True)
    assert np.array_equal(pairs.gradient[0], a.gradient[0])
    assert np.array_equal(pairs.gradient[1], b.gradient[1])
    assert np.array_equal(
        g.score(images, prompts, pairwise=True), np.diag(g.score(images, prompts))
    )


def test_climbing_the_gradient_raises_the_score(g: Client) -> None:
    image = np.full((1, 3, 64, 64), 0.5, np.float32)
    handle = g.prepare("a red circle on a white background")
    first = g.gradient(image, handle)
    for _ in range(15):
        step = g.gradient(image, handle).gradient
        image = np.clip(image - 0.03 * np.sign(step), 0, 1)
    assert g.gradient(image, handle).score[0] > first.score[0] + 0.2
    g.release(handle)
    with pytest.raises(guidanced.ArgumentError, match="released"):
        g.gradient(image, handle)


def test_typed_errors(g: Client) -> None:
    image = planar(noise(8, 8))
    with pytest.raises(guidanced.UnknownModel):
        g.embed_text("a", model="none")
    with pytest.raises(guidanced.BadRequest, match="params.metric"):
        g.score(image, "a", metric="euclid")
    with pytest.raises(guidanced.PromptTooLong, match=r"params.prompts\[0\]"):
        g.score(image, "a " * 500)
    with pytest.raises(guidanced.ItemError, match="prompt_too_long"):
        g.embed_text(["a", "a " * 500])
    with pytest.warns(guidanced.DaemonWarning, match="dropped"):
        g.embed_text("a " * 500, long_prompts="truncate")
    with pytest.raises(guidanced.UnknownOp):
        g.request("dance")
    with pytest.raises(guidanced.BadRequest, match="weights"):
        g.gradient(image, ["a", "b"], weights=[1, -1])
    tokens = g.tokenize(["a cat", "dog " * 500], long_prompts="truncate")
    assert tokens.tokens[0][0] == tokens.tokens[1][0] and tokens.dropped[1]["tokens"] > 400


def test_threads_get_the_results_of_their_own_images(g: Client) -> None:
    pictures = [noise(16 + i, 24, seed=i) for i in range(6)]
    expected = [g.embed_image(p)[0] for p in pictures]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(10):
            if not np.array_equal(g.embed_image(pictures[index])[0], expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_torch_tensors(g: Client) -> None:
    torch = pytest.importorskip("torch")
    image = torch.from_numpy(planar(noise(30, 30))).requires_grad_()
    assert np.array_equal(g.embed_image(image), g.embed_image(image.detach().numpy()))
    half = g.embed_image(image.to(torch.bfloat16))
    assert (half @ g.embed_image(image).T).item() > 0.99
