from __future__ import annotations

import os
import subprocess
import sys
import time

from suite.machine import OtherWork, describe, ticks_of, threads

SPIN = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"


def test_ticks_are_the_processors_time() -> None:
    before, start = ticks_of(os.getpid()), time.process_time()
    while time.process_time() - start < 0.3:
        pass
    found = (ticks_of(os.getpid()) - before) / os.sysconf("SC_CLK_TCK")
    assert 0.25 <= found <= 0.6
    assert ticks_of(2**30) == 0


def test_only_processes_that_do_not_take_part_are_other_work() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN]) as process:
        try:
            known, unknown = OtherWork([process.pid]), OtherWork([])
            time.sleep(1)
            mine, others = known.share(), unknown.share()
        finally:
            process.kill()
    # One spinning process has its share of the processors only when nobody else wants them all.
    assert others - mine > 0.02


def test_the_machine_is_described() -> None:
    found = describe()
    assert found["processors allowed"] == str(threads()) and threads() >= 1
    assert all(found.values())
