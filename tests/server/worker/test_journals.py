"""Journals grow at their end alone, by whole lines, or not at all."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

from edgelm.server import journals
from edgelm.server.journals import Journals
from edgelm.server.refusals import Conflict, Refused, TooMuch
from edgelm.server.storage import DiskFull


def test_lines_are_added_at_the_end_and_read_from_anywhere(tmp_path):
    kept = Journals(tmp_path)
    assert kept.append("j", "phi-2", 0, b"one\n") == 4
    assert kept.append("j", "phi-2", 4, b"two\nthree\n") == 14
    assert kept.append("j", "qwen-7b", 0, b"other\n") == 6
    assert kept.read("j", "phi-2", 4, 3) == b"two"
    assert (kept.size("j", "phi-2"), kept.size("k", "phi-2"), kept.read("k", "phi-2", 0, 9)) == (14, 0, b"")


def test_what_does_not_belong_at_the_end_is_refused(tmp_path, monkeypatch):
    kept = Journals(tmp_path)
    kept.append("j", "m", 0, b"one\n")
    for offset, lines, why in (
        (0, b"two\n", Conflict),
        (9, b"x\n", Conflict),
        (4, b"torn", Refused),
        (4, b"", Refused),
    ):
        with pytest.raises(why):
            kept.append("j", "m", offset, lines)
    monkeypatch.setattr(journals, "MOST", 6)
    assert kept.append("j", "m", 0, b"one\n") == 4  # sent again, it adds nothing
    with pytest.raises(TooMuch):
        kept.append("j", "m", 4, b"two\n")
    assert kept.read("j", "m", 0, 99) == b"one\n"


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    kept = Journals(tmp_path)
    kept.append("j", "m", 0, b"one\n")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(DiskFull):
        patched.setattr(os, "fdatasync", full)
        kept.append("j", "m", 4, b"two\n")
    assert kept.append("j", "m", 4, b"two\n") == 8
