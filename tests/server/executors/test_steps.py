"""Steps on real clusters: how they end, within their limits, and that nothing of them is left on a node."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm.errors import BadOption, EdgelmError, Unsupported
from edgelm.server.worker.executors.base import OUT, Ended, Limits, Step
from edgelm.server.worker.executors.find import find_executor
from edgelm.server.worker.executors.processors import take

TREE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(100)
"""
BEATS = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
while True:
    with open(sys.argv[1], "a") as file:
        file.write("x")
    time.sleep(0.05)
"""
WORKER = """
import sys, time
from pathlib import Path
from edgelm.server.worker.executors.base import Step
from edgelm.server.worker.executors.find import find_executor
executor = find_executor(sys.argv[1])
folder = Path(sys.argv[2])
handle = executor.start(Step("m/t", tuple(sys.argv[3:]), folder, use="beside"))
while executor.poll(handle) is None:
    time.sleep(0.1)
"""


@pytest.fixture
def a_step(tmp_path):
    """`a_step("print(1)", use="alone", seconds=1)`."""

    def make(program, *words, use="beside", **limits):
        command = (sys.executable, "-I", "-S", "-c", program, *map(str, words))
        return Step("m/t", command, tmp_path, None, {"PATH": os.environ["PATH"]}, Limits(**limits), use)

    return make


@pytest.fixture
def boxed(tmp_path):
    """The words of a program that goes on, with a child, in a box that ends with its parent; `beats` grows with it."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    box = ("bwrap", "--unshare-pid", "--die-with-parent", "--dev-bind", "/", "/", "--proc", "/proc")
    return (*box, sys.executable, "-I", "-S", "-c", BEATS, str(tmp_path / "beats"))


def beats(tmp_path):
    """Whether the program goes on."""
    path = tmp_path / "beats"
    before = path.stat().st_size if path.exists() else 0
    time.sleep(0.2)
    return path.exists() and path.stat().st_size > before


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def end(executor, step):
    handle = executor.start(step)
    return until(lambda: executor.poll(handle)), executor.logs(handle)


def pids(tmp_path):
    """Of the two processes of `TREE`, once they run."""
    told = tmp_path / "pids"
    return until(lambda: told.exists() and len(told.read_text().split()) == 2 and told.read_text().split())


def gone(found):
    """Whether processes have ended."""

    def ended(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    return all(map(ended, found))


def test_a_step_says_how_it_ends_and_has_its_own_environment_alone(executor, a_step, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s")
    program = "import os, sys; print(sorted(os.environ)); print('log', file=sys.stderr); sys.exit(3)"
    assert end(executor, a_step(program)) == (Ended("exit", 3), "log\n")
    assert "SECRET" not in (tmp_path / OUT).read_text() and "SLURM" not in (tmp_path / OUT).read_text()
    assert end(executor, a_step("import os; os.kill(os.getpid(), 11)"))[0] == Ended("exit", -11)


@pytest.mark.parametrize(("program", "limits", "reason"), [
    ("import time; time.sleep(60)", {"seconds": 0.3}, "time"),
    ("x = bytearray(200 << 20); import time; time.sleep(60)", {"memory": 100 << 20}, "memory"),
])  # fmt: skip
def test_beyond_a_limit_a_step_is_ended_on_its_node(executor, a_step, program, limits, reason):
    assert end(executor, a_step(program, **limits))[0] == Ended(reason)


def test_what_is_cancelled_leaves_nothing(executor, a_step, tmp_path):
    handle = executor.start(a_step(TREE, tmp_path / "pids"))
    found = pids(tmp_path)
    assert executor.poll(handle) is None and not gone(found)
    executor.cancel(handle)
    assert gone(found) and executor.poll(handle) == Ended("cancelled")


def test_a_killed_worker_s_step_is_ended(spec, boxed, tmp_path):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, spec, tmp_path, *boxed])
    until(lambda: beats(tmp_path))
    worker.kill()
    worker.wait()
    until(lambda: not beats(tmp_path), 10)


