from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from suite.conditioning import FEATURED, PLAIN, ConditioningRows, cost, median_between, percent, shares
from suite.models import MODELS
from suite.pipelines import PIPELINES, encoder_configuration
from suite.plan import Plan
from suite.prompts import CASES, CHUNK, Case
from suite.rounds import Effort, Series


def test_shares_are_of_the_plain_request_of_the_same_round() -> None:
    assert shares(Series([1.1, 3.0, 1.9]), Series([1.0, 2.0, 2.0])) == pytest.approx([-0.05, 0.1, 0.5])


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # The ranks of tables of binomial confidence intervals, from 0; all values when they are few.
    [(1, 0, 0), (3, 0, 2), (9, 1, 7), (20, 5, 14), (100, 40, 59)],
)
def test_between_what_the_median_lies(count: int, low: int, high: int) -> None:
    assert median_between(range(count)) == (low, high)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    source = random.Random(5)
    held = 0
    for _ in range(2000):
        low, high = median_between(sorted(source.random() for _ in range(40)))
        held += low <= 0.5 <= high
    assert 0.92 < held / 2000 < 0.98


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "+1.2 %"), (-0.0123, "−1.2 %"), (0.0, "+0.0 %"), (-0.0004, "+0.0 %"), (1.5, "+150.0 %")],
)
def test_percents_have_a_sign(value: float, text: str) -> None:
    assert percent(value) == text


def test_a_cost_becomes_a_row() -> None:
    row = cost("weights", {FEATURED: Series([0.102, 0.204, 0.3]), PLAIN: Series([0.1, 0.2, 0.3])})
    assert (row.ours, row.peer, row.ratio, row.met) == (
        "204 ms", "200 ms (as many plain rows)", "+2.0 %", "**no**")
    assert row.value == pytest.approx(0.02)
    assert row.target is not None and row.target.text == "≤ 1 %" and not row.target.at_least
    assert row.notes == ("median of 3 pairs, at 95 % between +0.0 % and +2.0 %",)


@pytest.mark.parametrize(("added", "met"), [(0.009, "yes"), (0.011, "**no**"), (-0.02, "yes")])
def test_a_percent_is_the_target(added: float, met: str) -> None:
    row = cost("w", {FEATURED: Series([1 + added] * 3), PLAIN: Series([1.0] * 3)})
    assert row.met == met


def test_a_failure_is_a_gap() -> None:
    row = cost("w", {FEATURED: Series(problem="expected 2 rows, found 4"), PLAIN: Series([1.0])})
    assert row.met == "gap" and row.notes == ("expected 2 rows, found 4",)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("encoders", [1, 2])
def test_plain_requests_have_as_many_rows(case: Case, encoders: int) -> None:
    params = case.plain(random.Random(1), encoders)
    first = params["prompts"]
    second = params.get("prompts_2", first)
    assert len(first) == len(second) and params.keys() <= {"prompts", "prompts_2"}
    assert all(len(prompt.split()) == CHUNK for prompt in [*first, *second])
    rows = len(set(first)) + (len(set(second)) if encoders == 2 else 0)
    assert rows == case.rows_in(encoders)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_prompt_is_sent_twice(case: Case) -> None:
    source = random.Random(2)
    sent = [json.dumps(case.featured(source)) for _ in range(50)]
    assert len(set(sent)) == len(sent)
    # A word a token: what is left without the signs fits into the rows that the case claims.
    if "schedule" not in case.name:
        prompt = case.featured(source)["prompts"][0]
        assert len(prompt.split()) == CHUNK * (3 if case.name.startswith("3 ") else 1)


def test_pipelines_are_links_to_checkpoints(tmp_path: Path) -> None:
    stored = tmp_path / "bench"
    both = {"model_type": "clip", "projection_dim": 768, "vision_config": {"hidden_size": 1024},
            "text_config": {"hidden_size": 768, "projection_dim": 512, "model_type": "clip_text_model"}}
    lone = {"architectures": ["CLIPTextModelWithProjection"], "hidden_size": 1280}
    for name, configuration in [("vit-l-14", both), ("bigg-text", lone)]:
        (stored / name).mkdir(parents=True)
        (stored / name / "config.json").write_text(json.dumps(configuration))
        for file in ("model.safetensors", "vocab.json", "merges.txt", "tokenizer.json",
                     "tokenizer_config.json"):
            (stored / name / file).write_text(name)
    folder = PIPELINES[1].write(tmp_path / "pipeline", stored)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["text_encoder_2"] == ["transformers", "CLIPTextModelWithProjection"]
    first = json.loads((folder / "text_encoder" / "config.json").read_text())
    assert (first["hidden_size"], first["projection_dim"]) == (768, 768) and "vision_config" not in first
    assert (folder / "text_encoder_2" / "model.safetensors").read_text() == "bigg-text"
    assert (folder / "tokenizer" / "vocab.json").is_symlink()
    assert encoder_configuration(lone) is lone


def plan(*models: str) -> Plan:
    return Plan(Path("guidanced"), tuple(MODELS[name] for name in models), ("f32",), frozenset(),
                Effort(), 2, ())


def test_only_pipelines_of_chosen_models_are_measured() -> None:
    assert ConditioningRows(plan("vit-b-32")).measure().rows == []
    chosen = ConditioningRows(plan("vit-l-14", "vit-b-32"))
    assert [pipeline.title for pipeline in chosen.pipelines] == ["SD1"]
    assert [p.title for p in ConditioningRows(plan(*MODELS)).pipelines] == ["SD1", "SDXL"]
