"""The C client: compiles without a warning, does what the Python client does, and survives bad replies."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from daemon import Daemon
from guidanced import Client
from pictures import noise, png, shape

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "Clients/c"
WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"]
LIBRARIES = ["-lzmq", "-lm"]


def compiler() -> str:
    found = shutil.which(os.environ.get("CC", "clang")) or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler")
    return found


def build(source: Path, to: Path, *options: str) -> Path:
    command = [compiler(), "-std=c11", *options, *WARNINGS, str(source), "-o", str(to), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return to


def run(*arguments: Any, text: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(argument) for argument in arguments],
        input=text,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both examples, and the probe with the sanitizers."""
    folder = tmp_path_factory.mktemp("c")
    found = {
        name: build(SOURCES / f"examples/{name}.c", folder / name, "-O1") for name in ("rank", "step")
    }
    probe = ROOT / "Tests/Clients/c/probe.c"
    found["probe"] = build(
        probe, folder / "probe", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    )
    return found


@pytest.mark.parametrize("standard", ["c99", "c11", "c17"])
def test_the_examples_compile_by_every_standard(standard: str, tmp_path: Path) -> None:
    for name in ("rank", "step"):
        build(SOURCES / f"examples/{name}.c", tmp_path / name, f"-std={standard}")


@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_the_header_is_one_for_c_plus_plus_too(standard: str, tmp_path: Path) -> None:
    found = shutil.which("clang++") or shutil.which("g++")
    if found is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "a.cc"
    source.write_text(
        '#include "guidanced.h"\n'
        'int main() { gd_client *g = gd_open("tcp://127.0.0.1:1", 1); gd_close(g); return 0; }\n'
    )
    command = [found, f"-std={standard}", f"-I{SOURCES}", "-Wall", "-Wextra", "-Werror", str(source)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "a"), *LIBRARIES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_pictures_are_ranked_as_by_the_python_client(
    programs: dict[str, Path], daemon: Daemon, tmp_path: Path
) -> None:
    pictures = [("circle", "red", "white"), ("square", "blue", "yellow"), ("triangle", "green", "black")]
    paths = []
    for number, picture in enumerate(pictures):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(png(shape(*picture)))
    prompt = 'a "blue" square\n'
    done = run(programs["rank"], daemon.endpoint, prompt, *paths)
    assert done.returncode == 0, done.stderr
    with Client(daemon.endpoint) as g:
        expected = [f"{entry.score:.4f}  {paths[entry.index]}" for entry in g.rank(paths, prompt)]
    assert done.stdout.decode().splitlines() == expected
    broken = tmp_path / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:60])
    done = run(programs["rank"], daemon.endpoint, prompt, broken, *paths)
    assert done.returncode == 1
    assert done.stdout.decode().splitlines() == [*expected, f"failed  {broken}"]
    done = run(programs["rank"], daemon.endpoint, "a " * 500, paths[0])
    assert done.returncode == 1 and b"token" in done.stderr


def test_guided_steps_lower_the_loss(programs: dict[str, Path], daemon: Daemon) -> None:
    done = run(programs["step"], daemon.endpoint, "a red circle", 48, 8)
    assert done.returncode == 0, done.stderr
    losses = [float(line) for line in done.stdout.split()]
    assert len(losses) == 9 and losses[-1] < losses[0] - 0.1
    with Client(daemon.endpoint) as g:
        grey = np.full((3, 48, 48), 0.5, np.float32)
        first = g.gradient(grey, "a red circle")
        pixels = np.clip(grey - np.float32(0.02) * np.sign(first.gradient), 0, 1)
        second = g.gradient(pixels, "a red circle")
    assert losses[0] == pytest.approx(float(first.loss[0]), abs=1e-6)
    assert losses[1] == pytest.approx(float(second.loss[0]), abs=1e-5)


def test_wrong_arguments_and_absent_daemons_are_said(programs: dict[str, Path], tmp_path: Path) -> None:
    assert run(programs["rank"], "x").returncode == 64
    assert run(programs["rank"], "carrier://coop", "a", "b").returncode == 64
    picture = tmp_path / "a.png"
    picture.write_bytes(png(noise(8, 8)))
    assert b"cannot be read" in run(programs["rank"], f"ipc://{tmp_path}/s", "a", tmp_path / "b").stderr
    done = run(programs["probe"], "call", f"ipc://{tmp_path}/none", 300)
    assert done.stdout == b"2|||no daemon answers there\n", done.stderr


