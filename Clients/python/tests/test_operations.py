"""Each method's request and result, against a daemon that answers by the book."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import Request, failure, reply
from guidanced import Client

RNG = np.random.default_rng(3)


def answering(*messages: Any):
    """A handler that answers each request with what the functions make of it."""
    return lambda request: [make(request) for make in messages]


def test_the_informing_operations(daemon) -> None:
    results = {
        "hello": {"protocol": "GD01"},
        "ping": {},
        "models": {"models": [{"name": "default"}]},
        "health": {"ready": True},
        "status": {"queued": 0},
    }
    fake = daemon(answering(lambda r: reply(r, results[r.header["op"]])), greets=False)
    with Client(fake.endpoint) as g:
        assert g.hello() == {"protocol": "GD01"}
        assert 0 < g.ping() < 5
        assert g.models() == [{"name": "default"}]
        assert g.health() == {"ready": True}
        assert g.status() == {"queued": 0}


def test_health_goes_to_the_control_endpoint(daemon) -> None:
    work = daemon(answering(lambda r: reply(r)))
    control = daemon(answering(lambda r: reply(r, {"ready": False})))
    with Client(work.endpoint, control=control.endpoint) as g:
        assert g.health() == {"ready": False}
        g.ping()
    assert [r.header["op"] for r in control.requests] == ["health"]
    assert [r.header["op"] for r in work.requests] == ["ping"]


def test_text_operations(daemon) -> None:
    def handler(request: Request):
        texts = request.params["texts"]
        if request.header["op"] == "tokenize":
            yield reply(request, {"tokens": [[1, len(t), 2] for t in texts], "dropped": [None]})
        else:
            yield reply(request, outputs={"embeddings": np.ones((len(texts), 4))})

    fake = daemon(handler)
    with Client(fake.endpoint, model="m") as g:
        assert g.tokenize(["ab", ""]).tokens == [[1, 2, 2], [1, 0, 2]]
        embeddings = g.embed_text("a cat", normalize=False, long_prompts="truncate", model="other")
    assert embeddings.shape == (1, 4) and embeddings.dtype == np.float32
    assert embeddings.items == () and embeddings.fingerprint == "f00d"
    assert fake.requests[0].header["model"] == "m"
    assert fake.requests[1].header["model"] == "other"
    assert fake.requests[1].params == {
        "texts": ["a cat"],
        "normalize": False,
        "long_prompts": "truncate",
    }


def test_score_rank_and_classify(daemon) -> None:
    def handler(request: Request):
        n, params = request.items(), request.params
        if request.header["op"] == "score":
            shape = (n,) if params["pairwise"] else (n, len(params["prompts"]))
            yield reply(request, outputs={"scores": np.arange(np.prod(shape)).reshape(shape)})
        elif request.header["op"] == "rank":
            order = [{"index": i, "score": float(i)} for i in reversed(range(n))]
            yield reply(request, {"ranking": order[: params.get("top_k", n)]})
        else:
            yield reply(
                request, outputs={"probabilities": np.eye(n, len(params["labels"]))}
            )

    fake = daemon(handler)
    images = RNG.random((2, 3, 4, 4), dtype=np.float32)
    with Client(fake.endpoint) as g:
        assert g.score(images, ["a", "b", "c"], metric="logit").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert g.score(images, ["a", "b"], pairwise=True).tolist() == [0, 1]
        ranking = g.rank(images, "a", top_k=1)
        assert ranking == [guidanced.Ranked(1, 1.0)] and ranking.items == ()
        classes = g.classify(images, ["x", "y", "z"], templates=["{}!"])
        assert classes.probabilities.shape == (2, 3)
        assert classes.best == ["x", "y"] and classes.labels == ("x", "y", "z")
        with pytest.raises(ValueError, match="pairwise"):
            g.score(images, ["a"], pairwise=True)
    assert fake.requests[0].params["metric"] == "logit"
    assert fake.requests[3].params == {"labels": ["x", "y", "z"], "templates": ["{}!"]}
    assert np.array_equal(fake.requests[0].arrays()[0], images)


def gradient_of(request: Request) -> list[bytes]:
    """Item i's gradient is filled with i; one output if all sizes agree."""
    sizes: list[tuple[int, int]] = []
    for value in request.arrays():
        if isinstance(value, bytes):
            sizes.append((2, 9))
        elif value.dtype == np.uint8:
            sizes += [value.shape[1:3]] * len(value)
        else:
            sizes += [value.shape[2:]] * len(value)
    n = len(sizes)
    rows = [np.full((3, *size), i, np.float32) for i, size in enumerate(sizes)]
    outputs = (
        {"gradient": np.stack(rows)}
        if len(set(sizes)) == 1
        else {f"gradient.{i}": row for i, row in enumerate(rows)}
    )
    outputs |= {"loss": np.arange(n) / 10, "score": np.arange(n) / 20}
    return reply(request, outputs=outputs)