def test_a_step_waits_for_a_node_that_it_has_alone(executor, a_step, tmp_path, monkeypatch):
    other = take(alone=False)
    handle = executor.start(a_step(f"open({str(tmp_path / 'begun')!r}, 'w')", use="alone"))
    until(lambda: list(tmp_path.glob("order-*.alive")))
    time.sleep(0.2)
    assert executor.poll(handle) is None
    assert not (tmp_path / "begun").exists()
    other.close()
    assert until(lambda: executor.poll(handle)) == Ended("exit", 0)
    assert (tmp_path / "begun").exists()


def test_what_hardly_uses_a_machine_runs_here(executor, a_step, tmp_path):
    assert end(executor, a_step("import os; print(os.getppid())", use="hardly"))[0] == Ended("exit", 0)
    assert int((tmp_path / OUT).read_text()) == os.getpid()


def test_a_step_that_is_lost_with_its_node_is_known(executor, a_step, boxed, tmp_path):
    """The program that watches a step on its node is killed, as with all of the node."""
    handle = executor.start(replace(a_step(""), words=boxed))
    until(lambda: beats(tmp_path))
    os.kill(parent_of(boxed), signal.SIGKILL)
    with pytest.raises(EdgelmError, match="lost with its node"):
        until(lambda: executor.poll(handle))
    assert not beats(tmp_path)


def parent_of(words):
    """The number of the process that started a command."""
    wanted = "\0".join(words).encode() + b"\0"
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == wanted:
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return next(parent for parent in found.values() if parent not in found)


@pytest.mark.slow
def test_a_whole_node_of_ray_is_lost(ray, a_step, boxed, tmp_path):
    executor = find_executor(f"ray:address={ray.address},cpus=32")
    node = ray.add_node(num_cpus=32)  # the only one that has so many
    handle = executor.start(replace(a_step(""), words=boxed))
    until(lambda: beats(tmp_path))
    ray.remove_node(node, allow_graceful=False)
    with pytest.raises(EdgelmError, match="lost with its node"):
        until(lambda: executor.poll(handle), 60)
    assert not beats(tmp_path)


def test_a_job_of_slurm_that_another_cancels_was_ended_from_outside(slurm, a_step, tmp_path):
    executor = find_executor("slurm")
    handle = executor.start(a_step(TREE, tmp_path / "pids"))
    found = pids(tmp_path)
    subprocess.run(["scancel", handle], check=True)
    assert until(lambda: executor.poll(handle)) == Ended("cancelled")
    assert gone(found)


def test_what_waits_is_taken_from_the_queue(slurm, a_step):
    executor = find_executor("slurm:cpus=8")
    first, second = executor.start(a_step("import time; time.sleep(60)")), executor.start(a_step("print()"))
    executor.cancel(second)
    executor.cancel(first)
    assert executor.poll(second) == executor.poll(first) == Ended("cancelled")


def test_where_a_step_ended_badly_its_box_is_tried(executor, a_step):
    for trial, well in ((("true",), True), (("false",), False), (("/no/such",), False), ((), True)):
        ended, _ = end(executor, replace(a_step("raise SystemExit(3)"), trial=trial))
        assert ended == Ended("exit", 3, well)


def test_what_is_not_there_is_said_with_its_mend(monkeypatch, a_step, slurm):
    with pytest.raises(EdgelmError, match="does not take a step"):
        find_executor("slurm:partition=none").start(a_step("print()"))
    with pytest.raises(BadOption):
        find_executor("slurm:colour=red")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unsupported, match="sbatch"):
        find_executor("slurm")


def test_no_cluster_of_ray_is_said_with_its_mend():
    pytest.importorskip("ray", reason="Ray is not installed (extra: ray)")
    with pytest.raises(Unsupported, match=r"there is no Ray cluster at 127\.0\.0\.1:1"):
        find_executor("ray:address=127.0.0.1:1")


def test_a_worker_without_slurm_s_commands_ends_with_the_mend(tmp_path):
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    words = (Path(sys.executable).parent / "edgelm", "worker", "--server", "http://127.0.0.1:1", "--executor", "slurm",
             "--key-file", tmp_path / "key", "--folder", tmp_path / "w", "--data", tmp_path)  # fmt: skip
    env = {**os.environ, "PATH": "/nowhere"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "sbatch" in done.stderr and "slurm-client" in done.stderr
