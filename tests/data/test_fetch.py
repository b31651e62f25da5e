"""Fetching: the pinned file or nothing at all."""

import subprocess
import sys

import httpx
import pytest

from edgelm.data import fetch as module
from edgelm.data.fetch import fetch
from edgelm.data.sources import Source
from edgelm.errors import BadFile, Offline
from edgelm.files import sha256_bytes

CONTENT = b"rows" * 1000


def _source(url="https://example.org/x", content=CONTENT):
    return Source("set/x", None, "MIT", sha256_bytes(content), url)


def _answering(monkeypatch, handler):
    """Let requests be answered by `handler` instead of the network."""
    client = httpx.Client(transport=httpx.MockTransport(handler))
    monkeypatch.setattr(httpx, "stream", lambda *args, **options: client.stream(*args, follow_redirects=True))


def test_a_file_of_the_web_is_streamed_and_checked(tmp_path, monkeypatch):
    _answering(monkeypatch, lambda request: httpx.Response(200, content=CONTENT))
    fetch(_source(), tmp_path / "set" / "x")
    assert (tmp_path / "set" / "x").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["x"]


def _broken(request):
    raise httpx.ConnectError("no route")


@pytest.mark.parametrize(("handler", "error", "why"), [
    (lambda request: httpx.Response(404), Offline, "404"), (_broken, Offline, "no route"),
    (lambda request: httpx.Response(200, content=b"<html>"), BadFile, "sha256"),
])  # fmt: skip
def test_anything_else_leaves_nothing_and_says_what_to_do(tmp_path, monkeypatch, handler, error, why):
    _answering(monkeypatch, handler)
    with pytest.raises(error) as caught:
        fetch(_source(), tmp_path / "set" / "x")
    assert why in caught.value.why and "https://example.org/x" in caught.value.mend
    assert list((tmp_path / "set").iterdir()) == []


def _pip(monkeypatch, run):
    monkeypatch.setattr(module.subprocess, "run", run)


def test_a_file_of_the_package_index_comes_through_pip(tmp_path, monkeypatch):
    def run(command, **options):
        assert command[0] == sys.executable and command[-1] == "thing==1"
        (tmp_path / command[command.index("--dest") + 1] / "x").write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    _pip(monkeypatch, run)
    fetch(_source("pypi:thing==1"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize(("code", "said", "why"), [
    (1, "warning\nERROR: no such version", "no such version"), (0, "", "another file"), (None, "", "more than"),
])  # fmt: skip
def test_a_pip_that_fails_brings_another_file_or_hangs_is_no_fault_of_ours(tmp_path, monkeypatch, code, said, why):
    def run(command, **options):
        if code is None:
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, code, "", said)

    _pip(monkeypatch, run)
    with pytest.raises(Offline) as caught:
        fetch(_source("pypi:thing==1"), tmp_path / "x")
    assert why in caught.value.why and "thing==1" in caught.value.mend
    assert list(tmp_path.iterdir()) == []
