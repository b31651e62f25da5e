"""Control groups: what is written into the tree, on one that is made of plain files; the kernel itself is not asked."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from edgelm.errors import Unsupported
from edgelm.server.worker.executors.base import Ended, Limits, Step
from edgelm.server.worker.executors.groups import Groups, delegated
from edgelm.server.worker.executors.local import HELD, WATCHED, Local

LIMITS = Limits(seconds=20, memory=256 << 20, processes=50)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """`tree()`: the groups of a tree in which `unit` is this process's; its folder is `tree.unit`."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    unit = root / "system.slice" / "unit"
    unit.mkdir(parents=True)
    for folder in (root, unit):
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    own.write_text("0::/system.slice/unit\n")
    monkeypatch.setattr(Path, "rmdir", lambda path: shutil.rmtree(path))  # files of the kernel go with their folder

    def make():
        return delegated(root, own)

    make.unit, make.root, make.own = unit, root, own
    return make


@pytest.fixture
def run(tree, tmp_path):
    """`run(program, meanwhile)`: how a step ends whose group `meanwhile(group)` plays the kernel in, and the group."""

    def make(program, meanwhile=lambda group: None):
        local = Local()
        local.groups = tree()
        handle = local.start(Step("m/t", (sys.executable, "-I", "-c", program), tmp_path, None,
                                  {"PATH": os.environ["PATH"]}, LIMITS))  # fmt: skip
        (group,) = tree.unit.glob("step-*")
        written = {}
        deadline = time.monotonic() + 20
        while (ended := local.poll(handle)) is None and time.monotonic() < deadline:
            written = {path.name: path.read_text() for path in group.iterdir()}
            meanwhile(group)
            time.sleep(0.02)
        return ended, group, written

    return make


def test_the_worker_moves_aside_and_hands_out_controllers(tree):
    assert tree().path == tree.unit
    assert (tree.unit / "worker" / "cgroup.procs").read_text() == str(os.getpid())
    assert (tree.unit / "cgroup.subtree_control").read_text() == "+memory +pids"
    tree.own.write_text("0::/system.slice/unit/worker\n")  # where it is now
    assert tree().path == tree.unit


def test_a_step_is_held_and_nothing_is_left_of_its_group(run):
    ended, group, written = run("import time; time.sleep(0.3); raise SystemExit(3)")
    assert ended == Ended("exit", 3) and not group.exists()
    assert int(written.pop("cgroup.procs")) > 1
    assert written == {"memory.max": str(256 << 20), "memory.oom.group": "1", "memory.swap.max": "0",
                       "pids.max": "800"}  # fmt: skip


@pytest.mark.parametrize(("file", "said", "reason"), [
    ("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n", "memory"), ("pids.events", "max 1\n", "processes"),
])  # fmt: skip
def test_what_the_kernel_had_to_hold_is_why_it_ended(run, file, said, reason):
    ended, group, _ = run("import time; time.sleep(60)", lambda group: (group / file).write_text(said))
    assert ended == Ended(reason) and not group.exists()


def test_what_reached_no_limit_of_its_own_was_ended_by_others(run):
    ended, _, _ = run("import os, time; time.sleep(0.2); os.kill(os.getpid(), 9)",
                      lambda group: (group / "memory.events").write_text("max 0\noom 0\noom_kill 1\n"))  # fmt: skip
    assert ended == Ended("exit", -9)


def test_what_cannot_be_put_into_its_group_does_not_begin(tree, tmp_path, monkeypatch):
    make, local = Groups.group, Local()

    def broken(groups, limits):
        group = make(groups, limits)
        (group.path / "cgroup.procs").mkdir()  # nothing can be written to it
        return group

    monkeypatch.setattr(Groups, "group", broken)
    local.groups = tree()
    handle = local.start(Step("m/t", ("touch", str(tmp_path / "began")), tmp_path, None, {"PATH": os.environ["PATH"]}))
    while (ended := local.poll(handle)) is None:
        time.sleep(0.02)
    assert ended == Ended("exit", -9) and not (tmp_path / "began").exists()


def test_groups_of_workers_that_are_gone_are_removed(tree):
    gone, mine = tree.unit / f"step-{2**22 + 1}-1", tree.unit / f"step-{os.getpid()}-99"
    for group in (gone, mine):
        group.mkdir()
    tree()
    assert not gone.exists() and mine.exists()


@pytest.mark.parametrize("change", [
    lambda tree: (tree.root / "cgroup.controllers").unlink(), lambda tree: tree.own.write_text("4:memory:/x\n"),
    lambda tree: (tree.unit / "cgroup.controllers").write_text("cpu pids\n"),
    lambda tree: tree.own.write_text("0::/\n"), lambda tree: (tree.unit / "worker").write_text("no folder"),
])  # fmt: skip
def test_without_a_tree_of_its_own_there_are_none(tree, change):
    change(tree)
    with pytest.raises(Unsupported):
        tree()


def test_what_holds_is_said(tree):
    local = Local()
    assert local.capabilities()["cgroup"] == WATCHED
    local.groups = tree()
    assert local.capabilities()["cgroup"] == HELD
