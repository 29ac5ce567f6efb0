"""What `condition` promises about what goes together: encoders of different lengths, the LoRAs of a prompt and its
negative prompt, clip skips, dialects' own rules, and a warning where nothing should be silent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import checkpoints as make
from daemon import Daemon
from expected import PIPELINES, assert_close
from raw import Answer, Raw

ADAPTERS = PIPELINES.parent / "adapters"
LONG = 248


def long_tower(seed: int) -> make.Weights:
    """LongCLIP's L: 248 positions, otherwise as any CLIP-L."""
    weights = make.text_tower(seed, 768, 2, None)
    rng = np.random.default_rng(seed)
    places = (rng.standard_normal((LONG, 768), dtype=np.float32) * 0.5).astype(np.float16)
    return weights | {"text_model.embeddings.position_embedding.weight": places}


def unet_lora() -> make.Weights:
    rng = np.random.default_rng(8)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    return {
        f"{name}.lora_down.weight": rng.standard_normal((4, 320)).astype(np.float16),
        f"{name}.lora_up.weight": rng.standard_normal((320, 4)).astype(np.float16),
        f"{name}.alpha": np.array(4.0, np.float32),
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        root = Path(folder)
        long_l = make.write(root / "clip_l.safetensors", long_tower(5))
        g = make.write(root / "clip_g.safetensors", make.text_tower(7, 1280, 2, 64))
        bare = make.write(root / "unet.safetensors", unet_lora())
        arguments = ["--model", f"mixed={long_l}+{g}", "--model", f"long={long_l}"]
        for name in ["sd1", "sdxl", "sdxl-refiner", "sd3-clip"]:
            arguments += ["--model", f"{name}={PIPELINES / name}"]
        for name in ["ink", "wash", "ink-xl"]:
            arguments += ["--lora", f"{name}={ADAPTERS / name}.safetensors"]
        arguments += ["--lora", f"unet-only={bare}"]
        for name in ["cat-toy", "cat-toy-xl"]:
            arguments += ["--embedding", f"{name}={ADAPTERS / name}.safetensors"]
        daemon = Daemon(root, *arguments)
        yield daemon
        assert daemon.stop() == 0, daemon.log.read_text()


@pytest.fixture
def raw(running: Daemon) -> Iterator[Raw]:
    with Raw(running.endpoint) as client:
        yield client
    assert running.process.poll() is None


def condition(raw: Raw, prompt: Any, recipe: str = "sd1", negative: Any = None, **params: Any) -> Answer:
    params = {"prompts": [prompt] if isinstance(prompt, str) else prompt, "recipe": recipe} | params
    if negative is not None:
        params["negative_prompts"] = [negative] if isinstance(negative, str) else negative
    model = params.pop("model", recipe)
    return raw.ask("condition", params, model=model)


def warnings(answer: Answer) -> list[str]:
    assert answer.status == "ok", answer.header
    return answer.header.get("warnings", [])


def hidden(answer: Answer, name: str = "hidden_states") -> np.ndarray:
    return answer.outputs[name]


# Encoders of different lengths --------------------------------------------------------------------


def test_encoders_of_different_lengths_are_cut_to_the_shorter_one(raw: Raw) -> None:
    answer = condition(raw, "a cat", "sdxl", "blurry", model="mixed")
    assert hidden(answer).shape == (1, 77, 768 + 1280)
    assert hidden(answer, "negative_hidden_states").shape == (1, 77, 2048)
    assert any("248" in text and "77" in text for text in warnings(answer)), answer.header
    # The first half is what the long encoder says by itself, up to its 77th position.
    alone = condition(raw, "a cat", "sd1", model="long", clip_skip=1)
    assert hidden(alone).shape == (1, LONG, 768)
    assert not any("248" in text for text in warnings(alone))


@pytest.mark.parametrize("syntax", ["plain", "a1111", "comfy", "compel"])
@pytest.mark.parametrize("count", [60, 100, 160, 300])
def test_long_prompts_of_encoders_of_different_lengths(raw: Raw, syntax: str, count: int) -> None:
    long = " ".join(["cat"] * count)
    answer = condition(raw, [long, "a dog"], "sdxl", "b", model="mixed", syntax=syntax, long_prompts="chunk")
    shape = hidden(answer).shape
    # As many positions as the short encoder's chunks come to; nothing of the prompt is lost.
    assert shape[1] % 77 == 0 and shape[1] >= count
    assert hidden(answer, "negative_hidden_states").shape == (2, *shape[1:])
    assert np.isfinite(hidden(answer)).all()
    assert not any("cut off" in text or "dropped" in text for text in warnings(answer))


def test_what_is_cut_off_of_the_longer_encoder_is_an_error_or_reported(raw: Raw) -> None:
    params = {"model": "mixed", "prompts_2": ["a dog"]}
    long = " ".join(["cat"] * 200)
    refused = condition(raw, long, "sdxl", **params)
    assert refused.error["code"] == "prompt_too_long" and "124 tokens" in refused.error["message"]
    assert refused.error["field"] == "params.prompts[0]"
    cut = condition(raw, long, "sdxl", long_prompts="truncate", **params)
    assert hidden(cut).shape[1] == 77
    assert any("124 tokens of clip_l" in text and "cut off" in text for text in warnings(cut))
    short = condition(raw, " ".join(["cat"] * 76), "sdxl", **params)
    assert short.status == "ok" and not any("cut off" in text for text in warnings(short))


def test_schedules_and_mixed_texts_of_encoders_of_different_lengths(raw: Raw) -> None:
    long = "[" + " ".join(["cat"] * 90) + ":dog:0.5] AND a bird"
    answer = condition(
        raw, long, "sdxl", "[a:b:2]", model="mixed", syntax="a1111", long_prompts="chunk", steps=4,
        prompts_2=["x AND y"],
    )  # fmt: skip
    for number in range(len(answer.result["segments"])):
        shape = hidden(answer, f"hidden_states.{number}").shape
        assert shape[0] == 2 and shape[1] % 77 == 0
        assert hidden(answer, f"negative_hidden_states.{number}").shape[1:] == shape[1:]
    compel = '("a cat", "' + " ".join(["dog"] * 100) + '").and(1, 0.5)'
    joined = condition(raw, compel, "sdxl", "b", model="mixed", syntax="compel", long_prompts="chunk")
    assert hidden(joined).shape[1] % 77 == 0 and np.isfinite(hidden(joined)).all()


def test_parts_of_the_second_prompt_must_have_the_first_ones_weights(raw: Raw) -> None:
    params = {"syntax": "a1111", "prompts_2": ["x :3 AND y"]}
    answer = condition(raw, "a :2 AND b", "sdxl", **params)
    assert answer.error["field"] == "params.prompts_2"
    assert condition(raw, "a :3 AND b", "sdxl", **params).status == "ok"


# LoRAs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax, prompt",
    [("a1111", "a cat<lora:ink:0.7>"), ("compel", "a cat useLora(ink, 0.7)"), ("compel", "a cat withLora(ink, 0.7)")],
)
@pytest.mark.parametrize("negative", ["blurry", None])
def test_a_prompts_lora_is_in_force_for_its_negative_prompt(
    raw: Raw, syntax: str, prompt: str, negative: str | None
) -> None:
    asked = condition(raw, prompt, negative=negative, syntax=syntax)
    stated = condition(raw, "a cat", negative=negative, syntax=syntax, loras=[{"name": "ink", "strength": 0.7}])
    plain = condition(raw, "a cat", negative=negative, syntax=syntax)
    for name in ["hidden_states", "negative_hidden_states"]:
        assert_close(hidden(asked, name), hidden(stated, name), name)
        assert not np.allclose(hidden(asked, name), hidden(plain, name)), name
    assert asked.result["loras"] == [
        {"name": "ink", "strength": 0.7, "unet_strength": 0.7, "encoders": ["clip_l"], "prompt": 0}
    ]
    assert stated.result["loras"] == [
        {"name": "ink", "strength": 0.7, "unet_strength": 0.7, "encoders": ["clip_l"]}
    ]
    assert not warnings(asked)


