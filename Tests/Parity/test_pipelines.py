"""diffusers' pipelines with the daemon in place of their own text encoders, on tiny random networks.

Runs in the reference environment (`make parity`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Tests" / "Generators"), str(ROOT / "Tests" / "Clients")]

import torchvision_operators  # noqa: E402, F401  (before diffusers)

import numpy as np  # noqa: E402
import pipelines as made  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from daemon import Daemon  # noqa: E402
from guidanced import Client  # noqa: E402
from guidanced.diffusers import best_of, encode, encode_image, recipe_of  # noqa: E402

PROMPTS = ["a portrait of an old sailor", "a red circle on a blue background, oil painting"]
NEGATIVES = ["blurry", "text, watermark"]


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("work")
    return {name: make(work) for name, make in made.MAKERS.items()}


@pytest.fixture(scope="module")
def g(pipes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon on the folders that the pipelines themselves save."""
    folder = tmp_path_factory.mktemp("saved")
    arguments = []
    for name, pipe in pipes.items():
        pipe.save_pretrained(folder / name)
        arguments += ["--model", f"{name}={folder / name}"]
    running = Daemon(folder, *arguments)
    with Client(running.endpoint, timeout=60) as client:
        yield client
    assert running.stop() == 0


def close(observed: torch.Tensor, expected: torch.Tensor) -> None:
    assert observed.shape == expected.shape
    assert (observed - expected).abs().max() <= 2e-4 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_stable_diffusion(pipes: dict[str, Any], g: Client, name: str) -> None:
    pipe = pipes[name]
    assert recipe_of(pipe) == name
    for negative in [NEGATIVES, None]:
        hidden, against = pipe.encode_prompt(PROMPTS, "cpu", 1, True, negative_prompt=negative)
        ours = encode(pipe, PROMPTS, negative, client=g, model=name)
        assert set(ours) == {"prompt_embeds", "negative_prompt_embeds"}
        close(ours["prompt_embeds"], hidden)
        close(ours["negative_prompt_embeds"], against)


@torch.no_grad()
@pytest.mark.parametrize("name", ["sdxl", "sdxl-refiner"])
def test_stable_diffusion_xl(pipes: dict[str, Any], g: Client, name: str) -> None:
    pipe = pipes[name]
    assert recipe_of(pipe) == name
    second = {"prompt_2": ["a cat", "a dog"]} if name == "sdxl" else {}
    for negative in [NEGATIVES, None]:
        expected = pipe.encode_prompt(PROMPTS, negative_prompt=negative, device="cpu", **second)
        ours = encode(pipe, PROMPTS, negative, client=g, model=name, **second)
        names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
        assert set(ours) == set(names)
        for key, value in zip(names, expected):
            close(ours[key], value)


@torch.no_grad()
def test_stable_diffusion_3(pipes: dict[str, Any], g: Client) -> None:
    pipe = pipes["sd3-clip"]
    for negative in [NEGATIVES, None]:
        expected = pipe.encode_prompt(PROMPTS, None, None, negative_prompt=negative, device="cpu")
        ours = encode(pipe, PROMPTS, negative, client=g, model="sd3-clip")
        names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
        for key, value in zip(names, expected):
            close(ours[key], value)


@torch.no_grad()
def test_flux(pipes: dict[str, Any], g: Client) -> None:
    pipe = pipes["flux-clip"]
    assert recipe_of(pipe) == "flux-clip"
    ours = encode("flux-clip", PROMPTS, client=g, model="flux-clip")
    assert set(ours) == {"pooled_prompt_embeds"}
    close(ours["pooled_prompt_embeds"], pipe._get_clip_prompt_embeds(PROMPTS, 1, "cpu"))


@torch.no_grad()
@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl", "sdxl-refiner", "sd3-clip"])
@pytest.mark.parametrize("negative", [NEGATIVES, None], ids=["negative", "absent"])
def test_clip_skip_leaves_the_negative_prompt(pipes: dict[str, Any], g: Client, name: str, negative: Any) -> None:
    """diffusers applies it to the prompt alone, in all of its pipelines."""
    pipe = pipes[name]
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    arguments = {"negative_prompt": negative, "device": "cpu", "clip_skip": 1}
    if name in ("sd1", "sd2"):
        arguments |= {"num_images_per_prompt": 1, "do_classifier_free_guidance": True}
    elif name == "sd3-clip":
        arguments |= {"prompt_2": None, "prompt_3": None}
    expected = pipe.encode_prompt(PROMPTS, **arguments)
    ours = encode(pipe, PROMPTS, negative, client=g, model=name, clip_skip=1)
    plain = encode(pipe, PROMPTS, negative, client=g, model=name)
    for key, value in zip(names, expected):
        close(ours[key], value)
    assert not torch.equal(ours["prompt_embeds"], plain["prompt_embeds"])
    assert torch.equal(ours["negative_prompt_embeds"], plain["negative_prompt_embeds"])


def images(pipe: Any, seed: int = 7, **arguments: Any) -> np.ndarray:
    return pipe(
        num_inference_steps=3, generator=torch.Generator().manual_seed(seed), output_type="np", **arguments
    ).images


