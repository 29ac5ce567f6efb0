"""Stable Diffusion 3 and FLUX.1 with a T5 of the pipeline's own beside the daemon's CLIP, on tiny random networks.

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

import pipelines as made  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from daemon import Daemon  # noqa: E402
from guidanced import Client  # noqa: E402
from guidanced.diffusers import encode  # noqa: E402
from transformers import T5Config, T5EncoderModel, T5Tokenizer  # noqa: E402

PROMPTS = ["a portrait of an old sailor", "a red circle on a blue background, oil painting"]
SECOND = ["a cat", "two dogs"]
THIRD = ["the sea, by night", "a street in the rain"]
NEGATIVES = ["blurry", "text, watermark"]


def with_t5(pipe: Any, number: int, width: int) -> Any:
    """The pipeline with a T5 as its encoder of this number."""
    letters = "abcdefghijklmnopqrstuvwxyz,"
    words = ["▁a", "▁red", "▁cat", "▁the", "▁of", "▁on", "▁an", "▁old", "ing", "▁text"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(word, -1.0 - index / 8) for index, word in enumerate(words)]
    pieces += [(letter, -4.0 - index / 8) for index, letter in enumerate(letters)]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=0)
    torch.manual_seed(20 + number)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, initializer_factor=2.0)  # fmt: skip
    pipe.register_modules(**{f"text_encoder_{number}": T5EncoderModel(config).eval(), f"tokenizer_{number}": tokenizer})
    return pipe


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("work")
    return {
        "sd3": with_t5(made.make_sd3(work), 3, width=96),
        "flux": with_t5(made.make_flux(work), 2, width=32),
    }


@pytest.fixture(scope="module")
def g(pipes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon on the folders that the pipelines save, T5 and all."""
    folder = tmp_path_factory.mktemp("saved")
    arguments = []
    for name, pipe in pipes.items():
        pipe.save_pretrained(folder / name)
        arguments += ["--model", f"{name}={folder / name}"]
    running = Daemon(folder, *arguments)
    with Client(running.endpoint, timeout=60) as client:
        yield client
    assert running.stop() == 0


def close(ours: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(ours) == set(expected)
    for key, value in expected.items():
        assert ours[key].shape == value.shape and ours[key].dtype == value.dtype, key
        assert (ours[key] - value).abs().max() <= 2e-4 * value.abs().max(), key


def without_clip(pipe: Any, *names: str) -> Any:
    """The pipeline as one loads it when the daemon has CLIP."""
    return type(pipe)(**{name: None if name in names else part for name, part in pipe.components.items()})


def test_the_tokenizer_tells_texts_apart(pipes: dict[str, Any]) -> None:
    tokenizer = pipes["sd3"].tokenizer_3
    rows = tokenizer([*PROMPTS, *SECOND, *THIRD]).input_ids
    assert len({tuple(row) for row in rows}) == len(rows)
    assert all(row[-1] == tokenizer.eos_token_id and tokenizer.unk_token_id not in row for row in rows)


@torch.no_grad()
@pytest.mark.parametrize("negative", [NEGATIVES, None])
@pytest.mark.parametrize("length", [None, 8, 40])
@pytest.mark.parametrize("others", [
    {},
    {"prompt_3": THIRD},
    {"prompt_2": SECOND, "prompt_3": THIRD, "negative_prompt_2": SECOND, "negative_prompt_3": THIRD},
])  # fmt: skip
def test_stable_diffusion_3(
    pipes: dict[str, Any], g: Client, negative: Any, length: int | None, others: dict[str, Any]
) -> None:
    pipe = pipes["sd3"]
    if negative is None:
        others = {key: value for key, value in others.items() if not key.startswith("negative")}
    limit = {} if length is None else {"max_sequence_length": length}
    texts = {"prompt_2": None, "prompt_3": None} | others
    values = pipe.encode_prompt(PROMPTS, negative_prompt=negative, device="cpu", **texts, **limit)
    names = ["prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"]
    expected = dict(zip(names, values))
    assert expected["prompt_embeds"].shape == (2, 77 + (length or 256), 96)
    for each in [pipe, without_clip(pipe, "text_encoder", "text_encoder_2")]:
        close(encode(each, PROMPTS, negative, client=g, model="sd3", **others, **limit), expected)


@torch.no_grad()
@pytest.mark.parametrize("negative", [NEGATIVES, None])
@pytest.mark.parametrize("length", [None, 8, 40])
@pytest.mark.parametrize("others", [{}, {"prompt_2": SECOND, "negative_prompt_2": THIRD}])
def test_flux(
    pipes: dict[str, Any], g: Client, negative: Any, length: int | None, others: dict[str, Any]
) -> None:
    pipe = pipes["flux"]
    limit = {} if length is None else {"max_sequence_length": length}
    expected = {}
    for prefix, prompts in [("", PROMPTS), ("negative_", negative)]:
        if prompts is not None:
            second = others.get(prefix + "prompt_2")
            hidden, pooled, _ = pipe.encode_prompt(prompts, second, device="cpu", **limit)
            assert hidden.shape == (2, length or 512, 32)
            expected |= {f"{prefix}prompt_embeds": hidden, f"{prefix}pooled_prompt_embeds": pooled}
    if negative is None:
        others = {key: value for key, value in others.items() if not key.startswith("negative")}
    for each in [pipe, without_clip(pipe, "text_encoder")]:
        close(encode(each, PROMPTS, negative, client=g, model="flux", **others, **limit), expected)


def latents(pipe: Any, **arguments: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    size = {"height": 16, "width": 16, "num_inference_steps": 2}
    return pipe(generator=generator, output_type="latent", **size, **arguments).images


def test_what_stable_diffusion_3_denoises(pipes: dict[str, Any], g: Client) -> None:
    pipe = pipes["sd3"]
    own = latents(pipe, prompt=PROMPTS, prompt_3=THIRD, negative_prompt=NEGATIVES)
    bare = without_clip(pipe, "text_encoder", "text_encoder_2")
    ours = latents(bare, **encode(bare, PROMPTS, NEGATIVES, client=g, model="sd3", prompt_3=THIRD))
    other = latents(pipe, prompt=PROMPTS, prompt_3=SECOND, negative_prompt=NEGATIVES)
    assert (own - ours).abs().max() < 1e-3 < (own - other).abs().max()