# JSON -----------------------------------------------------------------------------------------------

DOCUMENTS = [
    "null", "true", "[]", "{}", " [ 1 , 2.5 , -3e-2 , 0 ] ", '{"a": {"b": [1, {"c": null}]}, "d": false}',
    '"\\u00e4\\n\\t\\"\\\\\\/\\ud83d\\ude00"', '["", "ü", "\\u20ac"]', '{"": 1, "x": [[], [[]], {}]}',
    "[" * 127 + "]" * 127, "1e300", "-0.1", json.dumps({"k": list(range(200))}),
]
BROKEN = [
    "", " ", "[", "{", '"', '"\\', "[1", "[1,", "[1,]", "{1:2}", '{"a"}', '{"a":}', '{"a":1,}', "tru",
    "nul", "[1 2]", "1 2", "[" * 200 + "]" * 200, '"\x01"', "+", "]", "{]", '["a]',
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_are_read(programs: dict[str, Path], document: str) -> None:
    done = run(programs["probe"], "json", text=document.encode())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(document)


@pytest.mark.parametrize("document", BROKEN)
def test_broken_documents_are_refused(programs: dict[str, Path], document: str) -> None:
    done = run(programs["probe"], "json", text=document.encode())
    assert done.returncode == 1 and done.stderr == b"", done.stderr


def test_no_damage_makes_the_reader_go_astray(programs: dict[str, Path]) -> None:
    rng = random.Random(17)
    for _ in range(150):
        document = bytearray(rng.choice(DOCUMENTS).encode())
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(document) + 1)
            kind = rng.random()
            if kind < 0.4 and place < len(document):
                document[place] = rng.choice(b'[]{}",:\\u0ed9e+-. \xff')
            elif kind < 0.7:
                del document[place:]
            else:
                document[place:place] = rng.choice([b'"', b"\\", b"[", b"}", b"\\u12"])
        done = run(programs["probe"], "json", text=bytes(document))
        assert done.returncode in (0, 1) and done.stderr == b"", (bytes(document), done.stderr)
        try:
            json.loads(document.decode())
        except ValueError:
            continue
        assert done.returncode == 0, bytes(document)


@pytest.mark.parametrize("text", ["", "a", 'q"\\/', "line\nbreak\ttab", "ü € 😀", "\x01\x1f"])
def test_texts_are_written(programs: dict[str, Path], text: str) -> None:
    assert json.loads(run(programs["probe"], "text", text).stdout) == text


@pytest.mark.parametrize("room", range(1, 12))
def test_a_copy_ends_with_a_whole_character(programs: dict[str, Path], room: int) -> None:
    text = run(programs["probe"], "copy", room, text='"aü€😀z"'.encode()).stdout
    assert len(text) < room and "aü€😀z".startswith(text.decode())


def test_numbers_have_points_in_every_locale(programs: dict[str, Path]) -> None:
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    for locale in ["C", *[name for name in listed if name.startswith(("de_DE", "fr_FR"))]]:
        for digits in ("0.25", "-1.5e-3", "7", "0.1"):
            found = run(programs["probe"], "number", digits, LC_ALL=locale).stdout
            assert float(found) == float(digits), (locale, found)


# Replies --------------------------------------------------------------------------------------------

Answer = Callable[[dict[str, Any]], list[list[bytes]]]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[Answer], str]]:
    """A socket that answers each request's header with messages of its own."""
    context, stopped, threads = zmq.Context(), threading.Event(), []

    def start(answer: Answer) -> str:
        socket = context.socket(zmq.ROUTER)
        socket.linger = 0
        endpoint = f"ipc://{tmp_path}/{len(threads)}"
        socket.bind(endpoint)

        def work() -> None:
            while not stopped.is_set():
                if socket.poll(20):
                    client, _, header, *_ = socket.recv_multipart()
                    for message in answer(json.loads(header)):
                        socket.send_multipart([client, *message])
            socket.close()

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return endpoint

    yield start
    stopped.set()
    for thread in threads:
        thread.join()
    context.term()


GOOD = [("gradient", [1, 3, 1, 1]), ("loss", [1])]


def message(request: dict[str, Any], *frames: bytes, **fields: Any) -> list[bytes]:
    header = {"id": request["id"], "status": "ok", "outputs": [], **fields}
    return [b"GD01", json.dumps(header).encode(), *frames]