def test_gradients_take_the_shape_of_the_images(daemon) -> None:
    fake = daemon(answering(gradient_of))
    batch = RNG.random((2, 3, 4, 5), dtype=np.float32)
    with Client(fake.endpoint) as g:
        whole = g.gradient(batch, "a cat", weights=[2], loss="spherical")
        assert isinstance(whole.gradient, np.ndarray) and whole.gradient.shape == (2, 3, 4, 5)
        assert whole.gradient[1].min() == 1 and whole.loss.shape == whole.score.shape == (2,)
        assert g.gradient(batch[0], "a").gradient.shape == (3, 4, 5)
        assert g.gradient(np.zeros((4, 5, 3), np.uint8), "a").gradient.shape == (3, 4, 5)
        assert g.gradient(b"\x89PNG\r\n\x1a\n", "a").gradient.shape == (3, 2, 9)
        mixed = g.gradient([batch, b"\x89PNG\r\n\x1a\n", np.zeros((6, 7, 3), np.uint8)], ["a"])
        assert [part.shape for part in mixed.gradient] == [(2, 3, 4, 5), (3, 2, 9), (3, 6, 7)]
        assert [float(part.max()) for part in mixed.gradient] == [1, 2, 3]
        equal = g.gradient([batch[0], batch[1]], ["a", "b"], pairwise=True)
        assert [part.shape for part in equal.gradient] == [(3, 4, 5)] * 2
    assert fake.requests[0].params == {
        "prompts": ["a cat"],
        "weights": [2.0],
        "loss": "spherical",
        "pairwise": False,
    }


@pytest.mark.parametrize("option", [{"cutouts": 4}, {"regularizers": {"tv": 1}}, {"wrt": "latents"}])
def test_what_this_version_does_not_serve_is_refused(daemon, option: dict[str, Any]) -> None:
    fake = daemon(answering(gradient_of))
    with Client(fake.endpoint) as g, pytest.raises(ValueError, match="only"):
        g.gradient(np.zeros((3, 4, 4), np.float32), "a", **option)
    assert fake.requests == []


def test_failed_items_raise_or_are_returned(daemon) -> None:
    item = {"index": 1, "error": {"code": "bad_image", "message": "no PNG"}}

    def handler(request: Request):
        if request.header["op"] == "score":
            scores = np.array([[0.5], [np.nan]])
            yield reply(request, outputs={"scores": scores}, items=[item])
        elif request.header["op"] == "rank":
            yield reply(request, {"ranking": [{"index": 0, "score": 0.5}]}, items=[item])
        elif request.header["op"] == "classify":
            yield reply(
                request, outputs={"probabilities": np.array([[1], [np.nan]])}, items=[item]
            )
        else:
            outputs = {
                "gradient.0": np.ones((3, 4, 4)),
                "loss": np.array([0.5, np.nan]),
                "score": np.array([0.5, np.nan]),
            }
            yield reply(request, outputs=outputs, items=[item])

    images = [np.zeros((3, 4, 4), np.float32), b"\x89PNG\r\n\x1a\nbroken"]
    with Client(daemon(handler).endpoint) as g:
        with pytest.raises(guidanced.ItemError, match="item 1.*no PNG") as caught:
            g.score(images, "a")
        assert caught.value.code == "bad_image"
        assert caught.value.items[0].index == 1
        assert caught.value.partial[0, 0] == 0.5
        scores = g.score(images, "a", strict=False)
        assert isinstance(scores.items[0].error, guidanced.BadImage)
        assert (scores + 1).items == ()
        assert g.rank(images, "a", strict=False).items[0].index == 1
        assert g.classify(images, ["a"], strict=False).best == ["a", None]
        gradient = g.gradient(images, "a", strict=False)
        assert gradient.gradient[0].shape == (3, 4, 4)
        assert gradient.gradient[1].shape == (3, 0, 0)
        raw = g.gradient([images[0], np.zeros((3, 5, 5), np.float32)], "a", strict=False)
        assert np.isnan(raw.gradient[1]).all() and raw.gradient[1].shape == (3, 5, 5)


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"scores": np.zeros((2, 2))},
        {"scores": np.zeros(1)},
        {"other": np.zeros((1, 2))},
    ],
)
def test_outputs_of_another_shape_are_a_malformed_reply(daemon, outputs: dict[str, Any]) -> None:
    fake = daemon(answering(lambda r: reply(r, outputs=outputs)))
    with Client(fake.endpoint) as g, pytest.raises(guidanced.MalformedReply, match="scores"):
        g.score(np.zeros((3, 4, 4), np.float32), ["a", "b"])