def test_each_prompt_has_loras_of_its_own(raw: Raw) -> None:
    both = condition(raw, ["a cat <lora:ink:0.7>", "a dog", "a cat <lora:wash:1:0.25>"], negative="bad", syntax="a1111")
    alone = [
        condition(raw, text, negative="bad", syntax="a1111")
        for text in ["a cat <lora:ink:0.7>", "a dog", "a cat <lora:wash:1>"]
    ]
    for name in ["hidden_states", "negative_hidden_states"]:
        for row, one in zip(hidden(both, name), alone, strict=True):
            assert np.array_equal(row, hidden(one, name)[0])
        assert not np.array_equal(hidden(both, "negative_hidden_states")[0], hidden(both, "negative_hidden_states")[1])
    found = both.result["loras"]
    assert [(entry["name"], entry["prompt"], entry["unet_strength"]) for entry in found] == [
        ("ink", 0, 0.7),
        ("wash", 2, 0.25),
    ]


def test_what_pads_a_prompt_has_its_loras_too(raw: Raw) -> None:
    long = ", ".join(f"thing {number}" for number in range(60))
    answer = condition(raw, ["a cat <lora:ink:0.7>", long], syntax="a1111", long_prompts="chunk")
    empty = condition(raw, "<lora:ink:0.7>", syntax="a1111")
    assert np.array_equal(hidden(answer)[0, 77:154], hidden(empty)[0])
    negative = hidden(answer, "negative_hidden_states")
    assert np.array_equal(negative[0, 77:154], hidden(empty)[0])
    assert not np.array_equal(negative[1, 77:154], hidden(empty)[0])


