"""`condition` and `condition_image` against a daemon that answers by the book; recipes of pipelines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import guidanced
from guidanced import diffusers
from fake_daemon import failure, reply
from guidanced import Client
from guidanced.conditioning import conditioning_params
from guidanced.diffusers import recipe_of


def values(*shape: int, start: float = 0) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + start


def answer(outputs: dict[str, np.ndarray], result: dict[str, Any] | None = None) -> Any:
    return lambda request: [reply(request, result, outputs)]


def test_every_argument_becomes_a_parameter(daemon) -> None:
    fake = daemon(answer({"pooled": values(1, 4)}))
    with Client(fake.endpoint) as g:
        g.condition(
            "a",
            "sdxl",
            "b",
            clip_skip=1,
            syntax="a1111",
            long_prompts="chunk",
            negative_policy="empty",
            prompts_2="c",
            negative_2=["d"],
            steps=20,
            width=640,
            height=448,
            crop=(1, 2),
            original_size=(3, 4),
            aesthetic_score=5.5,
            negative_aesthetic_score=1.5,
            hidden_width=4096,
            loras={"ink": 0.5},
            datatype="FP16",
        )
        g.condition(["a"])
    full, least = (request.params for request in fake.requests)
    assert full == {
        "prompts": ["a"],
        "recipe": "sdxl",
        "negative_prompts": ["b"],
        "clip_skip": 1,
        "syntax": "a1111",
        "long_prompts": "chunk",
        "negative_policy": "empty",
        "prompts_2": ["c"],
        "negative_prompts_2": ["d"],
        "steps": 20,
        "width": 640,
        "height": 448,
        "crop_top": 1,
        "crop_left": 2,
        "original_width": 3,
        "original_height": 4,
        "aesthetic_score": 5.5,
        "negative_aesthetic_score": 1.5,
        "hidden_width": 4096,
        "loras": [{"name": "ink", "strength": 0.5}],
        "datatype": "FP16",
    }
    assert least == {"prompts": ["a"]}  # every default is the daemon's


def test_outputs_become_attributes(daemon) -> None:
    outputs = {
        "hidden_states": values(1, 2, 3),
        "pooled": values(1, 4),
        "negative_hidden_states": values(1, 2, 3, start=50),
        "negative_pooled": values(1, 4, start=50),
        "time_ids": values(1, 6),
        "negative_time_ids": values(1, 6, start=9),
    }
    fake = daemon(answer(outputs, {"recipe": "sdxl"}))
    with Client(fake.endpoint) as g:
        found = g.condition("a", "sdxl")
    for name, expected in outputs.items():
        assert np.array_equal(getattr(found, name), expected), name
    assert found.report == {"recipe": "sdxl"} and found.fingerprint == "f00d"
    assert len(found.segments) == 1 and found.segments[0].until_step is None


def test_schedules_become_segments(daemon) -> None:
    outputs = {
        f"{name}.{i}": values(1, 2, 3, start=10 * i)
        for i in range(2)
        for name in ["hidden_states", "negative_hidden_states"]
    }
    fake = daemon(answer(outputs, {"segments": [{"until_step": 5}, {"until_step": 20}]}))
    with Client(fake.endpoint) as g:
        found = g.condition("[a:b:0.25]", steps=20, syntax="a1111")
    assert [segment.until_step for segment in found.segments] == [5, 20]
    assert np.array_equal(found.segments[1].hidden_states, outputs["hidden_states.1"])
    assert np.array_equal(found.hidden_states, outputs["hidden_states.0"])
    assert found.pooled is None and found.time_ids is None


@pytest.mark.parametrize(
    "outputs, result",
    [
        ({}, {}),
        ({"hidden_states": values(2, 3)}, {}),
        ({"pooled": values(1, 2)}, {"segments": []}),
        ({"pooled": values(1, 2)}, {"segments": [{"until_step": "x"}]}),
        ({"pooled": values(1, 2)}, {"segments": 3}),
        ({"pooled": values(1, 2)}, {"segments": [{"until_step": 1}, {"until_step": 2}]}),
    ],
)
def test_malformed_replies(daemon, outputs, result) -> None:
    fake = daemon(answer(outputs, result))
    with Client(fake.endpoint) as g, pytest.raises(guidanced.MalformedReply):
        g.condition("a")


def test_a_handle_is_prepared_again_after_a_restart(daemon) -> None:
    known = set()

    def handler(request):
        if request.header["op"] == "prepare":
            known.add(f"h{len(known)}")
            return [reply(request, {"handle": f"h{len(known) - 1}"})]
        if request.params["handle"] == "h0":
            return [failure(request, "bad_request", field="params.handle")]
        return [reply(request, {}, {"pooled": values(1, 2)})]

    fake = daemon(handler)
    with Client(fake.endpoint) as g:
        handle = g.prepare("a", recipe="flux-clip", negative="b", syntax="comfy")
        g.condition(handle, width=8)
        with pytest.raises(TypeError):
            g.prepare("a", negative="b")
        plain = g.prepare("a")
        with pytest.raises(ValueError, match="without a recipe"):
            g.condition(plain)
    operations = [(request.header["op"], request.params) for request in fake.requests]
    assert [name for name, _ in operations[:4]] == ["prepare", "condition", "prepare", "condition"]
    assert operations[0][1] == operations[2][1]
    assert operations[0][1]["negative_prompts"] == ["b"] and operations[0][1]["syntax"] == "comfy"
    assert operations[3][1] == {"handle": "h1", "width": 8}


def test_image_conditioning(daemon) -> None:
    outputs = {"image_embeddings": values(2, 3), "negative_image_embeddings": values(2, 3)}
    fake = daemon(answer(outputs))
    images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    with Client(fake.endpoint) as g:
        found = g.condition_image(images, "ip-adapter")
        g.condition_image(images, mix=True, weights=[1, 2, 3], prompts="a")
    assert np.array_equal(found.image_embeddings, outputs["image_embeddings"])
    assert found.hidden_states is None
    assert fake.requests[1].params == {
        "mix": True,
        "weights": [1.0, 2.0, 3.0],
        "prompts": ["a"],
    }


def pipeline(name: str, activation: str | None = "quick_gelu", width: int = 768, **config: Any) -> Any:
    encoder = None if activation is None else SimpleNamespace(
        config=SimpleNamespace(hidden_act=activation)
    )
    made = type(name, (), {})()
    made.config = config
    made.text_encoder = encoder
    made.unet = SimpleNamespace(config=SimpleNamespace(cross_attention_dim=width))
    return made


@pytest.mark.parametrize(
    "pipe, recipe",
    [
        (pipeline("StableDiffusionPipeline"), "sd1"),
        (pipeline("StableDiffusionImg2ImgPipeline", "gelu"), "sd2"),
        (pipeline("StableDiffusionPipeline", None, 768), "sd1"),
        (pipeline("StableDiffusionPipeline", None, 1024), "sd2"),
        (pipeline("StableUnCLIPImg2ImgPipeline", "gelu"), "sd2"),
        (pipeline("StableDiffusionXLPipeline"), "sdxl"),
        (pipeline("StableDiffusionXLImg2ImgPipeline", requires_aesthetics_score=True), "sdxl-refiner"),
        (pipeline("StableDiffusionXLImg2ImgPipeline", requires_aesthetics_score=False), "sdxl"),
        (pipeline("StableDiffusion3Pipeline"), "sd3-clip"),
        (pipeline("FluxPipeline"), "flux-clip"),
    ],
)
def test_recipes_of_pipelines(pipe, recipe) -> None:
    assert recipe_of(pipe) == recipe


def test_other_pipelines_have_no_recipe() -> None:
    with pytest.raises(ValueError, match="KandinskyPipeline"):
        recipe_of(pipeline("KandinskyPipeline"))


@pytest.mark.parametrize(
    ("recipe", "argument"),
    [
        ("sd1", {"prompt_2": "b"}),
        ("sd2", {"negative_prompt_2": "b"}),
        ("sdxl", {"prompt_3": "b"}),
        ("sdxl", {"max_sequence_length": 77}),
        ("sdxl-refiner", {"prompt_2": "b"}),
        ("sd3-clip", {"negative_prompt_3": "b"}),
        ("flux-clip", {"prompt_2": "b"}),
        ("sdxl", {"cutouts": 4}),
    ],
)
def test_what_a_family_has_no_encoder_for_is_not_swallowed(
    daemon, recipe: str, argument: dict[str, Any]
) -> None:
    pytest.importorskip("torch")
    fake = daemon(answer({"pooled": values(1, 4)}))
    with Client(fake.endpoint) as g, pytest.raises(TypeError if "cutouts" in argument else ValueError):
        diffusers.encode(recipe, "a", client=g, **argument)
    assert fake.requests == []


def test_each_encoder_may_have_its_own() -> None:
    params = conditioning_params(
        ["a"],
        clip_skip={"clip_l": 1, "clip_g": 2},
        negative_clip_skip=1,
        loras={"ink": {"clip_l": 0.5}, "wash": 2},
    )
    assert params["clip_skips"] == {"clip_l": 1, "clip_g": 2} and "clip_skip" not in params
    assert params["negative_clip_skip"] == 1
    assert params["loras"] == [
        {"name": "ink", "strengths": {"clip_l": 0.5}},
        {"name": "wash", "strength": 2.0},
    ]
    with pytest.raises(guidanced.ArgumentError):
        conditioning_params(["a"], loras={"ink": {"clip_l": float("nan")}})
