"""`condition` and `condition_image` over the real daemon, by the Python client."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import guidanced
from daemon import Daemon
from expected import NAMES, PIPELINES, assert_close, cases, pictures
from guidanced import Client
from raw import Raw


ADAPTERS = PIPELINES.parent / "adapters"
LORAS = ["ink", "wash", "ink-xl"]
EMBEDDINGS = ["cat-toy", "cat-toy-xl"]


@pytest.fixture(scope="module")
def pipelines() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="guidanced-") as folder:
        arguments = [text for name in NAMES for text in ("--model", f"{name}={PIPELINES / name}")]
        arguments += ["--precision", "sdxl=f32,bf16,int8"]
        for name in LORAS:
            arguments += ["--lora", f"{name}={ADAPTERS / name}.safetensors"]
        for name in EMBEDDINGS:
            arguments += ["--embedding", f"<{name}>={ADAPTERS / name}.safetensors"]
        running = Daemon(Path(folder), *arguments)
        yield running
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def g(pipelines: Daemon) -> Iterator[Client]:
    with Client(pipelines.endpoint, control=pipelines.control, timeout=60) as client:
        yield client


# The wire's names of what the client spells otherwise.
ARGUMENTS = {"negative_prompts": "negative"}


def condition(g: Client, params: dict[str, Any], model: str) -> guidanced.Conditioning:
    params = {ARGUMENTS.get(key, key): value for key, value in params.items()}
    if "loras" in params:
        params["loras"] = {entry["name"]: entry["strength"] for entry in params["loras"]}
    crop = (params.pop("crop_top", None), params.pop("crop_left", None))
    original = (params.pop("original_width", None), params.pop("original_height", None))
    if crop[0] is not None:
        params["crop"] = crop
    if original[0] is not None:
        params["original_size"] = original
    return g.condition(**params, model=model)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::guidanced.DaemonWarning")
def test_diffusers_vectors(g: Client, name: str) -> None:
    for number, case in enumerate(cases(name)):
        if case["op"] == "condition":
            found: Any = condition(g, case["params"], name)
        else:
            found = g.condition_image(pictures(), **case["params"], model=name)
        for key, expected in case["outputs"].items():
            assert_close(getattr(found, key), expected, f"{name} case {number} {key}")
        for encoder, rows in enumerate(case.get("tokens", [])):
            for index, ids in enumerate(rows):
                report = found.report["prompts"][index]["encoders"][encoder]
                assert report["texts"][0]["rows"][0]["tokens"] == ids


def test_models_list_their_recipes(g: Client) -> None:
    recipes = {model["name"]: model["recipes"] for model in g.models()}
    assert recipes["sd1"] == ["sd1", "flux-clip", "unclip", "ip-adapter", "ip-adapter-plus"]
    assert recipes["sd2"] == ["sd2"]
    assert recipes["sdxl"] == ["sdxl", "sd1", "sdxl-refiner", "flux-clip"]
    assert recipes["sdxl-refiner"] == ["sdxl-refiner"]
    assert recipes["sd3-clip"] == ["sd3-clip", "sd1", "sdxl", "sdxl-refiner", "flux-clip"]
    assert recipes["flux-clip"] == ["flux-clip", "sd1"]


def test_a_model_is_conditioned_by_its_own_recipe(g: Client) -> None:
    for name in NAMES:
        found = g.request("condition", {"prompts": ["a cat"]}, model=name).result
        assert found["recipe"] == name


def test_handles_stand_for_prompts(g: Client) -> None:
    plain = g.condition(["a red circle"], "sdxl", "blurry", model="sdxl", width=512, height=768)
    handle = g.prepare(["a red circle"], recipe="sdxl", negative="blurry", model="sdxl")
    prepared = g.condition(handle, width=512, height=768)
    for name in ["hidden_states", "pooled", "negative_hidden_states", "negative_pooled", "time_ids"]:
        assert np.array_equal(getattr(plain, name), getattr(prepared, name)), name
    assert prepared.time_ids is not None
    assert prepared.time_ids.tolist() == [[768, 512, 0, 0, 768, 512]]
    g.release(handle)
    with pytest.raises(ValueError):
        g.condition(handle)


def test_other_kinds_of_handles_are_refused(g: Client, pipelines: Daemon) -> None:
    handle = g.prepare(["a red circle"], model="sdxl")
    with pytest.raises(ValueError, match="without a recipe"):
        g.condition(handle)
    with Raw(pipelines.endpoint) as raw:
        reply = raw.ask("condition", {"handle": handle.result["handle"]}, model="sdxl")
        assert reply.error["field"] == "params.handle"


def test_a_cached_prompt_has_the_same_bits(g: Client) -> None:
    prompt = "something that nobody asked for before"
    before = g.status()["conditioning_cache"]
    first = g.condition(prompt, "sdxl", model="sdxl")
    second = g.condition(prompt, "sdxl", model="sdxl")
    after = g.status()["conditioning_cache"]
    assert first.report["cache"]["cached"] == 0 and second.report["cache"] == {"cached": 1, "rows": 0}
    assert after["hits"] == before["hits"] + 1 and after["misses"] == before["misses"] + 1
    assert after["entries"] == before["entries"] + 1 and after["bytes"] > before["bytes"]
    assert np.array_equal(first.hidden_states, second.hidden_states)
    assert np.array_equal(first.pooled, second.pooled)


def test_prompt_and_negative_have_equally_many_tokens(g: Client) -> None:
    long = ", ".join(f"thing {i}" for i in range(60))
    for negative in ["short", None]:
        for syntax in ["plain", "a1111", "comfy"]:
            found = g.condition(
                [long, "short"], "sdxl", negative, syntax=syntax, long_prompts="chunk", model="sdxl"
            )
            shape = found.hidden_states.shape
            assert shape[0] == 2 and shape[1] > 77 and shape[1] % 77 == 0
            assert found.negative_hidden_states.shape == shape
    # What is added to the short one are rows of the empty prompt.
    short = g.condition("short", "sdxl", "", model="sdxl")
    assert np.array_equal(found.hidden_states[1, :77], short.hidden_states[0])
    assert np.array_equal(found.hidden_states[1, 77:154], short.negative_hidden_states[0])


def test_what_does_not_fit_is_named_or_reported(g: Client) -> None:
    long = ", ".join(f"thing {i}" for i in range(60)) + " the end"
    with pytest.raises(guidanced.PromptTooLong, match="the end") as caught:
        g.condition(["short", long], "sd1", model="sd1")
    assert caught.value.field == "params.prompts[1]"
    with pytest.warns(guidanced.DaemonWarning, match="tokens dropped"):
        found = g.condition(long, "sd1", long_prompts="truncate", model="sd1")
    dropped = found.report["prompts"][0]["encoders"][0]["texts"][0]["dropped"]
    assert dropped["tokens"] > 0 and "".join(dropped["text"]).endswith("the end")


def test_the_second_encoder_reads_another_prompt(g: Client) -> None:
    one = g.condition("a cat", "sdxl", "bad", model="sdxl")
    two = g.condition("a dog", "sdxl", "bad", model="sdxl")
    mixed = g.condition("a cat", "sdxl", "bad", prompts_2="a dog", model="sdxl")
    assert np.array_equal(mixed.hidden_states[..., :32], one.hidden_states[..., :32])
    assert np.array_equal(mixed.hidden_states[..., 32:], two.hidden_states[..., 32:])
    assert np.array_equal(mixed.pooled, two.pooled)


@pytest.mark.parametrize(
    "params, field",
    [
        ({"prompts": []}, "prompts"),
        ({}, "prompts"),
        ({"prompts": ["a"], "recipe": "sd9"}, "recipe"),
        ({"prompts": ["a"], "recipe": "unclip"}, "recipe"),
        ({"prompts": ["a"], "recipe": "sd2"}, "recipe"),
        ({"prompts": ["a"], "recipe": 3}, "recipe"),
        ({"prompts": ["a"], "clip_skip": -1}, "clip_skip"),
        ({"prompts": ["a"], "clip_skip": 4}, "clip_skip"),
        ({"prompts": ["a"], "clip_skip": 1.5}, "clip_skip"),
        ({"prompts": ["a"], "recipe": "flux-clip", "clip_skip": 1}, "clip_skip"),
        ({"prompts": ["a"], "syntax": "latex"}, "syntax"),
        ({"prompts": ["a"], "long_prompts": "wrap"}, "long_prompts"),
        ({"prompts": ["a"], "negative_policy": "none"}, "negative_policy"),
        ({"prompts": ["a", "b", "c"], "negative_prompts": ["a", "b"]}, "negative_prompts"),
        ({"prompts": ["a"], "recipe": "sd1", "prompts_2": ["a"]}, "prompts_2"),
        ({"prompts": ["a"], "recipe": "sdxl", "prompts_2": ["a", "b"]}, "prompts_2"),
        ({"prompts": ["a"], "recipe": "sdxl", "negative_prompts_2": ["b"]}, "negative_prompts"),
        ({"prompts": ["a"], "width": 0}, "width"),
        ({"prompts": ["a"], "crop_top": "x"}, "crop_top"),
        ({"prompts": ["a"], "aesthetic_score": 1e9}, "aesthetic_score"),
        ({"prompts": ["a"], "recipe": "sdxl", "hidden_width": 8}, "hidden_width"),
        ({"prompts": ["a"], "steps": 0}, "steps"),
        ({"prompts": ["a"], "datatype": "INT8"}, "datatype"),
        ({"prompts": ["(a:1.2.3)"], "syntax": "a1111"}, "prompts[0]"),
        ({"prompts": ["a"] * 257}, "prompts"),
        ({"prompts": ["a"], "handle": "00"}, "handle"),
    ],
)
def test_bad_parameters_are_named(
    pipelines: Daemon, params: dict[str, Any], field: str
) -> None:
    with Raw(pipelines.endpoint) as raw:
        reply = raw.ask("condition", params, model="sdxl")
        assert reply.status == "error"
        assert reply.error["field"] == f"params.{field}", reply.error
        assert raw.ask("ping").status == "ok"


def test_mixes_of_images(g: Client) -> None:
    images = pictures()
    rows = g.condition_image(images, model="sd1").image_embeddings
    mean = g.condition_image(images, mix=True, model="sd1").image_embeddings
    assert_close(mean, rows.mean(0, keepdims=True))
    with pytest.raises(guidanced.BadRequest, match="weights"):
        g.condition_image(images, mix=True, weights=[1.0], model="sd1")
    with pytest.raises(guidanced.BadRequest, match="hidden states have no mean"):
        g.condition_image(images, "ip-adapter-plus", mix=True, model="sd1")
    with pytest.raises(guidanced.BadRequest, match="image tower"):
        g.condition_image(images, model="sdxl")
    partial = g.condition_image([images[0], b"no picture"], model="sd1", strict=False)
    assert np.array_equal(partial.image_embeddings[0], rows[0])
    assert np.isnan(partial.image_embeddings[1]).all() and partial.items[0].index == 1


def test_mixes_of_images_and_texts(daemon: Daemon) -> None:
    with Client(daemon.endpoint, timeout=60) as g:
        image = pictures()[0]
        picture = g.embed_image(image, normalize=False)
        text = g.embed_text("a red circle", normalize=False)
        mixed = g.condition_image(
            image, mix=True, weights=[0.25, -1.5], prompts="a red circle"
        ).image_embeddings
        assert_close(mixed, 0.25 * picture - 1.5 * text)
        alone = g.condition_image(None, mix=True, prompts=["a red circle"]).image_embeddings
        assert_close(alone, text)


def test_loras_and_inversions_are_loaded_on_the_control_endpoint(pipelines: Daemon) -> None:
    style = {"kind": "lora", "name": "loaded", "path": str(ADAPTERS / "wash.safetensors")}
    word = {"kind": "embedding", "name": "kitten", "path": str(ADAPTERS / "cat-toy.safetensors")}
    with Client(pipelines.endpoint) as g, Raw(pipelines.control) as control:
        with Raw(pipelines.endpoint) as raw:
            assert raw.ask("load", style).error["code"] == "unauthorized"
        with pytest.raises(guidanced.BadRequest, match="loaded"):
            g.condition("a cat", "sd1", loras={"loaded": 1}, model="sd1")
        assert control.ask("load", style).result["loras"] == ["ink", "ink-xl", "loaded", "wash"]
        ours = g.condition("a cat", "sd1", loras={"loaded": 1}, model="sd1")
        same = g.condition("a cat", "sd1", loras={"wash": 1}, model="sd1")
        assert np.array_equal(ours.hidden_states, same.hidden_states)
        assert ours.report["loras"] == [
            {"name": "loaded", "strength": 1, "unet_strength": 1, "encoders": ["clip_l"]}
        ]

        before = g.condition("a kitten", "sd1", syntax="a1111", model="sd1")
        assert "kitten" in control.ask("load", word).result["embeddings"]
        # Each dialect has its own way to ask for it.
        after = g.condition("a Kitten", "sd1", syntax="a1111", model="sd1")
        assert not np.array_equal(before.hidden_states, after.hidden_states)
        for prompt, syntax in [("a embedding:kitten", "comfy"), ("a <kitten>", "compel")]:
            other = g.condition(prompt, "sd1", syntax=syntax, model="sd1")
            assert_close(other.hidden_states, after.hidden_states)
        row = after.report["prompts"][0]["encoders"][0]["texts"][0]["rows"][0]
        assert row["tokens"][2:4] == [None, None] and row["content"] == 3
        assert [entry["vector"] for entry in row["embeddings"]] == [0, 1]

        for request in [style, word]:
            assert control.ask("unload", request).status == "ok"
            error = control.ask("unload", request).error
            assert error["field"] == "params.name", error
        again = g.condition("a kitten", "sd1", syntax="a1111", model="sd1")
        assert np.array_equal(before.hidden_states, again.hidden_states)


def test_prompts_ask_for_loras(g: Client) -> None:
    stated = g.condition("a cat", "sd1", loras={"ink": 0.7}, model="sd1")
    asked = g.condition("a cat<lora:ink:0.7>", "sd1", syntax="a1111", model="sd1")
    assert_close(asked.hidden_states, stated.hidden_states)
    plain = g.condition("a cat", "sd1", model="sd1")
    assert not np.allclose(plain.hidden_states, asked.hidden_states)
    with pytest.warns(guidanced.DaemonWarning, match="loaded LoRA"):
        g.condition("a cat <lora:nobody:1>", "sd1", syntax="a1111", model="sd1")
    with pytest.raises(guidanced.BadRequest, match="loaded LoRA") as caught:
        g.condition("a cat <lora:nobody:1>", "sd1", syntax="a1111", strict_loras=True, model="sd1")
    assert caught.value.field == "params.prompts[0]"


def test_changed_weights_are_kept_and_counted(g: Client) -> None:
    def variants() -> Any:
        return g.status()["encoder_variants"]

    g.condition("first", "sd1", loras={"ink": 0.123}, model="sd1")
    before = variants()
    g.condition("second", "sd1", loras={"ink": 0.123}, model="sd1")
    after = variants()
    assert after["entries"] == before["entries"] and after["hits"] == before["hits"] + 1
    assert 0 < after["bytes"] < after["limit_bytes"]
    # Strength 0 is the model itself, up to the last bits.
    plain = g.condition("third", "sd1", model="sd1")
    none = g.condition("third", "sd1", loras={"ink": 0.0}, model="sd1")
    assert_close(none.hidden_states, plain.hidden_states)


def test_a_lora_of_another_model_is_refused(g: Client) -> None:
    with pytest.raises(guidanced.BadRequest, match="layer") as caught:
        g.condition("a cat", "sd1", loras={"ink": 1.0}, model="sd3-clip")
    assert caught.value.field == "params.loras"


@pytest.mark.parametrize(
    "params, field",
    [
        ({"kind": "style", "name": "a", "path": "/"}, "kind"),
        ({"name": "a", "path": "/"}, "kind"),
        ({"kind": "lora", "name": "a\tb", "path": "/"}, "name"),
        ({"kind": "lora", "name": "a"}, "path"),
        ({"kind": "lora", "name": "a", "path": "/nowhere/at/all"}, "path"),
        ({"kind": "lora", "name": "a", "path": str(PIPELINES / "sd1" / "model_index.json")}, "path"),
        ({"kind": "lora", "name": "a", "path": str(ADAPTERS / "cat-toy.safetensors")}, "path"),
        ({"kind": "embedding", "name": "a", "path": str(ADAPTERS / "ink.safetensors")}, "path"),
    ],
)
def test_files_that_cannot_be_loaded(
    pipelines: Daemon, params: dict[str, Any], field: str
) -> None:
    with Raw(pipelines.control) as control:
        reply = control.ask("load", params)
        assert reply.status == "error" and reply.error["code"] == "bad_request"
        assert reply.error["field"] == f"params.{field}", reply.error


def test_schedules_are_segments_of_steps(g: Client) -> None:
    found = g.condition(
        "a [cat:dog:0.25] [red|blue]", "sdxl", "[bad:worse:2]", syntax="a1111", steps=4, model="sdxl"
    )
    assert [segment.until_step for segment in found.segments] == [1, 2, 3, 4]
    texts = ["a cat red", "a dog blue", "a dog red", "a dog blue"]
    negatives = ["bad", "bad", "worse", "worse"]
    for segment, text, negative in zip(found.segments, texts, negatives):
        alone = g.condition(text, "sdxl", negative, syntax="a1111", model="sdxl")
        for name in ["hidden_states", "pooled", "negative_hidden_states", "negative_pooled"]:
            assert_close(getattr(segment, name), getattr(alone, name), name)
    with pytest.raises(guidanced.BadRequest, match="steps"):
        g.condition("a [cat:dog:0.25]", "sdxl", syntax="a1111", model="sdxl")


def test_parts_are_rows_with_weights(g: Client) -> None:
    found = g.condition(
        ["a cat :1.25 AND a dog :0.5", "a bird"], "sd1", "bad", syntax="a1111", model="sd1"
    )
    assert found.report["rows"] == [
        {"prompt": 0, "weight": 1.25},
        {"prompt": 0, "weight": 0.5},
        {"prompt": 1, "weight": 1},
    ]
    plain = g.condition(["a cat", "a dog", "a bird"], "sd1", "bad", model="sd1")
    assert_close(found.hidden_states, plain.hidden_states)
    assert found.negative_hidden_states.shape[0] == 2


def test_compel_weakens_by_hiding(g: Client) -> None:
    plain = g.condition("a cat in the rain", "sd1", model="sd1")
    same = g.condition("a cat in the rain", "sd1", syntax="compel", model="sd1")
    weak = g.condition("a cat (in the rain)0.5", "sd1", syntax="compel", model="sd1")
    assert_close(same.hidden_states, plain.hidden_states)
    assert_close(weak.hidden_states[0, 0], plain.hidden_states[0, 0])
    assert not np.allclose(weak.hidden_states[0, 5], plain.hidden_states[0, 5])
    joined = g.condition('("a cat", "a dog").and()', "sd1", syntax="compel", model="sd1")
    assert joined.hidden_states.shape[1] == 154 == joined.negative_hidden_states.shape[1]


@pytest.mark.parametrize(
    "model, syntax, prompt, rows",
    [
        ("sd1", "a1111", "a (cat:1.3) [by the] river", 1),
        ("sd1", "comfy", "a (cat:1.3) by the river", 1),
        ("sd1", "compel", "a cat++ by the river", 1),
        ("sd1", "compel", "a (cat)0.7 by the river", 2),
        ("sdxl", "a1111", "a (cat:1.3) [by the] river", 2),
        ("sdxl", "comfy", "a (cat:1.3) by the river", 2),
        # compel reads the pooled vector of the second encoder from another row.
        ("sdxl", "compel", "a cat++ by the river", 3),
        ("sdxl", "compel", "a (cat)0.7 by the river", 5),
    ],
)
def test_only_rows_that_nobody_ran_before_are_run(
    g: Client, model: str, syntax: str, prompt: str, rows: int
) -> None:
    # The empty prompt is kept, in whatever language it was asked for.
    g.condition("", model, model=model)
    found = g.condition(f"{prompt} at night", model, syntax=syntax, model=model)
    assert found.report["cache"]["rows"] == rows
    again = g.condition(f"{prompt} at night", model, syntax=syntax, model=model)
    assert again.report["cache"]["rows"] == 0
    assert np.array_equal(found.hidden_states, again.hidden_states)


@pytest.mark.parametrize(
    "syntax, prompt",
    [
        ("a1111", "(a:1.2.3)"),
        ("compel", 'a "cat".swap("dog")'),
        ("compel", '("b", "c").blend(1, -1)'),
    ],
)
def test_syntax_errors_point_at_a_character(g: Client, syntax: str, prompt: str) -> None:
    with pytest.raises(guidanced.BadRequest, match="at character") as caught:
        g.condition(["fine", prompt], "sd1", syntax=syntax, model="sd1")
    assert caught.value.field == "params.prompts[1]"


def test_accounting_can_be_left_out(g: Client) -> None:
    brief = g.request(
        "condition", {"prompts": ["a cat"], "recipe": "sd1", "accounting": False}, model="sd1"
    ).result
    assert "prompts" not in brief and "negative_prompts" not in brief and brief["tokens"] == 77


def cosine(a: Any, b: Any) -> float:
    x, y = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


@pytest.mark.parametrize("loras", [[], [{"name": "ink-xl", "strength": 0.5}]])
def test_precisions_do_not_mix(g: Client, loras: list[dict[str, Any]]) -> None:
    def ask(precision: str) -> Any:
        params = {"prompts": ["a cat, oil painting"], "recipe": "sdxl", "loras": loras}
        return g.request("condition", {**params, "precision": precision}, model="sdxl")

    exact, coarse, again = ask("f32"), ask("bf16"), ask("f32")
    assert coarse.result["cache"]["cached"] == 0 and again.result["cache"]["cached"] == 1
    for name in ["hidden_states", "pooled"]:
        assert np.array_equal(exact.outputs[name], again.outputs[name])
        assert not np.array_equal(exact.outputs[name], coarse.outputs[name])
        assert cosine(exact.outputs[name], coarse.outputs[name]) >= 0.9995
    with pytest.raises(guidanced.BadRequest, match="int8") as caught:
        ask("int8")
    assert caught.value.field == "params.precision"
    with pytest.raises(guidanced.BadRequest) as caught:
        g.request("condition", {"prompts": ["a"], "precision": "bf16"}, model="sd1")
    assert caught.value.field == "params.precision"


VALUES = [
    None, True, False, 0, 1, -1, 2, 77, 1e300, -0.5, 2**62, "", "a", "sdxl", "a1111", "chunk", "zeros", "FP16",
    "(" * 300, "[a|b|c]", "a AND b", "(a:1e999)", "x" * 5000, [], ["a"], ["a", "b"], [1], [None], [["a"]], {}, [{}],
    {"name": "ink-xl"}, [{"name": "ink-xl"}], [{"name": "ink-xl", "strength": "x"}], [{"name": 3}],
    [{"name": "ink-xl", "strength": 1e9}], [{"name": "ink-xl", "weight": 1}],
]  # fmt: skip
FIELDS = [
    "prompts", "prompts_2", "negative_prompts", "negative_prompts_2", "recipe", "negative_policy", "clip_skip",
    "syntax", "long_prompts", "hidden_width", "steps", "width", "height", "crop_top", "crop_left", "original_width",
    "original_height", "aesthetic_score", "negative_aesthetic_score", "loras", "accounting", "datatype", "handle",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_any_parameters_are_answered(pipelines: Daemon, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with Raw(pipelines.endpoint) as raw:
        for _ in range(int(os.environ.get("CONDITION_FUZZ", "100"))):
            params: dict[str, Any] = {"prompts": ["a cat"], "recipe": "sdxl"}
            for field in rng.choice(FIELDS, size=rng.integers(1, 5), replace=False):
                params[str(field)] = VALUES[rng.integers(len(VALUES))]
            op = ["condition", "prepare", "condition_image"][rng.integers(3)]
            reply = raw.ask(op, params, model="sdxl")
            if reply.status == "error":
                known = ("bad_request", "too_large", "prompt_too_long")
                assert reply.error["code"] in known, (seed, params, reply.error)
                place = reply.error["field"]
                assert place.startswith("params.") or place in ("inputs", "model"), (seed, params)
        assert raw.ask("ping").status == "ok"
