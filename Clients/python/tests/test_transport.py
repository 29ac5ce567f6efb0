"""Timeouts, retries, failover, threads, forks and closing."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time

import numpy as np
import pytest

import guidanced
from fake_daemon import Request, failure, reply
from guidanced import Client


def silent(request: Request):
    return []


def answering(request: Request):
    return [reply(request)]


def test_nobody_there_is_unavailable(tmp_path) -> None:
    with Client(f"ipc://{tmp_path}/none", connect_timeout=0.3) as g:
        start = time.monotonic()
        with pytest.raises(guidanced.Unavailable, match="none") as caught:
            g.ping()
        assert time.monotonic() - start < 2
        assert isinstance(caught.value, ConnectionError) and caught.value.code == "unavailable"


def test_silence_is_a_timeout_after_repetitions_with_the_same_id(daemon) -> None:
    fake = daemon(silent)
    with Client(fake.endpoint, timeout=0.6, retries=2) as g:
        start = time.monotonic()
        with pytest.raises(guidanced.Timeout) as caught:
            g.ping()
        assert 0.5 < time.monotonic() - start < 2
        assert isinstance(caught.value, TimeoutError)
    assert len(fake.requests) == 3
    assert len({request.header["id"] for request in fake.requests}) == 1
    assert len({request.client for request in fake.requests}) == 1
    assert fake.requests[0].header["deadline_ms"] <= 600
    assert fake.requests[2].header["deadline_ms"] <= 250


def test_a_repetition_gets_the_answer_and_a_late_reply_disturbs_nobody(daemon) -> None:
    seen: list[Request] = []

    def handler(request: Request):
        seen.append(request)
        if len(seen) == 1:
            return []
        if len(seen) == 2:  # the join: both attempts are answered
            return [reply(request, {"n": 2}), reply(request, {"n": 2})]
        return [reply(request, {"n": len(seen)})]

    with Client(daemon(handler, greets=False).endpoint, timeout=1.2, retries=2) as g:
        assert g.hello() == {"n": 2}
        assert g.hello() == {"n": 3}


def test_the_next_call_after_a_timeout_ignores_the_late_reply(daemon) -> None:
    late: list[Request] = []

    def handler(request: Request):
        if not late:
            late.append(request)
            return []
        return [reply(late[0], {"late": True}), reply(request, {"late": False})]

    with Client(daemon(handler, greets=False).endpoint, timeout=0.3, retries=0) as g:
        with pytest.raises(guidanced.Timeout):
            g.hello()
        assert g.hello() == {"late": False}


def test_a_daemon_that_starts_late_and_one_that_is_restarted(daemon, tmp_path) -> None:
    endpoint = f"ipc://{tmp_path}/late"
    with Client(endpoint, timeout=10) as g:
        threading.Timer(0.4, lambda: daemon(answering, endpoint)).start()
        g.ping()
    first = daemon(silent, f"ipc://{tmp_path}/again")
    with Client(first.endpoint, timeout=10, retries=2) as g:

        def restart() -> None:
            first.stop()
            time.sleep(0.2)
            daemon(answering, first.endpoint)

        threading.Timer(0.3, restart).start()
        start = time.monotonic()
        g.ping()  # sent to the first, repeated to the second as soon as the link is lost
        assert time.monotonic() - start < 3


def test_a_lost_link_without_return_is_unavailable(daemon) -> None:
    fake = daemon(silent)
    with Client(fake.endpoint, timeout=10, connect_timeout=0.5) as g:
        threading.Timer(0.3, fake.stop).start()
        with pytest.raises(guidanced.Unavailable):
            g.ping()


def test_overload_is_retried_after_the_wait_that_is_asked_for(daemon) -> None:
    times: list[float] = []

    def handler(request: Request):
        times.append(time.monotonic())
        if len(times) < 3:
            return [failure(request, "overloaded", retry_after_ms=150)]
        return [reply(request)]

    with Client(daemon(handler).endpoint) as g:
        g.ping()
    assert len(times) == 3 and min(np.diff(times)) >= 0.15


def test_overload_for_good_is_raised_with_its_hint(daemon) -> None:
    fake = daemon(lambda request: [failure(request, "overloaded", retry_after_ms=20)])
    with Client(fake.endpoint) as g:
        with pytest.raises(guidanced.Overloaded) as caught:
            g.ping()
        assert caught.value.retry_after == 0.02
    assert len(fake.requests) == 3
    with Client(fake.endpoint, timeout=0.5) as g:
        fake.handler = lambda request: [failure(request, "overloaded", retry_after_ms=9000)]
        with pytest.raises(guidanced.Overloaded):
            g.ping()
    assert len(fake.requests) == 4  # no use in waiting longer than the timeout


def test_other_errors_are_not_retried(daemon) -> None:
    fake = daemon(lambda request: [failure(request, "unknown_model", field="model")])
    with Client(fake.endpoint) as g, pytest.raises(guidanced.UnknownModel, match="model"):
        g.embed_text("a", model="none")
    assert len(fake.requests) == 1


def test_a_malformed_reply_is_reported_and_the_next_call_works(daemon) -> None:
    replies = [[b"GD01", b"{"], [b"GD01", b'{"status": "ok"}']]

    def handler(request: Request):
        return [replies.pop(0)] if replies else [reply(request)]

    with Client(daemon(handler).endpoint) as g:
        for _ in range(2):
            with pytest.raises(guidanced.MalformedReply):
                g.ping()
        g.ping()


def test_an_error_without_an_id_belongs_to_the_request_on_the_way(daemon) -> None:
    text = b'{"id": null, "status": "error", "error": {"code": "bad_request", "message": "x"}}'
    fake = daemon(lambda request: [[b"GD01", text]])
    with Client(fake.endpoint) as g, pytest.raises(guidanced.BadRequest):
        g.ping()


def test_calls_are_spread_over_endpoints(daemon) -> None:
    fakes = [daemon(answering) for _ in range(3)]
    with Client([fake.endpoint for fake in fakes]) as g:
        for _ in range(9):
            g.ping()
    assert [len(fake.requests) for fake in fakes] == [3, 3, 3]


def test_calls_fail_over_from_absent_silent_overloaded_and_stopping_daemons(
    daemon, tmp_path
) -> None:
    good = daemon(answering)
    mute = daemon(silent)
    full = daemon(lambda request: [failure(request, "overloaded", retry_after_ms=5000)])
    stopping = daemon(lambda request: [failure(request, "shutting_down")])
    for bad in (f"ipc://{tmp_path}/absent", mute.endpoint, full.endpoint, stopping.endpoint):
        with Client([bad, good.endpoint], timeout=3) as g:
            start = time.monotonic()
            for _ in range(4):
                g.ping()
            assert time.monotonic() - start < 2.5, bad


def test_handles_fail_over_too(daemon, tmp_path) -> None:
    def handler(request: Request):
        if request.header["op"] == "prepare":
            return [reply(request, {"handle": "h"})]
        outputs = {"gradient": np.zeros((1, 3, 4, 4)), "loss": np.zeros(1), "score": np.zeros(1)}
        return [reply(request, outputs=outputs)]

    good = daemon(handler)
    absent = f"ipc://{tmp_path}/absent"
    with Client([good.endpoint, absent], timeout=3, connect_timeout=0.3) as g:
        handle = g.prepare("a")
        for _ in range(3):
            g.gradient(np.zeros((3, 4, 4), np.float32), handle)


def test_threads_share_a_client_without_mixing_replies(daemon) -> None:
    def handler(request: Request):
        texts = request.params["texts"]
        values = np.array([[float(text)] for text in texts])
        return [reply(request, outputs={"embeddings": values})]

    fake = daemon(handler)
    wrong: list[object] = []
    with Client(fake.endpoint, timeout=20) as g:

        def work(seed: int) -> None:
            for step in range(30):
                texts = [str(seed * 1000 + step), str(step)]
                found = g.embed_text(texts).ravel().tolist()
                if found != [float(text) for text in texts]:
                    wrong.append((texts, found))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == [] and len(fake.requests) == 240
    assert len({request.client for request in fake.requests}) <= 8


def test_close_ends_running_calls_and_refuses_new_ones(daemon) -> None:
    fake = daemon(silent)
    g = Client(fake.endpoint, timeout=20)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            g.ping()
        except guidanced.Error as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not fake.requests:
        time.sleep(0.01)
    g.close()
    thread.join(3)
    assert not thread.is_alive() and isinstance(caught[0], guidanced.Closed)
    with pytest.raises(guidanced.Closed):
        g.ping()
    g.close()


def test_a_forked_child_uses_connections_of_its_own(daemon) -> None:
    fake = daemon(answering)
    with Client(fake.endpoint, timeout=5) as g:
        g.ping()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                g.ping()
                g.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        g.ping()
    assert len({request.client for request in fake.requests}) == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"endpoints": []}, ValueError),
        ({"endpoints": 7}, TypeError),
        ({"endpoints": "ipc:///x", "timeout": 0}, ValueError),
        ({"endpoints": "ipc:///x", "retries": -1}, ValueError),
    ],
)
def test_constructor_arguments_are_checked(options, error) -> None:
    with pytest.raises(error):
        Client(**options)


def test_an_endpoint_that_is_no_address_is_a_value_error() -> None:
    with Client("carrier-pigeon://coop") as g, pytest.raises(ValueError, match="pigeon"):
        g.ping()


@pytest.mark.parametrize("timeout", [None, float("inf")])
def test_without_a_timeout_a_call_waits_and_states_no_deadline(daemon, timeout) -> None:
    def slow(request: Request):
        time.sleep(0.5)
        return [reply(request)]

    fake = daemon(slow)
    with Client(fake.endpoint, timeout=timeout, connect_timeout=timeout) as g:
        start = time.monotonic()
        g.ping()
        assert 0.4 < time.monotonic() - start < 5
    assert len(fake.requests) == 1 and "deadline_ms" not in fake.requests[0].header


def test_a_day_is_the_longest_deadline_on_the_wire(daemon) -> None:
    fake = daemon(answering)
    with Client(fake.endpoint, timeout=1e9) as g:
        g.ping()
        g.ping(deadline=5)
    assert fake.requests[0].header["deadline_ms"] == 86_400_000
    assert 4000 < fake.requests[1].header["deadline_ms"] <= 5000


def test_a_deadline_holds_for_all_requests_of_a_call(daemon) -> None:
    def slow(request: Request):
        time.sleep(0.15)
        return [reply(request, {}, {"embeddings": np.zeros((request.items(), 1))})]

    fake = daemon(slow, limits={"images": 1})
    with Client(fake.endpoint, timeout=20) as g:
        start = time.monotonic()
        with pytest.raises(guidanced.Timeout):
            g.embed_image([np.zeros((3, 2, 2), np.float32)] * 30, deadline=0.5)
        assert time.monotonic() - start < 1.5
    assert len(fake.requests) <= 4


def test_the_timeout_of_a_call_with_a_handle_holds_for_all_its_endpoints(daemon) -> None:
    def handler(request: Request):
        return [reply(request, {"handle": "h"})] if request.header["op"] == "prepare" else []

    fakes = [daemon(handler) for _ in range(3)]
    with Client([fake.endpoint for fake in fakes], timeout=0.6, retries=0) as g:
        handle = g.prepare("a")
        start = time.monotonic()
        with pytest.raises(guidanced.Timeout):
            g.gradient(np.zeros((3, 4, 4), np.float32), handle)
        assert time.monotonic() - start < 1.2


def test_priority_goes_with_every_request_of_a_call(daemon) -> None:
    def handler(request: Request):
        if request.header["op"] == "prepare":
            return [reply(request, {"handle": "h"})]
        return [reply(request, {"ranking": []}, {"embeddings": np.zeros((1, 1))})]

    fake = daemon(handler, limits={"images": 1})
    images = [np.zeros((3, 2, 2), np.float32)] * 2
    with Client(fake.endpoint) as g:
        g.rank(images, "a", priority=7)
        g.embed_text("a", priority=-3)
        g.embed_text("a")
    priorities = [request.header.get("priority") for request in fake.requests]
    assert priorities == [7, 7, 7, 7, -3, None]


def test_every_method_takes_priority_and_deadline() -> None:
    import inspect

    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_") and name != "close":
            parameters = inspect.signature(method).parameters
            assert parameters["priority"].default == 0, name
            assert parameters["deadline"].default is None, name


def test_without_a_file_to_spare_no_daemon_is_reached(daemon) -> None:
    fake = daemon(answering)
    held = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Client(fake.endpoint, connect_timeout=0.5) as g:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
            with pytest.raises(OSError):
                while True:
                    held.append(os.open("/dev/null", os.O_RDONLY))
            with pytest.raises(guidanced.Unavailable):
                g.ping()
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        g.ping()


def test_an_interrupted_call_is_cancelled(daemon) -> None:
    fake = daemon(silent)
    with Client(fake.endpoint, timeout=20) as g:
        threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            g.embed_text("a")
    end = time.monotonic() + 3
    while len(fake.requests) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    asked, cancel = fake.requests
    assert cancel.header["op"] == "cancel" and cancel.client == asked.client
    assert cancel.params == {"id": asked.header["id"]}
