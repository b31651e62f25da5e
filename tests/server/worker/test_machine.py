"""The folders of jobs on a worker's machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgelm.server.worker import machine, plain


def test_what_a_killed_worker_left_is_kept_as_long_as_its_job_may_go_on(tmp_path: Path) -> None:
    for name in ("held", "just-now", "long-ago"):
        with machine.folder_of(tmp_path, (name,)) as folder:
            (folder / "log").write_bytes(b"answers")
    hours_ago = time.time() - 2 * 3600
    for name in ("held", "long-ago"):
        for path in (tmp_path / name / "log", tmp_path / name):
            os.utime(path, (hours_ago, hours_ago))
    with machine.folder_of(tmp_path, ("held",)):
        assert [path.name for path in machine.left_behind(tmp_path)] == ["long-ago"]


@pytest.mark.parametrize(("name", "depth"), [("d", 1500), ("d" * 200, 100)])
def test_however_deep_a_model_dug_it_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, depth: int
) -> None:
    with machine.folder_of(tmp_path, ("dug",)) as folder:
        at = os.open(folder, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=at)
            inner = os.open(name, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = inner
        os.close(at)
    try:
        assert list(machine.left_behind(tmp_path)) == []  # it was just now
        monkeypatch.setattr(machine, "_KEPT", -1.0)
        assert list(machine.left_behind(tmp_path)) == [folder]
    finally:  # Python itself cannot remove it
        plain.remove(folder)
    assert not folder.exists()
