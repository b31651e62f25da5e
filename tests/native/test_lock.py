"""One process at a time, also when the one that holds the lock is killed while its child goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from edgelm.native.lock import alone

HOLDER = """
import subprocess, sys
from pathlib import Path
from edgelm.native.lock import alone
with alone(Path(sys.argv[1]), lambda: print("waiting", flush=True)) as lock:
    child = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=(lock,))
    print("held", flush=True)
    child.wait()
"""


def hold(target: Path, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLDER, str(target), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "made"
    with alone(target, lambda: None):
        other = hold(target, 0)
        assert said(other) == "waiting"
        assert other.poll() is None
    with other:
        assert said(other) == "held"
    assert not target.exists()


def test_a_child_keeps_the_lock_of_a_killed_holder(tmp_path: Path) -> None:
    target, waited = tmp_path / "made", []
    with hold(target, 1.5) as first:
        assert said(first) == "held"
        first.kill()
        first.wait()
        start = time.monotonic()
        with alone(target, lambda: waited.append(True)):
            assert time.monotonic() - start > 0.3
    assert waited == [True]
