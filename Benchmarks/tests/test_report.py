from __future__ import annotations

import math
from pathlib import Path

import pytest

from suite import report
from suite.models import MODELS
from suite.report import Store
from suite.rounds import OURS, Comparison
from suite.rows import Row, Section, Target, gap
from suite.towers import can, comparison_row, memory_row, peak_row, target_of


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [(Target.times(1.2), 1.2, "yes"), (Target.times(1.2), 1.199, "**no**"),
     (Target.share(0.97), 0.98, "yes"), (Target(1, False, "≤ 1 s"), 1.0, "yes"),
     (Target(1, False, "≤ 1 s"), 1.01, "**no**"), (Target.times(1.2), math.nan, "**no**"),
     (Target.times(1.2), None, "gap"), (None, 3.0, "–")],
)
def test_met(target: Target | None, value: float | None, met: str) -> None:
    assert Row("w", value=value, target=target).met == met


def test_targets_say_themselves() -> None:
    assert [Target.times(1.5).text, Target.times(3).text, Target.share(0.9).text] == [
        "≥ 1.5×", "≥ 3×", "≥ 90 %"]


@pytest.mark.parametrize(
    ("work", "batch", "precision", "bound"),
    [("image", 1, "f32", 1.5), ("image", 8, "bf16", 1.2), ("image", 32, "f32", 1.2),
     ("gradient", 1, "bf16", 3), ("gradient", 8, "bf16", 1.8), ("gradient", 8, "f32", 2),
     ("text", 8, "f32", 5), ("text77", 8, "bf16", 1.2)],
)
def test_the_targets_of_the_design(work: str, batch: int, precision: str, bound: float) -> None:
    target = target_of(work, batch, precision)
    assert target is not None and target.at_least and target.bound == bound


def test_who_takes_part() -> None:
    names = [OURS, "torch", "torch-compile", "onnxruntime", "openvino"]
    assert [n for n in names if can(n, "image", "f32")] == names
    assert [n for n in names if can(n, "text", "bf16")] == [*names[:3], "openvino"]
    assert [n for n in names if can(n, "gradient", "f32")] == names[:3]


def test_a_comparison_becomes_a_row() -> None:
    found = Comparison(0.2, "openvino", 0.25, 1.234, {OURS: 0.2, "openvino": 0.25},
                       {"torch-compile": "no compiler"})
    row = comparison_row("image", 8, "bf16", found)
    assert (row.ours, row.peer, row.ratio, row.met) == (
        "40.0 images/s", "32.0 images/s (OpenVINO)", "1.23×", "yes")
    assert row.notes == ("PyTorch compiled: no compiler",)
    assert row.medians == {OURS: 0.2, "OpenVINO": 0.25}


def test_without_ours_a_row_is_a_gap_that_shows_the_peer() -> None:
    found = Comparison(None, "torch", 0.25, None, {"torch": 0.25}, {OURS: "ended with status 64"})
    row = comparison_row("image", 8, "f32", found)
    assert (row.ours, row.peer, row.ratio, row.met) == (
        "–", "32.0 images/s (PyTorch)", "–", "gap")
    assert row.notes == ("guidanced: ended with status 64",)


def test_the_share_of_the_peak() -> None:
    model = MODELS["vit-b-32"]
    assert model.vision is not None
    # 4.4 G multiply-adds an image are published for ViT-B/32 at 224².
    assert model.vision.operations == pytest.approx(2 * 4.4e9, rel=0.01)
    # 49 of 50 rows of the last block need no query, attention, projection and MLP.
    spared = 49 * (2 * 768**2 + 2 * 768 * 3072) + 49 * 2 * 50 * 768
    assert model.vision.operations - model.vision.needed == 2 * spared
    seconds = 8 * model.vision.operations / 100e9
    row = peak_row(model, 8, seconds, 200.0, "")
    assert row.value == pytest.approx(0.5) and row.ratio == "50 %" and row.met == "**no**"
    assert peak_row(model, 8, None, 200.0, "not measured").notes == ("not measured",)
    assert peak_row(model, 8, 1.0, None, "no --peak").met == "gap"


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vit-b-32", 151), ("vit-l-14", 428), ("vit-h-14", 986), ("bigg-text", 695)],
)
def test_the_shapes_have_the_published_number_of_parameters(name: str, millions: int) -> None:
    model = MODELS[name]
    embeddings = 49408 * model.text.width + 77 * model.text.width
    total = model.bytes("f32") / 4 + embeddings
    assert total == pytest.approx(millions * 1e6, rel=0.01)


def test_memory_is_held_against_weights_and_budget() -> None:
    row = memory_row(resident=1250, packed=1000, activations=100)
    assert row.value == pytest.approx(1.0) and row.met == "yes"
    assert memory_row(1260, 1000, 100).met == "**no**"


def test_a_table_is_aligned_and_escapes_what_would_break_it() -> None:
    assert report.table(("a", "long"), [("x|y", "1"), ("two\nlines", "–")]).splitlines() == [
        "| a         | long |",
        "| --------- | ---- |",
        "| x\\|y      | 1    |",
        "| two lines | –    |",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.34, "12.3 s"), (1.0, "1.00 s"), (0.0456, "45.6 ms"), (85e-6, "85.0 µs"), (2e-9, "0.00 µs")],
)
def test_seconds(value: float, text: str) -> None:
    assert report.seconds(value) == text


def test_digits() -> None:
    assert [report.digits(value) for value in (1234.5, 99.94, 9.876, 0.123)] == [
        "1,234", "99.9", "9.88", "0.12"]


def _section() -> Section:
    return Section("ViT-B/32, f32", "2026-01-02 03:04", [
        Row("image", "2.0 images/s", "1.0 images/s (A)", "2.00×", 2.0, Target.times(1.2),
            medians={"A": 1.0, OURS: 0.5}),
        gap("text", "guidanced: ended", Target.times(5)),
    ], {"a": "1.0"}, ["A runs 3 threads, not 2"])


def test_a_section_shows_rows_medians_and_reasons() -> None:
    text = report.section(_section())
    assert "| image | 2.0 images/s | 1.0 images/s (A)  | 2.00× | ≥ 1.2× | yes  |" in text
    assert "| text  | –            | –                 | –     | ≥ 5×   | gap  |" in text
    assert "| work  | guidanced | A     |\n| ----- | --------- | ----- |\n| image | 500       | 1,000 |" in text
    assert "- text: guidanced: ended\n- A runs 3 threads, not 2" in text


def test_the_document_counts_targets() -> None:
    text = report.document({"processor": "P"}, [_section()], "make bench")
    assert "1 of 2 targets met, 1 not measured." in text
    assert "| processor | P |" in text and "| a        | 1.0     |" in text


def test_sections_survive_storing(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "results.json"
    Store(path, fresh=False).add(_section())
    assert Store(path, fresh=False).sections == {"ViT-B/32, f32": _section()}
    assert Store(path, fresh=True).sections == {}


def test_a_partial_run_replaces_only_its_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.json", fresh=False)
    store.add(_section())
    newer = Section("ViT-B/32, f32", "2026-02-03 04:05",
                    [Row("text", "9 prompts/s"), Row("memory", "1 MiB")], {"b": "2"}, [])
    merged = store.add(newer)
    assert [row.work for row in merged.rows] == ["image", "text", "memory"]
    assert merged.rows[1].ours == "9 prompts/s" and merged.date == "2026-02-03 04:05"
    assert merged.versions == {"a": "1.0", "b": "2"}
