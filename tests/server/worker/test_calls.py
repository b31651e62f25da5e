"""A worker's calls over a bad line: what broke off goes on, and what was lost is asked for again."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from edgelm.errors import BadOption
from edgelm.server.api.jobs import Doing
from edgelm.server.queue import LONGEST_LINE
from edgelm.server.worker import calls
from edgelm.server.worker.calls import Away, BadKey, Calls, Job, Lost, Refusal

DATA = bytes(range(256)) * 40
NAME = sha256(DATA).hexdigest()
JOB = Job("j", 1, "check", 60, 1000, "s", "compression", "miniature", "m")
LEASED = {"id": "j", "fence": 1, "kind": "check", "lease_seconds": 60, "part_bytes": 1000, "submission": "s",
          "track": "compression", "rules": "miniature", "manifest": "m", "done": []}  # fmt: skip


class Torn(httpx.SyncByteStream):
    """Bytes after which the line breaks."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self):
        yield self._data
        raise httpx.ReadError("the line broke")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(calls, "_PAUSES", (0.001,))


def made(answer, patience=1.0):
    return Calls(httpx.Client(base_url="http://server", transport=httpx.MockTransport(answer)), patience)


def test_a_file_whose_line_breaks_is_fetched_from_there_on(tmp_path: Path) -> None:
    ranges = []

    def answer(request: httpx.Request) -> httpx.Response:
        ranges.append(request.headers.get("range"))
        if len(ranges) == 3:
            return httpx.Response(503)
        begun = int((ranges[-1] or "bytes=0-")[6:-1])
        status = 206 if begun else 200
        return (
            httpx.Response(status, stream=Torn(DATA[begun : begun + 4000]))
            if len(ranges) < 4
            else httpx.Response(status, content=DATA[begun:])
        )

    made(answer).fetch(JOB, NAME, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    assert ranges == [None, "bytes=4000-", "bytes=8000-", "bytes=8000-"]


@pytest.mark.parametrize(("status", "error"), [(409, Lost), (404, Refusal)])
def test_a_file_that_is_refused_is_not_asked_for_again(tmp_path: Path, status: int, error: type[Exception]) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={"what": "no", "why": "", "mend": ""})

    with pytest.raises(error):
        made(answer).fetch(JOB, NAME, tmp_path / "file")
    assert len(asked) == 1


def test_a_question_for_a_job_is_the_same_until_it_is_answered() -> None:
    questions = []

    def answer(request: httpx.Request) -> httpx.Response:
        questions.append(request.read())
        if len(questions) in (1, 2):
            raise httpx.ReadError("the line broke")
        return httpx.Response(200, json=LEASED)

    worker = made(answer, patience=0.0005)
    for _ in range(2):
        with pytest.raises(Refusal):
            worker.lease([])
    assert worker.lease([]) == worker.lease([])
    assert questions[0] == questions[1] == questions[2] != questions[3]


def test_a_fetch_ends_with_its_lease(tmp_path: Path) -> None:
    def lost() -> None:
        raise Lost("the lease is lost")

    with pytest.raises(Lost):
        made(lambda request: httpx.Response(200, content=DATA)).fetch(JOB, NAME, tmp_path / "file", lost)
    assert not (tmp_path / "file").read_bytes()


def test_a_line_is_sent_as_far_as_the_server_takes_one() -> None:
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(Doing.model_validate_json(request.read()))
        return httpx.Response(200, json={})

    made(answer).progress(JOB, lines=["short", "x" * 65_536])
    assert sent[0].lines[0] == "short" and len(sent[0].lines[1]) >= LONGEST_LINE


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_the_server_does_not_know_is_named(status: int) -> None:
    told = {"what": "who asks must say who they are", "why": "", "mend": "send Authorization: Bearer"}
    with pytest.raises(BadKey) as refused:
        made(lambda request: httpx.Response(status, json=told)).lease([])
    assert refused.value.exit_code == 2 and "--key-file" in refused.value.mend


@pytest.mark.parametrize("answer", [(404, "no page"), (200, "<html>"), (200, "{}"), (200, "[]"), (401, "a proxy")])
def test_an_address_where_no_server_of_ours_answers(answer: tuple[int, str]) -> None:
    with pytest.raises(BadOption, match="no server of edgelm"):
        made(lambda request: httpx.Response(answer[0], text=answer[1])).rules()


def test_a_server_that_is_away_is_said_to_be_early_and_once() -> None:
    said: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    away = Calls(httpx.Client(base_url="http://server", transport=httpx.MockTransport(refuse)), 0.05, said.append)
    with pytest.raises(Away, match="cannot be reached"):
        away.lease([])
    assert len(said) == 1 and "refused" in said[0]
