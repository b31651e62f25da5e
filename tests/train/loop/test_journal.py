"""The journal: a line an update, whatever was torn; and ending when asked."""

from __future__ import annotations

import json
import os
import signal
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from edgelm.errors import NoSpace
from edgelm.train.loop.journal import Journal, on_request, read_metrics


def write(path: Path, after: int, steps: range) -> None:
    with Journal(path).after(after) as log:
        for step in steps:
            log({"step": step, "loss": 1 / step})


def steps_in(path: Path) -> list[int]:
    return [metrics["step"] for metrics in read_metrics(path)]


def test_lines_are_there_at_once_and_in_order(tmp_path):
    path = tmp_path / "below" / "metrics.jsonl"
    with Journal(path).after(0) as log:
        for step in (1, 2):
            log({"step": step, "held": {"c4": {"loss": 2.5}}})
            assert steps_in(path)[-1] == step
    assert json.loads(path.read_text().splitlines()[1]) == {"step": 2, "held": {"c4": {"loss": 2.5}}}


@pytest.mark.parametrize("torn", [b"", b'{"step": 6, "lo', b'{"step": 6}', b"\0\0\0\n", b"[]\n", b'{"loss": 1}\n'])
def test_lines_that_will_be_made_again_and_what_a_kill_tore_are_cut_off(torn, tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, 0, range(1, 6))
    path.write_bytes(path.read_bytes() + torn)
    assert steps_in(path) == [1, 2, 3, 4, 5]
    write(path, 3, range(4, 8))
    assert steps_in(path) == [1, 2, 3, 4, 5, 6, 7]
    assert all(a + 1 == b for a, b in pairwise(steps_in(path)))
    assert len(path.read_bytes().splitlines()) == 7


def test_lines_are_on_the_disk_before_a_state_is(tmp_path, monkeypatch):
    journal, synced = Journal(tmp_path / "metrics.jsonl"), []
    monkeypatch.setattr(os, "fsync", synced.append)
    journal.sync()  # nothing is open yet
    with journal.after(0) as log:
        log({"step": 1})
        journal.sync()
    journal.sync()
    assert len(synced) == 1


def test_a_process_that_does_not_write_leaves_the_file_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, 0, range(1, 4))
    with Journal(path, writes=False).after(0) as log:
        log({"step": 1})
    assert steps_in(path) == [1, 2, 3]
    assert read_metrics(tmp_path / "none") == []


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr(os, "truncate", lambda path, length: None)
    with pytest.raises(NoSpace, match="no space left"), Journal(tmp_path / "metrics.jsonl").after(0) as log:
        log({"step": 1})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_end_is_heard_once(number):
    heard, before = [], signal.getsignal(number)
    signal.signal(number, lambda *_: heard.append("as before"))
    try:
        with on_request(lambda: heard.append("asked")):
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)
    assert heard == ["asked", "as before", "as before"]


def test_in_another_thread_signals_stay_what_they_are():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with on_request(lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
