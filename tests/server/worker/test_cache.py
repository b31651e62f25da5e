"""What a worker keeps: bounded, the least recently used gone first, and never what a job holds."""

from __future__ import annotations

import os
import shutil
import time
from types import SimpleNamespace

import pytest

from edgelm.server.worker import package
from edgelm.server.worker.cache import Cache

SIZE = 8192
NAMES = [letter * 64 for letter in "abcd"]


@pytest.fixture
def cache(tmp_path):
    """Four files, the first used longest ago; there is room for two."""
    made = Cache(tmp_path / "cache", 2 * SIZE)
    for age, name in zip((400, 300, 200, 100), NAMES, strict=True):
        made.path(name).parent.mkdir(parents=True)
        made.path(name).write_bytes(bytes(SIZE))
        os.utime(made.path(name), (time.time() - age,) * 2)
    return made


def left(cache):
    return [name for name in NAMES if cache.path(name).exists()]


def test_what_was_not_used_for_longest_goes(cache):
    assert cache.has(NAMES[0]) and not cache.has("e" * 64)
    cache.trim(room=0)
    assert left(cache) == [NAMES[0], NAMES[3]]


def test_what_a_job_holds_stays_and_counts(cache, tmp_path):
    for name in NAMES[:2]:
        os.link(cache.path(name), tmp_path / name)
    cache.trim(room=0)
    assert left(cache) == NAMES[:2]
    (tmp_path / NAMES[0]).unlink()
    Cache(cache.folder, 0).trim(room=0)
    assert left(cache) == NAMES[1:2]


def test_what_arrives_is_left_alone_until_nobody_goes_on_with_it(cache):
    arriving, forgotten = (cache.path(NAMES[0]).with_suffix(end) for end in (".job-1.part", ".first.link"))
    for path in (arriving, forgotten):
        path.write_bytes(bytes(SIZE))
    os.utime(forgotten, (time.time() - 4000,) * 2)
    Cache(cache.folder, 0).trim(room=0)
    assert left(cache) == [] and arriving.exists() and not forgotten.exists()


def test_a_disk_that_is_full_is_emptied_as_far_as_it_must(cache, monkeypatch):
    def usage(folder):
        return SimpleNamespace(free=(len(NAMES) - len(left(cache))) * SIZE)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    Cache(cache.folder, 100 * SIZE).trim(room=3 * SIZE)
    assert left(cache) == NAMES[3:]


def test_what_another_worker_removes_just_then_is_fetched_again(cache, tmp_path):
    came = []

    def source():
        came.append(cache.path(NAMES[0]))
        if len(came) == 1:
            came[0].unlink()
        elif not came[0].exists():
            came[0].write_bytes(b"again")
        return came[0]

    package._link(source, tmp_path / "job" / "weights")
    assert (tmp_path / "job" / "weights").read_bytes() == b"again" and len(came) == 2