def good(request: dict[str, Any], **fields: Any) -> list[bytes]:
    outputs = [{"name": name, "datatype": "FP32", "shape": sides} for name, sides in GOOD]
    frames = [np.float32([1, 2, 3]).tobytes(), np.float32([0.5]).tobytes()]
    return message(request, *frames, outputs=outputs, **fields)


def ask(programs: dict[str, Path], endpoint: str, timeout: int = 5000) -> list[str]:
    done = run(programs["probe"], "call", endpoint, timeout)
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    return done.stdout.decode().splitlines()


def test_a_good_reply_and_the_request_before_it(programs: dict[str, Path], answering: Any) -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> list[list[bytes]]:
        seen.append(request)
        late = [b"GD01", b'{"id": "c0", "status": "ok", "outputs": []}']
        return [late, message(request, status="partial"), good(request)]

    assert ask(programs, answering(answer)) == ["0|||", "1 2 3 0.5"]
    (request,) = seen
    assert request["op"] == "gradient" and request["params"] == {"prompts": ["a"]}
    assert request["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [1, 3, 1, 1]}]
    assert 4000 < request["deadline_ms"] <= 5000


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda r: [b"GD01"], "4|||a message that is no reply of protocol GD01"),
        (lambda r: [b"GD02", b"{}"], "4|||a message that is no reply of protocol GD01"),
        (lambda r: [b"GD01", b"{"], "4|||a message that is no reply of protocol GD01"),
        (lambda r: [b"GD01", b""], "4|||a message that is no reply of protocol GD01"),
        (lambda r: message(r, status="fine"), "4|||a reply with an unknown status"),
        (lambda r: message(r, status="error"), "4|||a reply with an unknown status"),
        (lambda r: message(r, b"x"), "4|||a reply with another number of frames than it declares"),
        (lambda r: message(r), "4|||a reply without such a gradient"),
        (lambda r: message(r, b"1234", outputs=[7]), "4|||an output whose shape is not that of its frame"),
        (
            lambda r: message(r, b"12", outputs=[{"name": "x", "datatype": "FP32", "shape": [1]}]),
            "4|||an output whose shape is not that of its frame",
        ),
        (
            lambda r: message(r, b"", outputs=[{"name": "x", "datatype": "FP32", "shape": [1e15] * 8}]),
            "4|||an output whose shape is not that of its frame",
        ),
        (
            lambda r: message(r, b"", outputs=[{"name": "x", "datatype": "FP32", "shape": [1] * 9}]),
            "4|||an output whose shape is not that of its frame",
        ),
        (
            lambda r: message(
                r, status="error", error={"code": "bad_request", "message": "ä€😀", "field": "params.x"}
            ),
            "1|bad_request|params.x|ä€😀",
        ),
        (
            lambda r: [b"GD01", b'{"id":null,"status":"error","error":{"code":"internal","message":"m"}}'],
            "1|internal||m",
        ),
        (
            lambda r: message(r, items=[{"index": 0, "error": {"code": "bad_image", "message": "no"}}]),
            "1|bad_image||no",
        ),
        (
            lambda r: message(r, status="error", error={"code": "c" * 99, "message": "m" * 9999}),
            f"1|{'c' * 31}||{'m' * 511}",
        ),
    ],
)
def test_every_other_reply_is_named(programs: dict[str, Path], answering: Any, make: Any, line: str) -> None:
    assert ask(programs, answering(lambda request: [make(request)])) == [line]


def test_silence_ends_at_the_timeout_and_overload_is_asked_again(
    programs: dict[str, Path], answering: Any
) -> None:
    start = time.monotonic()
    assert ask(programs, answering(lambda request: []), 400) == ["3|||no reply within the timeout"]
    assert 0.35 < time.monotonic() - start < 5
    times: list[float] = []

    def busy(request: dict[str, Any]) -> list[list[bytes]]:
        times.append(time.monotonic())
        if len(times) < 3:
            error = {"code": "overloaded", "message": "full", "retry_after_ms": 120}
            return [message(request, status="error", error=error)]
        return [good(request)]

    assert ask(programs, answering(busy))[0] == "0|||"
    assert len(times) == 3 and min(np.diff(times)) >= 0.115
    error = {"code": "overloaded", "message": "full", "retry_after_ms": 9000}
    endpoint = answering(lambda request: [message(request, status="error", error=error)])
    assert ask(programs, endpoint, 500) == ["1|overloaded||full"]
