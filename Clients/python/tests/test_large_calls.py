"""Calls that are more than one request: their results are those of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import FakeDaemon, Request, failure, reply
from guidanced import Client


class Daemon:
    """Answers by what the images and texts hold; takes few of them at once.

    An image's value is its first number; a text's is its length.
    """

    def __init__(self, most: int = 10**9, bad: tuple[float, ...] = ()) -> None:
        self.most = most
        self.bad = bad
        self.handles: dict[str, dict[str, Any]] = {}

    def __call__(self, request: Request) -> Any:
        op, params = request.header["op"], dict(request.params)
        if op == "prepare":
            self.handles["h"] = params
            return [reply(request, {"handle": "h"})]
        if op == "release":
            del self.handles[params["handle"]]
            return [reply(request)]
        if "handle" in params:
            params |= self.handles[params["handle"]]
        if "texts" in params:
            return [self.texts(request, params["texts"])]
        if op == "condition":
            return [self.condition(request, params)]
        images = [image for array in request.arrays() for image in array]
        if len(images) > self.most:
            return [failure(request, "too_large")]
        values = np.array([image.ravel()[0] for image in images], np.float32)
        items = [
            {"index": i, "error": {"code": "bad_image", "message": f"bad {v}"}}
            for i, v in enumerate(values.tolist())
            if v in self.bad
        ]
        values = np.where(np.isin(values, self.bad), np.nan, values)
        result: dict[str, Any] = {}
        outputs: dict[str, np.ndarray] = {}
        if op == "embed_image":
            outputs = {"embeddings": np.stack([values, -values], 1)}
        elif op == "score" and params["pairwise"]:
            outputs = {"scores": values * 100 + [len(p) for p in params["prompts"]]}
        elif op == "score":
            lengths = np.array([len(p) for p in params["prompts"]])
            outputs = {"scores": values[:, None] * 100 + lengths}
        elif op == "classify":
            outputs = {"probabilities": np.stack([values] * len(params["labels"]), 1)}
        elif op == "rank":
            # Scores with ties: the value's last digit.
            order = sorted(
                ({"index": i, "score": float(v) % 10} for i, v in enumerate(values) if v == v),
                key=lambda entry: (-entry["score"], entry["index"]),
            )
            result = {"ranking": order[: params.get("top_k", len(order))]}
        elif op == "gradient":
            rows = [np.full_like(image, v, np.float32) for image, v in zip(images, values)]
            if len({row.shape for row in rows}) == 1:
                outputs = {"gradient": np.stack(rows)}
            else:
                outputs = {f"gradient.{i}": row for i, row in enumerate(rows)}
            outputs |= {"loss": values, "score": values / 2}
        else:
            outputs = {"image_embeddings": values[:, None]}
        return [reply(request, result, outputs, items=items)]

    def texts(self, request: Request, texts: list[str]) -> list[bytes]:
        if sum(map(len, texts)) > self.most:
            return failure(request, "too_large", field="params.texts")
        lengths = np.array([len(text) for text in texts], np.float32)
        if request.header["op"] == "tokenize":
            return reply(request, {"tokens": [[len(t)] for t in texts], "dropped": list(texts)})
        return reply(request, {}, {"embeddings": lengths[:, None]})

    def condition(self, request: Request, params: dict[str, Any]) -> list[bytes]:
        prompts = params["prompts"]
        if len(prompts) > self.most:
            return failure(request, "too_large")
        negative = params.get("negative_prompts", [""]) * (
            1 if len(params.get("negative_prompts", "")) > 1 else len(prompts)
        )

        def of(texts: list[str]) -> np.ndarray:
            return np.array([[[len(text)] * 3] * 2 for text in texts], np.float32)

        result = {
            "recipe": "sd1",
            "rows": [{"prompt": i, "weight": 1} for i in range(len(prompts))],
            "prompts": [{"text": text} for text in prompts],
            "cache": {"cached": 1, "rows": len(prompts)},
            "loras": [{"name": "ink"}, *({"name": p, "prompt": i} for i, p in enumerate(prompts))],
        }
        outputs = {"hidden_states": of(prompts), "negative_hidden_states": of(negative)}
        if params.get("steps"):
            result["segments"] = [{"until_step": len(prompts[0])}]
        return reply(request, result, outputs)


def images(count: int) -> list[np.ndarray]:
    return [np.full((3, 2, 2), i, np.float32) for i in range(count)]


def operations(fake: FakeDaemon) -> list[str]:
    return [request.header["op"] for request in fake.requests]


# What the daemon says it takes, and what it takes in fact: the second is met by halving.
BOUNDS = [({}, 10**9), ({"images": 4}, 10**9), ({}, 3), ({"request_bytes": 200}, 10**9)]


@pytest.mark.parametrize(("limits", "most"), BOUNDS)
def test_results_are_those_of_one_request(daemon, limits: dict[str, int], most: int) -> None:
    fake = daemon(Daemon(most), limits=limits)
    many = images(11)
    many[5] = np.full((3, 4, 2), 5, np.float32)
    with Client(fake.endpoint) as g:
        values = np.arange(11, dtype=np.float32)
        assert np.array_equal(g.embed_image(many), np.stack([values, -values], 1))
        assert np.array_equal(
            g.score(many, ["a", "bbb"]), values[:, None] * 100 + np.array([1, 3])
        )
        prompts = ["x" * (i + 1) for i in range(11)]
        expected = values * 100 + values + 1
        assert np.array_equal(g.score(many, prompts, pairwise=True), expected)
        handle = g.prepare(prompts)
        assert np.array_equal(g.score(many, handle, pairwise=True), expected)
        assert np.array_equal(g.classify(many, ["a", "b"]).probabilities[:, 1], values)
        gradient = g.gradient(many, "a")
        assert [part.shape for part in gradient.gradient] == [image.shape for image in many]
        assert [float(part.max()) for part in gradient.gradient] == list(range(11))
        assert np.array_equal(gradient.loss, values) and np.array_equal(gradient.score, values / 2)
        batch = np.stack(images(11))
        assert np.array_equal(g.gradient(batch, "a").gradient, batch)
        assert np.array_equal(g.condition_image(many).image_embeddings[:, 0], values)


@pytest.mark.parametrize("top_k", [None, 1, 5, 100])
def test_a_ranking_in_parts_is_the_ranking(daemon, top_k: int | None) -> None:
    many = images(25)
    with Client(daemon(Daemon()).endpoint) as g:
        whole = g.rank(many, "a", top_k=top_k)
    fake = daemon(Daemon(), limits={"images": 4})
    with Client(fake.endpoint) as g:
        assert g.rank(many, "a", top_k=top_k) == whole
    assert len(whole) == min(top_k or 25, 25)
    assert operations(fake).count("rank") == 7


@pytest.mark.parametrize("most", [10**9, 2])
def test_failures_keep_their_numbers_on_both_sides(daemon, most: int, tmp_path: Any) -> None:
    fake = daemon(Daemon(most, bad=(3, 6)), limits={"images": 3})
    many: list[Any] = images(8)
    many[0] = tmp_path / "missing.png"
    many[4] = "also/missing.png"
    with Client(fake.endpoint) as g:
        with pytest.raises(guidanced.ItemError) as caught:
            g.embed_image(many)
        error = caught.value
        assert isinstance(error.__cause__, guidanced.UnreadableFile)
        rows = g.embed_image(many, strict=False)
        gradient = g.gradient(many, "a", strict=False)
        ranking = g.rank(many, "a", strict=False)
    for items in (error.items, rows.items, gradient.items, ranking.items):
        assert [item.index for item in items] == [0, 3, 4, 6]
        assert [item.error.code for item in items] == [
            "unreadable_file", "bad_image", "unreadable_file", "bad_image",
        ]
    assert np.isnan(rows[:, 0]).tolist() == [i in (0, 3, 4, 6) for i in range(8)]
    assert rows[[1, 2, 5, 7], 0].tolist() == [1, 2, 5, 7]
    assert gradient.gradient[0].shape == (3, 0, 0)
    assert np.isnan(gradient.gradient[3]).all() and gradient.gradient[3].shape == (3, 2, 2)
    assert sorted(entry.index for entry in ranking) == [1, 2, 5, 7]


def test_when_nothing_is_left_to_send_the_result_still_has_its_shape(daemon) -> None:
    def handler(request: Request) -> Any:
        assert request.header["op"] == "models"
        tower = {"embedding_width": 24}
        models = [{"name": "x", "vision": {}}, {"name": "m", "vision": tower, "text": tower}]
        return [reply(request, {"models": models, "default_model": "m"})]

    missing = ["/nonexistent/a.png", "/nonexistent/b.png"]
    with Client(daemon(handler).endpoint) as g:
        rows = g.embed_image(missing, strict=False)
        assert rows.shape == (2, 24) and np.isnan(rows).all() and len(rows.items) == 2
        assert g.embed_text(["\ud800"], strict=False).shape == (1, 24)
        assert g.score(missing, ["a", "b", "c"], strict=False).shape == (2, 3)
        assert g.classify(missing, ["a", "b"], strict=False).best == [None, None]
        assert g.rank(missing, "a", strict=False) == []
        assert [part.shape for part in g.gradient(missing, "a", strict=False).gradient] == [
            (3, 0, 0)
        ] * 2
        assert g.condition_image(missing, strict=False).image_embeddings is None
        with pytest.raises(guidanced.ItemError, match="item 0.*No such file"):
            g.rank(missing, "a")


def test_texts_of_several_requests_are_encoded_once_and_let_go(daemon) -> None:
    answering = Daemon()
    fake = daemon(answering, limits={"images": 4})
    with Client(fake.endpoint) as g:
        g.score(images(4), ["a", "b"], metric="clipscore")
        assert operations(fake) == ["score"]
        fake.requests.clear()
        g.score(images(9), ["a", "b"], metric="clipscore", long_prompts="truncate")
    assert operations(fake) == ["prepare", "score", "score", "score", "release"]
    prepared = {"prompts": ["a", "b"], "metric": "clipscore", "long_prompts": "truncate"}
    assert fake.requests[0].params == prepared
    assert all("prompts" not in request.params for request in fake.requests[1:])
    assert answering.handles == {}


def test_the_handle_of_a_call_that_fails_is_let_go(daemon) -> None:
    answering = Daemon()

    def handler(request: Request) -> Any:
        if request.header["op"] == "gradient" and request.items() == 1:
            return [failure(request, "internal")]
        return answering(request)

    fake = daemon(handler, limits={"images": 4})
    with Client(fake.endpoint) as g, pytest.raises(guidanced.Internal):
        g.gradient(images(9), ["a", "b"], weights=[1, 2])
    assert operations(fake)[-1] == "release" and answering.handles == {}


def test_an_image_that_is_too_large_alone_fails_alone(daemon) -> None:
    def handler(request: Request) -> Any:
        values = [array.ravel()[0] for array in request.arrays() for array in array]
        if 2 in values:
            return [failure(request, "too_large", field="inputs[0]")]
        return [reply(request, {}, {"embeddings": np.array(values)[:, None]})]

    with Client(daemon(handler).endpoint) as g:
        rows = g.embed_image(images(5), strict=False)
    assert [item.index for item in rows.items] == [2] and np.isnan(rows[2]).all()
    assert rows[[0, 1, 3, 4], 0].tolist() == [0, 1, 3, 4]


def test_prompts_that_are_too_large_are_not_the_images_fault(daemon) -> None:
    fake = daemon(lambda r: [failure(r, "too_large", field="params.prompts[0]")])
    with Client(fake.endpoint) as g, pytest.raises(guidanced.TooLarge):
        g.gradient(images(8), "a")
    assert len(fake.requests) == 1


def test_many_prompts_are_scored_in_columns(daemon) -> None:
    fake = daemon(Daemon(bad=(1,)), limits={"texts": 3})
    prompts = ["x" * i for i in range(1, 8)]
    with Client(fake.endpoint) as g:
        scores = g.score(images(3), prompts, strict=False)
    assert scores.shape == (3, 7) and [item.index for item in scores.items] == [1]
    assert np.array_equal(scores[2], 200 + np.arange(1, 8))
    assert [len(request.params["prompts"]) for request in fake.requests] == [3, 3, 1]


@pytest.mark.parametrize(
    ("limits", "most"), [({}, 10**9), ({"texts": 3}, 10**9), ({"header_bytes": 3000}, 10**9), ({}, 300)]
)
def test_texts_in_parts(daemon, limits: dict[str, int], most: int) -> None:
    texts = ["x" * (i + 1) for i in range(40)]
    fake = daemon(Daemon(most), limits=limits)
    with Client(fake.endpoint) as g:
        assert g.embed_text(texts)[:, 0].tolist() == [i + 1 for i in range(40)]
        tokens = g.tokenize(texts)
    assert tokens.tokens == [[i + 1] for i in range(40)] and tokens.dropped == texts
    assert (len(fake.requests) > 2) == bool(limits or most == 300)


def test_a_text_that_cannot_be_sent_fails_alone(daemon) -> None:
    texts: list[Any] = ["a", "b\udc80", "x" * (1 << 20), None, "é" * 10, b"bytes"]
    with Client(daemon(Daemon()).endpoint) as g:
        rows = g.embed_text(texts, strict=False)
        tokens = g.tokenize(texts, strict=False)
    assert [item.index for item in rows.items] == [1, 2, 3, 5] == [i.index for i in tokens.items]
    assert "U+DC80 at character 1" in str(rows.items[0])
    assert isinstance(rows.items[1].error, guidanced.TooLarge)
    assert "NoneType" in str(rows.items[2]) or "None" in str(rows.items[2])
    assert rows[[0, 4], 0].tolist() == [1, 10] and np.isnan(rows[[1, 2, 3, 5]]).all()
    assert tokens.tokens == [[1], [], [], [], [10], []]


@pytest.mark.parametrize(("header", "most"), [(1 << 20, 10**9), (1 << 20, 2), (700, 10**9)])
@pytest.mark.parametrize("negative", [None, ["n"], "one each"])
def test_conditioning_in_parts(daemon, header: int, most: int, negative: Any) -> None:
    prompts = ["p" * (i + 1) for i in range(7)]
    if negative == "one each":
        negative = ["n" * (i + 20) for i in range(7)]
    with Client(daemon(Daemon()).endpoint) as g:
        whole = g.condition(prompts, negative=negative)
    fake = daemon(Daemon(most), limits={"header_bytes": header})
    with Client(fake.endpoint) as g:
        found = g.condition(prompts, negative=negative)
    assert np.array_equal(found.hidden_states, whole.hidden_states)
    assert np.array_equal(found.negative_hidden_states, whole.negative_hidden_states)
    assert found.report["rows"] == whole.report["rows"]
    assert found.report["prompts"] == whole.report["prompts"]
    assert found.report["loras"] == whole.report["loras"] and len(found.report["loras"]) == 8
    assert found.report["cache"]["rows"] == 7


def test_more_prompts_than_condition_takes(daemon) -> None:
    fake = daemon(Daemon())
    with Client(fake.endpoint) as g:
        found = g.condition(["x"] * 600)
    assert found.hidden_states.shape == (600, 2, 3) and len(fake.requests) == 3


def test_prompts_in_parts_whose_schedules_differ_are_refused(daemon) -> None:
    fake = daemon(Daemon(most=1))
    with Client(fake.endpoint) as g, pytest.raises(guidanced.ArgumentError, match="schedules"):
        g.condition(["a", "bb"], steps=20)


def test_a_mix_of_images_is_one_request_or_none(daemon) -> None:
    fake = daemon(Daemon())
    many = images(50)
    with Client(fake.endpoint) as g:
        g.condition_image(many, mix=True)
        assert len(fake.requests) == 1 and fake.requests[0].items() == 50
        with pytest.raises(guidanced.ItemError) as caught:
            g.condition_image([*many, "missing.png"], mix=True, strict=False)
    assert caught.value.items[0].index == 50 and len(fake.requests) == 1


def test_limits_are_asked_for_once_and_threads_only_by_large_calls(daemon) -> None:
    fake = daemon(Daemon(), threads=20)
    with Client(fake.endpoint) as g:
        g.embed_image(images(2))
        g.embed_image(images(2))
        assert fake.greetings == ["hello"]
        fake.requests.clear()
        g.embed_image(images(161))
        g.embed_text(["a"])
        assert fake.greetings == ["hello", "status"]
    assert [request.items() for request in fake.requests[:-1]] == [80, 80, 1]


def test_a_daemon_that_does_not_tell_its_limits_is_served_with_the_defaults(daemon) -> None:
    answering = Daemon()

    def handler(request: Request) -> Any:
        if request.header["op"] in ("hello", "status"):
            return [failure(request, "unknown_op")]
        return answering(request)

    fake = daemon(handler, greets=False)
    with Client(fake.endpoint) as g:
        assert g.embed_image(images(40)).shape == (40, 2)
    assert operations(fake) == ["hello", "status", "embed_image", "embed_image"]


def test_a_warning_of_several_replies_comes_once(daemon) -> None:
    answering = Daemon()

    def handler(request: Request) -> Any:
        header, *frames = answering(request)[0][1:]
        return [[b"GD01", header.replace(b'"status"', b'"warnings": ["odd"], "status"'), *frames]]

    with Client(daemon(handler, limits={"images": 2}).endpoint) as g:
        with pytest.warns(guidanced.DaemonWarning) as caught:
            g.embed_image(images(6))
    assert len(caught) == 1 and caught[0].filename == __file__
