"""`guidanced bench`: what it measures, and what it refuses. No figure is asserted, only that there are some."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from daemon import binary


def run(*arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [binary(), "bench", *arguments], input=stdin, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("--format", "json", *arguments).stdout)["rows"]
    return found


def test_everything_that_the_model_can_do_is_measured() -> None:
    document = json.loads(run("--format", "json", "--rounds", "2").stdout)
    kinds = ["image", "gradient", "text", "text77"]
    assert [(row["work"], row["batch"]) for row in document["rows"]] == [
        (kind, batch) for kind in kinds for batch in (1, 8)
    ]
    for row in document["rows"]:
        assert len(row["seconds"]) == 2 and min(row["seconds"]) > 0
        assert row["per_second"] > 0 and row["gflops"] > 0
    assert document["threads"] >= 1 and document["peak_gflops"] > 0
    assert document["resident_bytes"] > document["packed_bytes"] > 0


@pytest.mark.parametrize("against", ["f32", "openblas"])
def test_two_ways_to_hold_a_model_alternate(against: str) -> None:
    (row,) = rows("--precision", "bf16", "--against", against, "--work", "image", "--batch", "2")
    assert row["against"] == against and row["ratio"] > 0


def test_a_profile_accounts_for_the_time_of_one_thread() -> None:
    (row,) = rows("--work", "gradient", "--batch", "1", "--threads", "1", "--profile")
    stages = row["stages"]
    assert {"attention", "mlp", "norms", "patch embedding", "attention backward", "MLP backward",
            "norms backward"} <= stages.keys()  # fmt: skip
    assert all(seconds > 0 for seconds in stages.values())
    assert sum(stages.values()) <= sum(row["seconds"]) / len(row["seconds"])


def test_the_table_is_for_people() -> None:
    out = run("--work", "text", "--batch", "1", "--rounds", "2", "--profile").stdout
    assert "of the peak" in out and "milliseconds by stage" in out and "MiB" in out


def test_the_peak_is_in_every_precision() -> None:
    peak = json.loads(run("--peak").stdout)
    assert peak["threads"] >= 1
    assert all(peak[f"{name}_gflops"] > 0 for name in ("f32", "bf16", "int8"))


def test_lines_are_answered_one_by_one() -> None:
    lines = ["image 2", "stats", "image x", "gradient 0", "nonsense", "gradient 1"]
    answers = [json.loads(line) for line in run(
        "--interactive", "--precision", "int8", stdin="\n".join(lines) + "\n"
    ).stdout.splitlines()]  # fmt: skip
    assert answers[0]["ready"] and answers[0]["packed_bytes"] > 0
    assert answers[1]["work"] == "image" and answers[1]["seconds"] > 0
    assert answers[2]["activation_bytes"] > 0
    for answer, line in zip(answers[3:6], lines[2:5]):
        assert line in answer["error"]
    assert "seconds" not in answers[6] and answers[6]["error"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--precision", "f16"], 64, "f16"),
        (["--backend", "cuda"], 64, "cuda"),
        (["--instructions", "mmx"], 64, "mmx"),
        (["--work", "music"], 64, "music"),
        (["--batch", "0"], 64, "--batch"),
        (["--precision", "bf16", "--backend", "openblas"], 65, "bf16"),
        (["--model", "/no/such/model"], 66, "/no/such/model"),
        (["--activation-budget", "10"], 64, "at least"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    arguments: list[str], code: int, words: str
) -> None:
    assert words in run(*arguments, code=code).stderr


@pytest.mark.parametrize("work", ["gradient", "text77"])
def test_int8_is_for_scores(work: str) -> None:
    done = subprocess.run(
        [binary(), "bench", "--precision", "int8", "--work", work], capture_output=True, text=True,
        timeout=60,
    )
    assert done.returncode != 0 and f"{work}: expected one of image, text" in done.stderr


def test_a_small_budget_that_is_enough_gives_gradients() -> None:
    (row,) = rows("--work", "gradient", "--batch", "2", "--activation-budget", "4000000")
    assert row["per_second"] > 0
