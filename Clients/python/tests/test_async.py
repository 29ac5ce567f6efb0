"""The client of coroutines: the same calls, many at once, cancelled and closed."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

import numpy as np
import pytest

import guidanced
from fake_daemon import FakeDaemon, Request, failure, reply
from guidanced import AsyncClient, Client
from guidanced.async_transport import CONNECTIONS


def echo(request: Request) -> Any:
    if request.header["op"] == "prepare":
        return [reply(request, {"handle": "h"})]
    if "texts" in request.params:
        values = np.array([[float(text)] for text in request.params["texts"]])
        return [reply(request, {}, {"embeddings": values})]
    values = np.array([image.ravel()[0] for array in request.arrays() for image in array])
    return [reply(request, {}, {"embeddings": values[:, None], "scores": values[:, None]})]


def silent(request: Request) -> Any:
    return []


def test_the_methods_are_those_of_the_client() -> None:
    def public(kind: type) -> dict[str, Any]:
        return {
            name: method
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    both, coroutines = public(Client), public(AsyncClient)
    assert both.keys() == coroutines.keys()
    for name, method in both.items():
        assert inspect.signature(method) == inspect.signature(coroutines[name]), name
        assert inspect.iscoroutinefunction(coroutines[name]) == (name != "__init__"), name


def test_many_calls_at_once_keep_their_replies_apart(daemon) -> None:
    fake = daemon(echo)

    async def work() -> list[float]:
        async with AsyncClient(fake.endpoint) as g:
            rows = await asyncio.gather(*(g.embed_text(str(i)) for i in range(300)))
        return [float(row[0, 0]) for row in rows]

    assert asyncio.run(work()) == list(range(300))
    assert len({request.client for request in fake.requests}) <= CONNECTIONS


def test_the_informing_methods_and_large_calls(daemon) -> None:
    fake = daemon(echo, limits={"images": 2})

    async def work() -> None:
        async with AsyncClient(fake.endpoint, control=fake.endpoint) as g:
            assert (await g.hello())["limits"] == {"images": 2}
            assert (await g.status())["threads"] == 2
            images = [np.full((3, 2, 2), i, np.float32) for i in range(5)]
            assert (await g.embed_image(images))[:, 0].tolist() == [0, 1, 2, 3, 4]
            rows = await g.embed_image([images[3], "/missing.png"], strict=False)
            assert rows[0, 0] == 3 and rows.items[0].index == 1
            handle = await g.prepare("a")
            assert (await g.score(images, handle))[:, 0].tolist() == [0, 1, 2, 3, 4]
            await g.release(handle)
            with pytest.raises(guidanced.ArgumentError, match="released"):
                await g.score(images, handle)

    asyncio.run(work())


def test_a_cancelled_task_tells_the_daemon_and_the_client_stays_usable(daemon) -> None:
    def handler(request: Request) -> Any:
        if request.header["op"] == "embed_image":
            return []
        return [reply(request)] if request.header["op"] in ("cancel", "ping") else echo(request)

    fake = daemon(handler)

    async def work() -> None:
        async with AsyncClient(fake.endpoint) as g:
            task = asyncio.create_task(g.embed_image(np.zeros((3, 2, 2), np.float32)))
            while not fake.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(g.embed_image(np.zeros((3, 2, 2), np.float32)), 0.2)
            assert (await g.embed_text("7"))[0, 0] == 7

    asyncio.run(work())
    end = time.monotonic() + 3
    while sum(r.header["op"] == "cancel" for r in fake.requests) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    asked = [r for r in fake.requests if r.header["op"] == "embed_image"]
    cancels = [r for r in fake.requests if r.header["op"] == "cancel"]
    assert [c.params["id"] for c in cancels] == [a.header["id"] for a in asked]
    assert [c.client for c in cancels] == [a.client for a in asked]


@pytest.mark.parametrize("timeout", [None, float("inf")])
def test_without_a_timeout_no_deadline_is_stated(daemon, timeout: float | None) -> None:
    fake = daemon(lambda request: [reply(request)])

    async def work() -> None:
        async with AsyncClient(fake.endpoint, timeout=timeout, connect_timeout=timeout) as g:
            await asyncio.gather(*(g.ping() for _ in range(2 * CONNECTIONS)))
            await g.ping(deadline=3)

    asyncio.run(work())
    assert all("deadline_ms" not in request.header for request in fake.requests[:-1])
    assert fake.requests[-1].header["deadline_ms"] <= 3000


def test_the_loop_goes_on_while_calls_wait(daemon) -> None:
    fake = daemon(silent)

    async def work() -> int:
        ticks = 0
        async with AsyncClient(fake.endpoint, timeout=0.6, retries=1) as g:
            task = asyncio.create_task(g.ping())
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            with pytest.raises(guidanced.Timeout):
                await task
        return ticks

    assert asyncio.run(work()) > 30
    assert len(fake.requests) == 2 and len({r.header["id"] for r in fake.requests}) == 1


def test_retries_and_failover(daemon, tmp_path: Any) -> None:
    good = daemon(lambda request: [reply(request)])
    full = daemon(lambda request: [failure(request, "overloaded", retry_after_ms=5000)])
    mute = daemon(silent)

    async def work() -> None:
        for bad in (f"ipc://{tmp_path}/absent", full.endpoint, mute.endpoint):
            async with AsyncClient([bad, good.endpoint], timeout=2) as g:
                for _ in range(3):
                    await g.ping()
        with pytest.raises(guidanced.Unavailable):
            async with AsyncClient(f"ipc://{tmp_path}/none", connect_timeout=0.2) as g:
                await g.ping()

    asyncio.run(work())


def test_partial_replies_come_in_order(daemon) -> None:
    def handler(request: Request) -> Any:
        return [reply(request, {"n": n}, status="partial") for n in range(3)] + [reply(request)]

    async def work() -> list[int]:
        seen: list[int] = []
        async with AsyncClient(daemon(handler).endpoint) as g:
            await g.request("ping", on_partial=lambda part: seen.append(part.result["n"]))
        return seen

    assert asyncio.run(work()) == [0, 1, 2]


def test_closing_ends_running_calls_and_refuses_new_ones(daemon) -> None:
    fake = daemon(silent)

    async def work() -> None:
        g = AsyncClient(fake.endpoint, timeout=20)
        calls = [asyncio.create_task(g.ping()) for _ in range(CONNECTIONS + 3)]
        while len(fake.requests) < CONNECTIONS:
            await asyncio.sleep(0.01)
        await g.close()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(problem, guidanced.Closed) for problem in found)
        with pytest.raises(guidanced.Closed):
            await g.ping()
        await g.close()

    asyncio.run(work())


def test_a_call_that_waits_for_its_turn_keeps_its_timeout(daemon) -> None:
    fake = daemon(silent)

    async def work() -> None:
        async with AsyncClient(fake.endpoint, timeout=5, retries=0) as g:
            calls = [asyncio.create_task(g.ping()) for _ in range(CONNECTIONS)]
            await asyncio.sleep(0.3)
            with pytest.raises(guidanced.Timeout, match="other calls"):
                await g.ping(deadline=0.2)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(work())


def test_one_client_under_one_loop_after_another(daemon) -> None:
    fake = daemon(echo)
    g = AsyncClient(fake.endpoint)

    async def once(value: int) -> float:
        return float((await g.embed_text(str(value)))[0, 0])

    assert [asyncio.run(once(value)) for value in (3, 4, 5)] == [3, 4, 5]
    asyncio.run(g.close())


def test_warnings_point_at_the_caller(daemon) -> None:
    def handler(request: Request) -> Any:
        return [reply(request, warnings=["odd"])]

    async def work(fake: FakeDaemon) -> None:
        async with AsyncClient(fake.endpoint) as g:
            await g.ping()

    with pytest.warns(guidanced.DaemonWarning, match="odd") as caught:
        asyncio.run(work(daemon(handler)))
    assert caught[0].filename == __file__
