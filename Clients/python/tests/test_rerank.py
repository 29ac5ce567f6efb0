"""The best of several pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import Request, reply
from guidanced import Client
from guidanced.diffusers import best_of, rerank

TABLE = {"cosine": [0.1, 0.4, 0.3, 0.4], "logit": [9.0, 1.0, 8.0, 2.0]}


def judge(request: Request) -> Any:
    """An image's scores are in the table, at its first number."""
    places = [int(image.ravel()[0]) for array in request.arrays() for image in array]
    scores = np.array([TABLE[request.params["metric"]][place] for place in places])
    return [reply(request, {}, {"scores": scores[:, None]})]


IMAGES = [np.full((3, 2, 2), place, np.float32) for place in range(4)]


@pytest.mark.parametrize(
    ("options", "order", "scores"),
    [
        ({}, [1, 3, 2, 0], [0.4, 0.4, 0.3, 0.1]),
        ({"metrics": ["logit"], "combine": "zscore"}, [0, 2, 3, 1], [9, 8, 2, 1]),
        # Ranks by cosine 4 1 3 2, by logit 1 4 2 3.
        ({"metrics": ["cosine", "logit"]}, [0, 1, 2, 3], [-2.5] * 4),
        (
            {"metrics": ["cosine", "logit"], "combine": "weighted", "metric_weights": [100, 1]},
            [3, 1, 2, 0],
            [42, 41, 38, 19],
        ),
        ({"metrics": ["cosine", "logit"], "combine": "zscore"}, [2, 3, 1, 0], None),
    ],
)
def test_pictures_are_ordered(daemon, options: Any, order: list[int], scores: Any) -> None:
    with Client(daemon(judge).endpoint) as g:
        found = rerank(IMAGES, "a", client=g, **options)
        assert [c.index for c in rerank(np.stack(IMAGES), "a", 2, client=g, **options)] == order[:2]
    assert [chosen.index for chosen in found] == order
    if scores is not None:
        assert [chosen.score for chosen in found] == pytest.approx(scores)
    for chosen in found:
        assert chosen.image is IMAGES[chosen.index]
        names = options.get("metrics", ["cosine"])
        assert chosen.scores == pytest.approx([TABLE[name][chosen.index] for name in names])


def test_pictures_that_cannot_be_judged_are_left_out(daemon) -> None:
    with Client(daemon(judge).endpoint) as g:
        found = rerank(["missing.png", IMAGES[0], IMAGES[1]], "a", client=g)
        assert [chosen.index for chosen in found] == [2, 1]
        with pytest.raises(guidanced.ItemError):
            rerank(["missing.png"], "a", client=g)
        for wrong in (
            {"combine": "best"},
            {"combine": "weighted"},
            {"metric_weights": [1.0]},
            {"combine": "weighted", "metric_weights": [1.0, 2.0]},
            {"metrics": []},
            {"keep": 0},
        ):
            with pytest.raises(guidanced.ArgumentError):
                rerank(IMAGES, "a", client=g, **wrong)
        with pytest.raises(guidanced.ArgumentError, match="batch"):
            rerank([np.stack(IMAGES)], "a", client=g)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_best_of_makes_each_picture_by_a_seed_of_its_own(daemon, batch: int) -> None:
    pytest.importorskip("torch")
    calls: list[dict[str, Any]] = []

    def pipe(**arguments: Any) -> Any:
        calls.append(arguments)
        seeds = [generator.initial_seed() for generator in arguments["generator"]]
        assert arguments["num_images_per_prompt"] == len(seeds)
        return SimpleNamespace(images=[IMAGES[seed - 10] for seed in seeds])

    with Client(daemon(judge).endpoint) as g:
        found = best_of(pipe, "a", 4, 2, client=g, seed=10, batch=batch, num_inference_steps=3)
        assert [chosen.index for chosen in found] == [1, 3]
        assert calls[0]["prompt"] == "a" and calls[0]["num_inference_steps"] == 3
        best_of(pipe, "a", 1, client=g, seed=10, prompt_embeds="vectors")
        assert "prompt" not in calls[-1] and calls[-1]["prompt_embeds"] == "vectors"
        for name in ("generator", "num_images_per_prompt", "output_type"):
            with pytest.raises(guidanced.ArgumentError, match=name):
                best_of(pipe, "a", client=g, **{name: 1})
