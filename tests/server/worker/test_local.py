"""The local executor: how steps end, and that nothing of them is left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edgelm.errors import BadFile
from edgelm.server.worker import plain
from edgelm.server.worker.executors.base import OUT, Ended, Limits, Step
from edgelm.server.worker.executors.local import Local

MIB = 2**20


@pytest.fixture
def run(tmp_path):
    """`run("print(1)", seconds=1)`: how a program ends, its executor and its handle."""

    def make(program, until=None, writes=None, **limits):
        step = Step("m/t", (sys.executable, "-I", "-c", program), tmp_path, writes, {"PATH": os.environ["PATH"]},
                    Limits(**limits))  # fmt: skip
        executor = Local()
        handle = executor.start(step)
        deadline = time.monotonic() + 20
        while (ended := executor.poll(handle)) is None and time.monotonic() < deadline:
            if until and until():
                executor.cancel(handle)
            time.sleep(0.02)
        return ended, executor.logs(handle)

    return make


def gone(pid):
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_what_a_step_says_and_how_it_ends(run, tmp_path):
    assert run("import sys; print('out'); print('log', file=sys.stderr); sys.exit(3)") == (Ended("exit", 3), "log\n")
    assert (tmp_path / OUT).read_text() == "out\n"
    assert run("import os; os.kill(os.getpid(), 9)")[0] == Ended("exit", -9)


def test_its_environment_is_what_was_given_alone(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    run("import os; print(sorted(os.environ))")
    assert "SECRET" not in (tmp_path / OUT).read_text()


@pytest.mark.parametrize(("program", "limits", "reason"), [
    ("import time; time.sleep(60)", {"seconds": 0.3}, "time"),
    ("x = bytearray(200 << 20); import time; time.sleep(60)", {"memory": 100 * MIB}, "memory"),
    ("import os, time\nfor _ in range(3): os.fork()\ntime.sleep(60)", {"processes": 5}, "processes"),
    ("while True: print('x' * 1000)", {"disk": MIB}, "disk"),
])  # fmt: skip
def test_beyond_a_limit_it_is_ended(run, program, limits, reason):
    assert run(program, **limits)[0] == Ended(reason)


def test_what_it_writes_counts(run, tmp_path):
    writes = tmp_path / "made"
    writes.mkdir()
    program = f"import time; open({str(writes / 'x')!r}, 'wb').write(bytes({2 * MIB})); time.sleep(60)"
    assert run(program, writes=writes, disk=MIB)[0] == Ended("disk")


def test_nothing_of_it_is_left(run, tmp_path):
    told = tmp_path / "pids"
    program = f"""
import os, time
for _ in range(2):
    if os.fork() == 0:
        break
if os.fork() == 0:
    os.setsid()
with open({str(told)!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
time.sleep(60)
"""
    ended, _ = run(program, until=lambda: told.exists() and len(told.read_text().split()) == 6)
    assert ended == Ended("cancelled")
    assert all(gone(pid) for pid in told.read_text().split())


def test_a_child_that_outlives_its_parent_is_ended(run, tmp_path):
    told = tmp_path / "pid"
    program = f"""
import os, time
if os.fork() == 0:
    open({str(told)!r}, "w").write(str(os.getpid()))
    time.sleep(60)
while not os.path.exists({str(told)!r}): time.sleep(0.01)
"""
    assert run(program)[0] == Ended("exit", 0)
    assert gone(told.read_text())


def test_what_a_box_wrote_is_read_only_where_it_is_plain(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/a").write_bytes(b"0123456789")
    (tmp_path / "secret").write_text("s")
    (tmp_path / "log/link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder").symlink_to(tmp_path / "log")
    os.mkfifo(tmp_path / "pipe")
    assert plain.read(tmp_path, "log/a", 3, 4) == b"456"
    assert plain.read(tmp_path, "log/none", 3) == plain.read(tmp_path, "none/a", 3) == b""
    for name in ("log/link", "folder/a", "pipe", "log"):
        with pytest.raises(BadFile):
            plain.read(tmp_path, name, 10)


def test_a_step_that_cannot_be_started_leaves_the_processors_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the lock of a machine's processors lies

    def refused(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    local = Local()
    step = Step("m/t", ("true",), tmp_path, None, {"PATH": os.environ["PATH"]}, use="alone")
    with monkeypatch.context() as full, pytest.raises(BlockingIOError):
        full.setattr(subprocess, "Popen", refused)
        local.start(step)
    handle = local.start(step)
    deadline = time.monotonic() + 10
    while (ended := local.poll(handle)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ended == Ended("exit", 0)
