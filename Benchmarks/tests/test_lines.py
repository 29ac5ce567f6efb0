from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from suite.lines import LineProcess
from suite.rounds import Failed

Start = Callable[..., LineProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process whose program is given; ended afterwards."""
    running: list[LineProcess] = []

    def begin(program: str, start_timeout: float = 60) -> LineProcess:
        path = tmp_path / "program.py"
        path.write_text("import json, sys, time\n" + textwrap.dedent(program))
        process = LineProcess("p", [sys.executable, str(path)], tmp_path / "logs" / "p.log",
                              start_timeout=start_timeout)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.close()


READY = 'print(json.dumps({"ready": True, "threads": 2}), flush=True)\n'
ECHO = READY + """
for line in sys.stdin:
    work, batch = line.split()
    print(json.dumps({"work": work, "batch": int(batch), "seconds": 1e-6}), flush=True)
"""


def test_a_line_asks_and_a_line_answers(start: Start) -> None:
    process = start(ECHO)
    assert process.ready["threads"] == 2
    assert process.measure("image", 8) == 1e-6
    assert process.measure("text", 1) == 1e-6
    assert process.memory()["VmRSS"] > 2**20


def test_between_measurements_it_does_not_run(start: Start) -> None:
    process = start(READY + """
import threading
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
for line in sys.stdin:
    print(json.dumps({"work": "image", "batch": 1, "seconds": 1e-6}), flush=True)
""")
    process.measure("image", 1)

    def ticks() -> int:
        return sum(map(int, Path(f"/proc/{process.process.pid}/stat").read_text().split()[13:15]))

    time.sleep(0.05)  # a stop takes effect when the process is next scheduled
    before = ticks()
    time.sleep(0.2)
    assert ticks() - before <= 1
    assert process.measure("image", 1) == 1e-6


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text("import json, sys\n" + ECHO)
    (tmp_path / "parent.py").write_text(textwrap.dedent(f"""
        import os, pathlib, signal, sys
        sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
        from suite.lines import LineProcess
        folder = pathlib.Path({str(tmp_path)!r})
        child = LineProcess("p", [sys.executable, str(folder / "child.py")], folder / "log")
        print(child.process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """))
    done = subprocess.run([sys.executable, str(tmp_path / "parent.py")], capture_output=True,
                          text=True, timeout=60, check=False)
    child = Path(f"/proc/{int(done.stdout)}/stat")
    end = time.monotonic() + 10
    while time.monotonic() < end and _runs(child):
        time.sleep(0.01)
    assert not _runs(child)


def _runs(stat: Path) -> bool:
    """Whether a process is there and not a zombie that nobody has waited for."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit(64)", "ended with status 64"),
        ("sys.stderr.write('Error: unknown command\\nSee --help\\n'); sys.exit(64)",
         "ended with status 64: Error: unknown command"),
        ("print('hello', flush=True)", "expected a JSON line, found b'hello'"),
        ("print('[1]', flush=True)", "expected a JSON object"),
        ('print(\'{"ready": 1}\', flush=True); time.sleep(9)', 'expected a line with "ready": true'),
        ('print(\'{"error": "no such file"}\', flush=True)', "no such file"),
    ],
)
def test_a_process_that_does_not_start_says_why(start: Start, program: str, reason: str) -> None:
    with pytest.raises(Failed) as failure:
        start(program)
    assert reason in str(failure.value)


def test_silence_ends_it(start: Start) -> None:
    with pytest.raises(Failed, match=r"no answer in 0.2 s"):
        start("time.sleep(60)", start_timeout=0.2)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="/none: No such file"):
        LineProcess("p", [str(tmp_path / "none")], tmp_path / "log")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"error": "int8 does no gradients"}', "int8 does no gradients"),
        ('{"work": "image", "batch": 2, "seconds": 1}', "asked for image 1, answered"),
        ('{"work": "image", "batch": 1, "seconds": 60}', "expected seconds in 0…"),
        ('{"work": "image", "batch": 1, "seconds": 0}', "expected seconds in 0…"),
        ('{"work": "image", "batch": 1, "seconds": "1"}', "found '1'"),
        ('{"work": "image", "batch": 1}', "found None"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(start: Start, answer: str, reason: str) -> None:
    process = start(READY + f"for line in sys.stdin:\n    print({answer!r}, flush=True)\n")
    with pytest.raises(Failed) as failure:
        process.measure("image", 1)
    assert reason in str(failure.value)


def test_an_error_does_not_end_it(start: Start) -> None:
    process = start(READY + """
for line in sys.stdin:
    work, batch = line.split()
    answer = {"work": work, "batch": 1, "seconds": 1e-6} if work == "image" else {"error": "no"}
    print(json.dumps(answer), flush=True)
""")
    with pytest.raises(Failed, match="^no$"):
        process.measure("gradient", 1)
    assert process.measure("image", 1) == 1e-6


def test_one_that_ends_meanwhile_is_noticed(start: Start) -> None:
    process = start(READY + "sys.stdin.readline(); sys.exit(3)")
    with pytest.raises(Failed, match="ended with status 3"):
        process.measure("image", 1)
    with pytest.raises(Failed, match="ended with status 3"):
        process.measure("image", 1)
