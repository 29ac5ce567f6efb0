"""Starting, stopping, overload and clients that vanish."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import guidanced
from daemon import ROOT, Daemon, binary
from guidanced import Client
from pictures import noise
from raw import Raw

Start = Callable[..., Daemon]

# Much work for few bytes: requests come in faster than they are answered.
STEERING = {"prompts": ["a cat face"]}
HEAVY = [np.stack([noise(224, 224, seed=i) for i in range(64)])]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def in_flight(daemon: Daemon) -> int:
    with Raw(daemon.control) as control:
        queue = control.ask("status").result["queue"]
        return queue["waiting"] + queue["running"]


def test_sigterm_finishes_accepted_work_and_exits_with_zero(start: Start) -> None:
    daemon = start()
    with Raw(daemon.endpoint) as client:
        sent = [client.send("gradient", STEERING, HEAVY) for _ in range(3)]
        wait_for(lambda: in_flight(daemon) == 3)
        daemon.signal(signal.SIGTERM)
        answers = [client.receive() for _ in sent]
        assert {answer.header["id"] for answer in answers} == set(sent)
        assert all(answer.outputs["gradient"].shape[0] == 64 for answer in answers)
    assert daemon.wait() == 0


def test_new_work_is_refused_while_old_work_is_finished(start: Start) -> None:
    daemon = start("--threads", "1")
    with Raw(daemon.endpoint) as client, Raw(daemon.endpoint) as late:
        late.ask("ping")
        sent = [client.send("gradient", STEERING, HEAVY) for _ in range(3)]
        wait_for(lambda: in_flight(daemon) == 3)
        daemon.signal(signal.SIGTERM)
        time.sleep(0.1)
        assert late.ask("embed_text", {"texts": ["a"]}).error["code"] == "shutting_down"
        assert [client.receive().status for _ in sent] == ["ok"] * 3
    assert daemon.wait() == 0


def test_sigint_once_finishes_and_twice_stops_at_once(start: Start) -> None:
    daemon = start("--threads", "1")
    with Raw(daemon.endpoint) as client:
        client.send("gradient", STEERING, HEAVY)
        wait_for(lambda: in_flight(daemon) == 1)
        daemon.signal(signal.SIGINT)
        assert client.receive().status == "ok"
    assert daemon.wait() == 0

    daemon = start("--threads", "1")
    with Raw(daemon.endpoint) as client:
        for _ in range(20):
            client.send("gradient", STEERING, HEAVY)
        wait_for(lambda: in_flight(daemon) == 20)
        daemon.signal(signal.SIGINT)
        time.sleep(0.1)
        assert daemon.process.poll() is None
        begin = time.monotonic()
        daemon.signal(signal.SIGINT)
        assert daemon.wait(5) == 130
        assert time.monotonic() - begin < 1.5


def test_an_idle_daemon_stops_quickly(start: Start) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        daemon = start()
        begin = time.monotonic()
        daemon.signal(number)
        assert daemon.wait(10) == 0
        assert time.monotonic() - begin < 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_models_load_ends_the_daemon_cleanly(start: Start, number: int) -> None:
    # Whichever model the signal finds: what was accepted is answered, and the exit status is zero.
    names = [f"m{index}" for index in range(40)]
    models = [part for name in names for part in ("--model", f"{name}=embedded:default")]
    daemon = start(*models, wait=False)
    wait_for(lambda: "serves text" in daemon.log.read_text())
    with Raw(daemon.endpoint) as client:
        assert client.ask("embed_text", {"texts": ["a cat"]}).status == "ok"
        picture = [np.stack([noise(64, 64, seed=1)])]
        sent = [client.send("embed_image", {}, picture, model=name)
                for name in names]
        wait_for(lambda: client_requests(daemon) >= len(sent))
        daemon.signal(number)
        answers = [client.receive() for _ in sent]
    assert sorted(answer.header["id"] for answer in answers) == sorted(sent)
    refused = {answer.error["code"] for answer in answers if answer.status == "error"}
    assert refused <= {"shutting_down"}
    assert daemon.wait(10) == 0


def client_requests(daemon: Daemon) -> int:
    """Requests that reached the queue or were answered from it, but for the daemon's own."""
    with Raw(daemon.control) as control:
        return control.ask("status").result["transport"]["dispatched"] - 1


@pytest.mark.parametrize("tower", ["text_model.final_layer_norm", "vision_model.post_layernorm"])
def test_a_tower_that_cannot_be_loaded_ends_the_daemon_and_is_named(
    start: Start, tmp_path: Path, tower: str
) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in (ROOT / "Models/default").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    size = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + size])[f"{tower}.weight"]
    begin = 8 + size + entry["data_offsets"][0]
    data[begin : begin + 4] = b"\xff" * 4  # not a number in every type
    weights.write_bytes(data)
    # The message and the status are those of `verify`, which loads everything before it does anything.
    verified = subprocess.run(
        [binary(), "verify", folder], capture_output=True, text=True, timeout=60
    )
    assert verified.returncode > 0 and f"{tower}.weight" in verified.stderr
    daemon = start("--model", f"m={folder}", wait=False)
    assert daemon.wait() == verified.returncode
    assert verified.stderr.strip().splitlines()[-1] in daemon.log.read_text()


