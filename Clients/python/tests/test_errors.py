"""Every exception is the package's own, says what it is, and survives a pickle."""

from __future__ import annotations

import inspect
import math
import pickle
from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import Request, reply
from guidanced import AsyncClient, Client, ItemError, ItemFailure
from guidanced import errors as module

KINDS = [
    kind
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, guidanced.Error) and kind is not ItemError
]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_a_pickle(kind: type[guidanced.Error]) -> None:
    error = kind("wörds", field="params.x", retry_after=0.5)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind and str(back) == str(error) and back.args == error.args
    assert (back.code, back.message, back.field, back.retry_after) == (
        error.code, "wörds", "params.x", 0.5,
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_results_and_failures_survive_a_pickle(protocol: int) -> None:
    items = (ItemFailure(1, guidanced.BadImage("x", field="inputs[1]")),)
    array = guidanced.ResultArray(np.arange(6).reshape(2, 3), items, "f00d")
    error = ItemError(items, array)

    def again(value: Any) -> Any:
        return pickle.loads(pickle.dumps(value, protocol))

    back = again(array)
    assert np.array_equal(back, array) and back.fingerprint == "f00d"
    assert back.items[0].index == 1 and str(back.items[0]) == str(items[0])
    assert (back * 2).items == ()
    found = again(error)
    assert str(found) == str(error) and found.items[0].index == 1
    assert np.array_equal(found.partial, array) and found.partial.fingerprint == "f00d"
    ranking = again(guidanced.Ranking([guidanced.Ranked(2, 0.5)], items))
    assert ranking == [guidanced.Ranked(2, 0.5)] and ranking.items[0].index == 1
    for value in (
        guidanced.Gradient(array, array, array, items),
        guidanced.Classification(array, ("a", "b", "c"), items),
        guidanced.Tokenization([[1]], (), items),
        guidanced.Handle("h", ("a",), params={"prompts": ["a"]}),
    ):
        assert str(again(value)) == str(value)


def test_a_client_and_its_handles_survive_a_pickle(daemon) -> None:
    prepared: list[Request] = []

    def handler(request: Request) -> Any:
        if request.header["op"] == "prepare":
            prepared.append(request)
            return [reply(request, {"handle": "h"})]
        assert request.params["handle"] == "h"
        return [reply(request, {}, {"scores": np.zeros((1, 1))})]

    fake = daemon(handler)
    image = np.zeros((3, 4, 4), np.float32)
    with Client(fake.endpoint, timeout=None, model="m") as g:
        handle = g.prepare("a")
        copied, its_handle = pickle.loads(pickle.dumps((g, handle)))
        with copied:
            copied.score(image, its_handle)
        g.score(image, handle)
    assert len(prepared) == 1
    assert fake.requests[-1].header["model"] == fake.requests[-2].header["model"] == "m"
    assert fake.requests[-1].client != fake.requests[-2].client
    again = pickle.loads(pickle.dumps(AsyncClient(fake.endpoint, timeout=math.inf)))
    assert isinstance(again, AsyncClient)


IMAGE = np.zeros((3, 4, 4), np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda g: g.embed_text(7),
        lambda g: g.embed_text([]),
        lambda g: g.embed_text(b"bytes"),
        lambda g: g.score(IMAGE, ["a", 7]),
        lambda g: g.score(IMAGE, "\ud800"),
        lambda g: g.score(IMAGE, []),
        lambda g: g.score(IMAGE, ["a", "b"], pairwise=True),
        lambda g: g.score([], "a"),
        lambda g: g.rank(IMAGE, ["a", "b"]),
        lambda g: g.rank(IMAGE, "a", top_k=1.5),
        lambda g: g.classify(IMAGE, [None]),
        lambda g: g.classify(IMAGE, "a", templates=["\udfff"]),
        lambda g: g.gradient(IMAGE, "a", weights=["heavy"]),
        lambda g: g.gradient(IMAGE, "a", weights=[math.nan]),
        lambda g: g.gradient(IMAGE, "a", seed=7),
        lambda g: g.gradient(IMAGE, "a", seed=True),
        lambda g: g.gradient(IMAGE, "a", seed=np.array([0, 1])),
        lambda g: g.gradient(IMAGE, "a", cutouts={"n": 16}),
        lambda g: g.gradient(IMAGE, "a", cutouts=0),
        lambda g: g.gradient(IMAGE, "a", regularizers={}),
        lambda g: g.gradient(IMAGE, "a", wrt="latents"),
        lambda g: g.condition("a", loras=["ink"]),
        lambda g: g.condition("a", loras={"ink": "strong"}),
        lambda g: g.condition("a", crop=3),
        lambda g: g.condition(["a", "b"], negative=["x", "y", "z"]),
        lambda g: g.condition("a", steps=object()),
        lambda g: g.condition("a", negative="\ud800"),
        lambda g: g.condition_image(IMAGE, weights=[math.inf]),
        lambda g: g.prepare("a", negative="b"),
        lambda g: g.prepare("a", cutouts=4),
        lambda g: g.prepare("a", recipe="sd1", cutouts=4),
        lambda g: g.prepare("a", recipe="sd1", weights=[1]),
        lambda g: g.prepare("a", recipe="sd1", metric="logit"),
        lambda g: g.prepare("a", weights=[math.nan]),
        lambda g: g.request("ping", {"x": {1, 2}}),
        lambda g: g.request("ping", {"x": math.nan}),
        lambda g: g.request("ping", {"x": "y" * (1 << 20)}),
        lambda g: g.request("ping", timeout=0),
        lambda g: g.request("ping", [1]),
        lambda g: g.request("ping", {}, [b"bytes"]),
        lambda g: g.request("ping", {}, [guidanced.Input("x", "BYTES", "text")]),
        lambda g: g.release("h"),
        lambda g: g.ping(priority=101),
        lambda g: g.ping(priority=0.5),
        lambda g: g.ping(deadline=-1),
        lambda g: g.ping(deadline=math.nan),
        lambda g: Client([]),
        lambda g: Client(7),
        lambda g: Client("ipc:///x", timeout=0),
        lambda g: Client("ipc:///x", timeout=math.nan),
        lambda g: Client("ipc:///x", timeout="soon"),
        lambda g: Client("ipc:///x", connect_timeout=-1),
        lambda g: Client("ipc:///x", retries=-1),
        lambda g: Client("ipc:///x", retries=1.5),
        lambda g: Client("ipc:///x", model=7),
        lambda g: Client("carrier-pigeon://coop").ping(),
    ],
)
def test_mistakes_are_errors_of_the_package_and_send_nothing(daemon, call: Any) -> None:
    fake = daemon(lambda request: [reply(request)])
    with Client(fake.endpoint) as g, pytest.raises(guidanced.ArgumentError) as caught:
        call(g)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code in ("bad_request", "too_large")
    assert fake.requests == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("recipe", "sd1"),
        ("negative", "b"),
        ("clip_skip", 0),
        ("syntax", "a1111"),
        ("long_prompts", "chunk"),
        ("negative_policy", "zeros"),
        ("prompts_2", "c"),
        ("negative_2", "c"),
        ("steps", 20),
        ("hidden_width", 4096),
        ("loras", {}),
    ],
)
def test_what_a_handle_has_already_is_not_swallowed(daemon, argument: str, value: Any) -> None:
    fake = daemon(lambda request: [reply(request, {"handle": "h"})])
    with Client(fake.endpoint) as g:
        handle = g.prepare("a", recipe="sd1")
        with pytest.raises(guidanced.ArgumentError, match=argument):
            g.condition(handle, **{argument: value})
        plain = g.prepare("a")
        with pytest.raises(guidanced.ArgumentError, match="long_prompts"):
            g.score(IMAGE, plain, long_prompts="truncate")
        with pytest.raises(guidanced.ArgumentError, match="condition"):
            g.score(IMAGE, handle)
    assert [request.header["op"] for request in fake.requests] == ["prepare", "prepare"]


def test_numbers_of_numpy_are_numbers(daemon) -> None:
    fake = daemon(lambda r: [reply(r, {"ranking": []}, {"pooled": np.zeros((1, 2))})])
    with Client(fake.endpoint) as g:
        g.condition("a", clip_skip=np.int64(2), width=np.int32(64), loras={"x": np.float32(0.5)})
        g.rank(IMAGE, "a", top_k=np.int64(3), priority=np.int8(-5))
    assert fake.requests[0].params["clip_skip"] == 2 and fake.requests[0].params["width"] == 64
    assert fake.requests[1].params["top_k"] == 3 and fake.requests[1].header["priority"] == -5