def test_a_lora_that_both_texts_of_a_picture_name_counts_once(raw: Raw) -> None:
    text = "a cat <lora:ink-xl:0.5>"
    one = condition(raw, text, "sdxl", syntax="a1111")
    two = condition(raw, text, "sdxl", syntax="a1111", prompts_2=[text])
    assert np.array_equal(hidden(one), hidden(two))
    assert len(two.result["loras"]) == 1 and two.result["loras"][0]["encoders"] == ["clip_l", "clip_g"]


@pytest.mark.parametrize(
    "syntax, prompt", [("a1111", "a cat <lora:nobody:1>"), ("compel", "a cat useLora(nobody)")]
)
def test_an_unknown_lora_is_a_warning_unless_it_must_not_be(raw: Raw, syntax: str, prompt: str) -> None:
    lenient = condition(raw, prompt, syntax=syntax)
    plain = condition(raw, "a cat", syntax=syntax)
    assert_close(hidden(lenient), hidden(plain))
    assert lenient.result["loras"] == []
    assert any(text.startswith("params.prompts[0]") and "nobody" in text for text in warnings(lenient))
    strict = condition(raw, prompt, syntax=syntax, strict_loras=True)
    assert strict.error["code"] == "bad_request" and strict.error["field"] == "params.prompts[0]"
    assert "at character" in strict.error["message"]


def test_a_lora_of_the_unet_alone_is_loaded_named_and_warned_about(raw: Raw) -> None:
    prompt = "a cat <lora:unet-only:0.5:0.8>"
    asked = condition(raw, prompt, syntax="a1111")
    plain = condition(raw, "a cat", syntax="a1111")
    assert np.array_equal(hidden(asked), hidden(plain))
    assert asked.result["loras"] == [
        {"name": "unet-only", "strength": 0.5, "unet_strength": 0.8, "encoders": [], "prompt": 0}
    ]
    assert any("unet-only" in text and "no text encoder" in text for text in warnings(asked))
    strict = condition(raw, prompt, syntax="a1111", strict_loras=True)
    assert strict.error["code"] == "bad_request" and "unet-only" in strict.error["message"]
    stated = condition(raw, "a cat", loras=[{"name": "unet-only", "strength": 1}])
    assert any(text.startswith("params.loras[0]") for text in warnings(stated))