def test_a_client_that_is_killed_harms_nobody(start: Start) -> None:
    daemon = start()
    script = (
        "import sys, numpy, guidanced\n"
        "g = guidanced.Client(sys.argv[1], timeout=600)\n"
        "print('up', flush=True)\n"
        "while True: g.embed_image(numpy.zeros((32, 224, 224, 3), numpy.uint8))\n"
    )
    source = str(Path(guidanced.__file__).parents[1])
    for _ in range(3):
        victim = subprocess.Popen(
            [sys.executable, "-c", script, daemon.endpoint],
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source},
        )
        assert victim.stdout is not None and victim.stdout.readline() == b"up\n"
        wait_for(lambda: in_flight(daemon) > 0)
        victim.kill()
        victim.wait()
        victim.stdout.close()
        with Client(daemon.endpoint) as g:
            assert g.embed_text("a cat").shape[0] == 1
    wait_for(lambda: in_flight(daemon) == 0, 60)
    assert daemon.stop() == 0


def test_a_flood_beyond_the_queue_is_told_and_nothing_is_lost(start: Start) -> None:
    daemon = start("--threads", "1")
    picture = [np.stack([noise(64, 64, seed=i) for i in range(3)])]
    with Raw(daemon.endpoint) as client:
        limit = client.ask("hello").result["limits"]["requests"]
        count = 2 * limit + 100
        sent = [client.send("embed_image", {}, picture) for _ in range(count)]
        with Raw(daemon.control) as control:  # the control endpoint answers meanwhile
            begin = time.monotonic()
            assert control.ask("health").result["live"] is True
            assert time.monotonic() - begin < 2
        answers = [client.receive() for _ in range(count)]
        assert sorted(answer.header["id"] for answer in answers) == sorted(sent)
        refused = [answer.error for answer in answers if answer.status == "error"]
        served = [answer for answer in answers if answer.status == "ok"]
        assert len(served) >= limit and len(refused) > 0
        assert {error["code"] for error in refused} == {"overloaded"}
        assert all(error["retry_after_ms"] > 0 for error in refused)
        first = served[0].outputs["embeddings"]
        assert all(np.array_equal(answer.outputs["embeddings"], first) for answer in served)
        assert client.ask("embed_image", {}, picture).status == "ok"
    assert daemon.stop() == 0


def test_it_starts_again_on_the_same_address_also_after_a_crash(start: Start, tmp_path: Path) -> None:
    for ending in ("stop", "kill", "stop"):
        daemon = start(folder=tmp_path)
        with Client(daemon.endpoint) as g:
            assert g.embed_text("a").shape[0] == 1
        getattr(daemon, ending)()


def test_a_client_outlives_the_restart_of_its_daemon(start: Start, tmp_path: Path) -> None:
    daemon = start(folder=tmp_path)
    with Client(daemon.endpoint, timeout=60) as g:
        handle = g.prepare("a red circle")
        image = np.zeros((3, 32, 32), np.float32)
        before = g.gradient(image, handle)
        assert daemon.stop() == 0
        daemon = start(folder=tmp_path)
        after = g.gradient(image, handle)
        assert np.array_equal(before.gradient, after.gradient)


def test_a_second_daemon_on_the_same_address_is_refused(start: Start, tmp_path: Path) -> None:
    first = start(folder=tmp_path)
    second = start(folder=tmp_path, wait=False)
    assert second.wait(20) not in (0, None)
    assert "work" in first.log.read_text()  # the message names the address
    with Client(first.endpoint) as g:
        assert g.ping() > 0
    assert first.stop() == 0


def test_an_address_that_is_not_local_is_refused() -> None:
    for address in ("tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://192.0.2.1:5555", "nonsense"):
        process = subprocess.run(
            [binary(), "serve", "--bind", address], capture_output=True, text=True, timeout=60
        )
        assert process.returncode != 0 and address in process.stderr


def test_rubbish_at_the_socket_itself_harms_nobody(start: Start, tmp_path: Path) -> None:
    daemon = start()
    path = daemon.endpoint.removeprefix("ipc://")
    for rubbish in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\xff" + bytes(9), os.urandom(999)):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(rubbish)
            time.sleep(0.02)
    with Client(daemon.endpoint) as g:
        assert g.ping() > 0
    assert daemon.stop() == 0


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "tcp://[::1]:*"])
def test_loopback_addresses(start: Start, address: str) -> None:
    daemon = start("--bind", address, wait=False)
    daemon.wait_until_ready()
    line = next(
        line for line in daemon.log.read_text().splitlines() if address.rstrip("*") in line
    )
    bound = next(word for word in line.split() if word.startswith(address.rstrip("*")))
    with Client(bound) as g:
        assert g.ping() > 0
    assert daemon.stop() == 0
