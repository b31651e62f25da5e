"""What a box writes is taken once and only if it answers; the server's journal alone is believed."""

from __future__ import annotations

import json
import zlib

import pytest

pytest.importorskip("httpx", reason="the extra `server` is not installed")

from edgelm.errors import BadFile
from edgelm.files import JsonLog
from edgelm.server.worker.calls import Job
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.journal import LOG, LONGEST, Journal, answers_of
from edgelm.server.worker.steps import Steps

ANSWER = {"text": "t", "tokens": 1, "prompt_tokens": 1, "finish": "stop"}
JOB = Job("j", 1, "evaluate", 60, 1 << 20, "s", "t", "r", "m")


class Server:
    """The calls of a journal."""

    def __init__(self):
        self.data = b""

    def journal(self, job, name):
        return self.data

    def add(self, job, name, offset, lines):
        assert offset == len(self.data) and len(lines) <= job.part_bytes
        self.data += lines
        return len(self.data)


class Bench:
    def __init__(self):
        self.calls = Server()

    def hold(self):
        pass


@pytest.fixture
def steps(tmp_path):
    bench = Bench()
    return Steps(bench, JOB, bench, tmp_path)


def line(key, **fields):
    return JsonLog.line({**ANSWER, "key": key, **fields})


def write(folder, *lines):
    (folder / LOG).write_bytes(b"".join(lines))


def raw(body):
    return b"%08x %s\n" % (zlib.crc32(body), body)


def test_whole_answers_are_taken_once(steps, tmp_path):
    journal = Journal(steps, "base")
    write(tmp_path, line("a"), line("b")[:-5])
    taken = journal.take(tmp_path, "abc", 0)
    assert steps.bench.calls.data == line("a") and taken == len(line("a"))
    write(tmp_path, line("a"), line("b"), line("a", text="other"), line("c"))
    taken = journal.take(tmp_path, "abc", taken)
    assert steps.bench.calls.data == line("a") + line("b") + line("c")
    assert journal.take(tmp_path, "abc", taken) == taken
    assert Journal(steps, "base").texts == {"a": "t", "b": "t", "c": "t"}


def test_what_is_forged_afterwards_changes_nothing(steps, tmp_path):
    journal = Journal(steps, "base")
    write(tmp_path, line("a"))
    taken = journal.take(tmp_path, "ab", 0)
    write(tmp_path, line("a", text="f"), line("b"))
    journal.take(tmp_path, "ab", taken)
    (tmp_path / LOG).unlink()
    assert Journal(steps, "base").texts == {"a": "t", "b": "t"}
    assert steps.bench.calls.data == line("a") + line("b")


@pytest.mark.parametrize("lines", [
    b"no answer\n", line("b")[9:], line("z"), line("b", mark=1), line("b", finish="never"), line("b", tokens=-1),
    line("b", tokens=10**30), line("b", note="n" * 501), b"\n", b"\x00\n", line("b").replace(b"t", b"u"),
    raw(b'{"finish":"stop","key":"b","prompt_tokens":1,"text":"\\ud800","tokens":1}'),
    raw(json.dumps({**ANSWER, "key": "b", "text": "x" * LONGEST}).encode()), b"x" * (LONGEST + 1),
])  # fmt: skip
def test_what_is_no_answer_is_the_participant_s_fault(steps, tmp_path, lines):
    journal = Journal(steps, "base")
    write(tmp_path, line("a"), lines)
    with pytest.raises(Fault) as caught:
        while journal.take(tmp_path, "ab", 0):
            pass
    assert caught.value.fault == "participant"
    assert steps.bench.calls.data in (b"", line("a"))


def test_what_is_compared_has_to_be_answers_too(tmp_path):
    write(tmp_path, line("a"))
    assert answers_of(tmp_path)["a"].text == "t"
    for row in (b"{}", b'{"key":1}'):
        write(tmp_path, line("a"), raw(row))
        with pytest.raises(BadFile):
            answers_of(tmp_path)


def test_a_link_in_place_of_answers_is_not_followed(steps, tmp_path):
    write(tmp_path, line("a"))
    (tmp_path / "writes").mkdir()
    (tmp_path / "writes" / LOG).symlink_to(tmp_path / LOG)
    with pytest.raises(Fault, match="no plain file"):
        Journal(steps, "base").take(tmp_path / "writes", "a", 0)


def test_more_than_is_kept_is_the_participant_s_fault(steps, tmp_path, monkeypatch):
    monkeypatch.setattr("edgelm.server.worker.journal.MOST", len(line("a")))
    write(tmp_path, line("a"), line("b"))
    with pytest.raises(Fault, match="all answers have more") as caught:
        Journal(steps, "base").take(tmp_path, "ab", 0)
    assert caught.value.fault == "participant"


def test_many_answers_are_sent_in_parts(steps, tmp_path):
    keys = [f"k{n}" for n in range(30)]
    write(tmp_path, *(line(key, text="x" * 100_000) for key in keys))
    journal = Journal(steps, "base")
    taken = 0
    while (more := journal.take(tmp_path, keys, taken)) > taken:
        taken = more
    assert list(journal.texts) == keys