# Clip skip ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["sd1", "sdxl", "sdxl-refiner", "sd3-clip"])
def test_the_negative_prompt_has_a_clip_skip_of_its_own(raw: Raw, recipe: str) -> None:
    def both(**params: Any) -> tuple[np.ndarray, np.ndarray]:
        answer = condition(raw, "a cat", recipe, "bad", **params)
        return hidden(answer), hidden(answer, "negative_hidden_states")

    none, one = both(), both(clip_skip=1)
    apart = both(clip_skip=1, negative_clip_skip=0)
    assert np.array_equal(apart[0], one[0]) and np.array_equal(apart[1], none[1])
    apart = both(negative_clip_skip=1)
    assert np.array_equal(apart[0], none[0]) and np.array_equal(apart[1], one[1])
    assert not np.array_equal(none[0], one[0]) and not np.array_equal(none[1], one[1])


def test_what_pads_has_the_clip_skip_of_what_it_pads(raw: Raw) -> None:
    long = ", ".join(f"thing {number}" for number in range(60))
    params = {"clip_skip": 1, "negative_clip_skip": 0, "syntax": "a1111", "long_prompts": "chunk"}
    answer = condition(raw, [long, "a"], negative="bad", **params)
    empty = condition(raw, "", negative="", **params)
    assert np.array_equal(hidden(answer)[1, 77:154], hidden(empty)[0])
    negative = hidden(answer, "negative_hidden_states")
    assert np.array_equal(negative[1, 77:154], hidden(empty, "negative_hidden_states")[0])
    assert answer.result["negative_clip_skip"] == 0 and answer.result["clip_skip"] == 1
    encoder = answer.result["encoders"][0]
    assert encoder["hidden_state"] + 1 == encoder["negative_hidden_state"]


@pytest.mark.parametrize("value", [-1, 99, 1.5, "1"])
def test_a_bad_negative_clip_skip_is_named(raw: Raw, value: Any) -> None:
    answer = condition(raw, "a", negative="b", negative_clip_skip=value)
    assert answer.error["field"] == "params.negative_clip_skip"


# Dialects -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["sdxl", "sdxl-refiner"])
def test_an_empty_negative_prompt_is_zeros_in_a1111s_sdxl(raw: Raw, recipe: str) -> None:
    prompts = ["a cat", "a dog"]
    answer = condition(raw, prompts, recipe, ["", "bad"], syntax="a1111")
    other = condition(raw, prompts, recipe, "bad", syntax="a1111")
    for name in ["negative_hidden_states", "negative_pooled"]:
        assert not hidden(answer, name)[0].any(), name
        assert np.array_equal(hidden(answer, name)[1], hidden(other, name)[1])
    assert answer.result["negative_rows"][0] == {"prompt": 0, "weight": 1, "zeros": True}
    for negative in ["", None]:
        alone = condition(raw, "a cat", recipe, negative, syntax="a1111")
        assert alone.result["negative"] == "zeros"
        assert not hidden(alone, "negative_hidden_states").any() and not hidden(alone, "negative_pooled").any()
    # What only looks empty is text, and other dialects encode the empty prompt.
    for params in [{"syntax": "plain"}, {"syntax": "comfy"}, {"syntax": "a1111", "negative_policy": "empty"}]:
        assert hidden(condition(raw, "a cat", recipe, "", **params), "negative_hidden_states").any()
    comment = condition(raw, "a cat", recipe, "# nothing", syntax="a1111")
    assert hidden(comment, "negative_hidden_states").any()


def test_an_empty_negative_prompt_is_encoded_elsewhere(raw: Raw) -> None:
    for recipe in ["sd1", "sd3-clip"]:
        answer = condition(raw, "a cat", recipe, "", syntax="a1111")
        assert hidden(answer, "negative_hidden_states").any()


def test_a1111s_comments_are_no_text_in_both_prompts(raw: Raw) -> None:
    answer = condition(raw, "a cat # a dog\n", negative="bad # worse", syntax="a1111")
    plain = condition(raw, "a cat", negative="bad", syntax="a1111")
    for name in ["hidden_states", "negative_hidden_states"]:
        assert np.array_equal(hidden(answer, name), hidden(plain, name))
    assert any("# a dog" in text for text in warnings(answer))
    assert any("# worse" in text for text in warnings(answer))