@pytest.mark.parametrize("syntax", ["plain", "a1111"])
def test_the_image_of_stable_diffusion(pipes: dict[str, Any], g: Client, syntax: str) -> None:
    pipe = pipes["sd1"]
    size = {"height": 16, "width": 16, "guidance_scale": 6.0}
    own = images(pipe, prompt=PROMPTS, negative_prompt=NEGATIVES, **size)
    ours = images(pipe, **encode(pipe, PROMPTS, NEGATIVES, client=g, model="sd1", syntax=syntax), **size)
    other = images(pipe, prompt=["another"] * 2, negative_prompt=NEGATIVES, **size)
    assert np.abs(own - ours).max() < 1e-3 < np.abs(own - other).max()


@pytest.mark.parametrize("negative", [NEGATIVES, None])
def test_the_image_of_stable_diffusion_xl(pipes: dict[str, Any], g: Client, negative: Any) -> None:
    pipe = pipes["sdxl"]
    size = {"height": 16, "width": 16, "guidance_scale": 6.0}
    own = images(pipe, prompt=PROMPTS, negative_prompt=negative, **size)
    ours = images(pipe, **encode(pipe, PROMPTS, negative, client=g, model="sdxl"), **size)
    other = images(pipe, prompt=["another"] * 2, negative_prompt=negative, **size)
    assert np.abs(own - ours).max() < 1e-3 < np.abs(own - other).max()


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
@pytest.mark.parametrize("negative", [NEGATIVES, None], ids=["negative", "absent"])
def test_the_image_with_clip_skip(pipes: dict[str, Any], g: Client, name: str, negative: Any) -> None:
    pipe = pipes[name]
    size = {"height": 16, "width": 16, "guidance_scale": 6.0}
    own = images(pipe, prompt=PROMPTS, negative_prompt=negative, clip_skip=1, **size)
    ours = images(pipe, **encode(pipe, PROMPTS, negative, client=g, model=name, clip_skip=1), **size)
    assert np.abs(own - ours).max() < 1e-3
    if negative is not None:
        # As A1111 and ComfyUI have it, the picture is another one.
        skipped = encode(pipe, PROMPTS, negative, client=g, model=name, clip_skip=1, negative_clip_skip=1)
        assert np.abs(own - images(pipe, **skipped, **size)).max() > 1e-3


def test_the_image_of_the_refiner(pipes: dict[str, Any], g: Client) -> None:
    pipe = pipes["sdxl-refiner"]
    start = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    start = {"image": start, "strength": 0.9}
    own = images(pipe, prompt=PROMPTS, negative_prompt=NEGATIVES, **start)
    ours = images(pipe, **start, **encode(pipe, PROMPTS, NEGATIVES, client=g, model="sdxl-refiner"))
    other = images(pipe, prompt=["another"] * 2, negative_prompt=NEGATIVES, **start)
    assert np.abs(own - ours).max() < 1e-3 < np.abs(own - other).max()


@torch.no_grad()
def test_image_conditioning(pipes: dict[str, Any], g: Client) -> None:
    pipe = pipes["sd1"]
    pictures = made.pictures()
    from PIL import Image

    files = [Image.fromarray(picture) for picture in pictures]
    plain, against = pipe.encode_image(files, "cpu", 1)
    ours = encode_image(pipe, pictures, client=g, model="sd1")["ip_adapter_image_embeds"]
    assert len(ours) == 1
    close(ours[0], torch.stack([against, plain]))
    states, zeros = pipe.encode_image(files, "cpu", 1, output_hidden_states=True)
    ours = encode_image(pipe, pictures, client=g, model="sd1", plus=True)["ip_adapter_image_embeds"]
    close(ours[0], torch.stack([zeros, states]))
    close(encode_image("unclip", pictures, client=g, model="sd1")["image_embeds"], plain)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_best_of_several(pipes: dict[str, Any], g: Client, batch: int) -> None:
    pipe = pipes["sd1"]
    pipe.set_progress_bar_config(disable=True)
    vectors = encode(pipe, PROMPTS[0], client=g, model="sd1")
    state = torch.random.get_rng_state()
    # The tiny pipelines have no image tower: another one judges.
    found = best_of(
        pipe, PROMPTS[0], 5, 5, client=Judge(), seed=20, batch=batch, num_inference_steps=2, **vectors
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    for chosen in found:
        generator = torch.Generator("cpu").manual_seed(20 + chosen.index)
        alone = pipe(num_inference_steps=2, generator=generator, **vectors).images[0]
        away = np.asarray(alone, np.float64) - np.asarray(chosen.image, np.float64)
        assert np.abs(away).max() <= 1
    means = [np.asarray(chosen.image).mean() for chosen in found]
    assert means == sorted(means, reverse=True)


class Judge:
    """Prefers light pictures."""

    def score(self, pictures: list[Any], prompt: str, **_: Any) -> np.ndarray:
        return np.array([[np.asarray(picture).mean()] for picture in pictures])