@pytest.mark.parametrize(
    "outputs",
    [
        {"loss": np.zeros(1), "score": np.zeros(1)},
        {"gradient": np.zeros((2, 3, 4, 4)), "loss": np.zeros(1), "score": np.zeros(1)},
        {"gradient": np.zeros((1, 3, 5, 5)), "loss": np.zeros(1), "score": np.zeros(1)},
        {"gradient.0": np.zeros((1, 4, 4)), "loss": np.zeros(1), "score": np.zeros(1)},
    ],
)
def test_gradients_of_another_shape_are_a_malformed_reply(daemon, outputs: dict[str, Any]) -> None:
    fake = daemon(answering(lambda r: reply(r, outputs=outputs)))
    with Client(fake.endpoint) as g, pytest.raises(guidanced.MalformedReply, match="gradient"):
        g.gradient(np.zeros((3, 4, 4), np.float32), ["a"])


def test_warnings_reach_the_caller(daemon) -> None:
    fake = daemon(answering(lambda r: reply(r, warnings=["params.x is unknown"])))
    with Client(fake.endpoint) as g, pytest.warns(guidanced.DaemonWarning, match="params.x"):
        g.ping()


def test_partial_replies_come_before_the_final_one(daemon) -> None:
    def handler(request: Request):
        for part in range(3):
            yield reply(request, {"done": part}, status="partial")
        yield reply(request, {"done": 3})

    seen: list[int] = []
    with Client(daemon(handler).endpoint) as g:
        final = g.request("ping", on_partial=lambda part: seen.append(part.result["done"]))
        assert final.result == {"done": 3} and seen == [0, 1, 2]
        assert g.ping() > 0


class Handles:
    """A daemon's prepared handles; forgets them on demand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known: dict[str, dict[str, Any]] = {}
        self.count = 0

    def __call__(self, request: Request):
        op, params = request.header["op"], request.params
        if op == "prepare":
            self.count += 1
            identifier = f"{self.name}-{self.count}"
            self.known[identifier] = params
            yield reply(request, {"handle": identifier})
        elif params["handle"] not in self.known:
            yield failure(request, "bad_request", field="params.handle")
        elif op == "release":
            del self.known[params["handle"]]
            yield reply(request)
        else:
            assert "prompts" not in params
            yield gradient_of(request)


def test_a_handle_is_prepared_used_and_released(daemon) -> None:
    handles = Handles("h")
    image = np.zeros((3, 4, 4), np.float32)
    with Client(daemon(handles).endpoint) as g:
        handle = g.prepare(["a", "b"], weights=[1, -0.5])
        assert handles.known == {
            "h-1": {"prompts": ["a", "b"], "weights": [1.0, -0.5], "metric": "cosine"}
        }
        g.gradient(image, handle)
        with pytest.raises(ValueError, match="2 prompts"):
            g.gradient(image, handle, pairwise=True)
        g.release(handle)
        assert handles.known == {}
        with pytest.raises(ValueError, match="released"):
            g.gradient(image, handle)
        g.release(handle)


def test_a_handle_survives_a_daemon_that_forgot_it_and_follows_to_another(daemon) -> None:
    first, second = Handles("first"), Handles("second")
    image = np.zeros((3, 4, 4), np.float32)
    with Client([daemon(first).endpoint, daemon(second).endpoint]) as g:
        handle = g.prepare("a")
        for _ in range(4):
            g.gradient(image, handle)
        assert (first.count, second.count) == (1, 1)
        first.known.clear()
        for _ in range(2):
            g.gradient(image, handle)
        assert (first.count, second.count) == (2, 1)
        g.release(handle)
        assert first.known == second.known == {}