def test_emphasis_is_apart_from_the_dialect(raw: Raw) -> None:
    def states(emphasis: str, syntax: str = "a1111", prompt: str = "a (cat:1.5) here") -> np.ndarray:
        answer = condition(raw, prompt, syntax=syntax, emphasis=emphasis)
        assert answer.result["emphasis"] == emphasis
        return hidden(answer)[0]

    plain = hidden(condition(raw, "a cat here"))[0]
    text = hidden(condition(raw, "a (cat:1.5) here"))[0]
    assert_close(states("ignore"), plain)
    assert np.array_equal(states("none"), text)
    expected = plain.copy()
    expected[2] *= 1.5
    assert_close(states("no_norm"), expected)
    assert_close(states("original"), expected * (plain.mean() / expected.mean()))
    for syntax in ["comfy", "compel"]:
        prompt = "a (cat)1.5 here" if syntax == "compel" else "a (cat:1.5) here"
        assert_close(states("ignore", syntax, prompt), plain)
        assert np.array_equal(states("no_norm", syntax, prompt), states("original", syntax, prompt))
        assert not np.allclose(states("original", syntax, prompt), plain)
    assert condition(raw, "a", emphasis="loud").error["field"] == "params.emphasis"


# Warnings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", ["plain", "compel", "comfy"])
def test_the_bare_word_of_an_embedding_is_a_warning(raw: Raw, syntax: str) -> None:
    spelled = "embedding:cat-toy" if syntax == "comfy" else "<cat-toy>"
    for where in ["prompts", "negative_prompts"]:
        prompt, negative = ("a cat-toy", "x") if where == "prompts" else ("x", "a cat-toy")
        answer = condition(raw, prompt, negative=negative, syntax=syntax)
        found = [text for text in warnings(answer) if spelled in text]
        assert len(found) == 1 and found[0].startswith(f"params.{where}[0]"), answer.header
    # From the cache too.
    again = condition(raw, "x", negative="a cat-toy", syntax=syntax)
    assert again.result["cache"]["rows"] == 0 and any(spelled in text for text in warnings(again))
    assert not warnings(condition(raw, f"a {spelled}", negative="x", syntax=syntax))


@pytest.mark.parametrize("syntax, spelled", [("plain", "<cat-toy>"), ("a1111", "cat-toy"), ("comfy", "embedding:cat-toy")])
def test_an_embedding_without_vectors_for_an_encoder_is_a_warning(raw: Raw, syntax: str, spelled: str) -> None:
    # It has vectors of the first encoder's width only.
    answer = condition(raw, f"a {spelled}", "sdxl", syntax=syntax)
    found = [text for text in warnings(answer) if "no vectors" in text]
    assert len(found) == 1 and "clip_g" in found[0] and "cat-toy" in found[0], answer.header
    both = condition(raw, f"a {spelled}-xl", "sdxl", syntax=syntax)
    if syntax != "a1111":
        both = condition(raw, "a <cat-toy-xl>" if syntax == "plain" else "a embedding:cat-toy-xl", "sdxl", syntax=syntax)
    assert not any("cat-toy-xl" in text and "no vectors" in text for text in warnings(both))


def test_a_policy_beside_given_negatives_is_a_warning(raw: Raw) -> None:
    def policies(answer: Answer) -> list[str]:
        return [text for text in warnings(answer) if "negative_policy" in text]

    for policy in ["zeros", "empty"]:
        assert policies(condition(raw, "a", "sdxl", "bad", negative_policy=policy))
        assert not policies(condition(raw, "a", "sdxl", negative_policy=policy))
    assert not policies(condition(raw, "a", "sdxl", "bad"))
    # There it decides about the empty one.
    assert not policies(condition(raw, ["a", "b"], "sdxl", ["", "bad"], negative_policy="empty", syntax="a1111"))
