"""A server that dies, or whose disk fills up, at any write of anything that befalls a submission: all of it or nothing.

What people and workers ask for is asked of the whole application. It is broken off before each of its writes in turn,
to the tables and to the disk, and asked again, until it gets through. After each time everything must agree, and at the
end it must have been done once.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from edgelm.errors import NoSpace
from edgelm.files import JsonLog, canonical_json
from edgelm.pack import pack
from edgelm.report import FULL_MARK, Report, TaskScore, mean_percent
from edgelm.server import accounts, boards, chores, entries, outbox
from edgelm.server.app import create_app
from edgelm.server.database import Database
from edgelm.server.keys import TOKEN, WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.storage import DiskFull
from edgelm.server.tables import (
    Blob,
    Decision,
    File,
    Job,
    Kept,
    Line,
    Member,
    Notice,
    Phase,
    Progress,
    Revision,
    Slot,
    Submission,
    Team,
    Token,
    Upload,
    User,
    Worker,
)

DAY = 86_400 * 10**6
START = 1_735_689_600_000_000
LEASE = 60  # seconds
RULES = "miniature:tasks=gsm8k"
TRACK = "compression"
COUNTED = (Submission, File, Blob, Slot, Job, Kept, Progress, Line, Notice, Upload, Revision, Decision)
WRITES = ("INSERT", "UPDATE", "DELETE")
ON_DISK = ("os.rename", "os.mkdir", "os.link", "tempfile.mkstemp")  # events of Python that need room on a disk
FREEING = ("os.truncate", "os.remove", "os.chmod")  # those that need none

Do = Callable[["Competition"], Any]  # gives the answer of a call, or None of what the server does by itself


class Competition:
    """A running competition, and what its people and workers ask for."""

    def __init__(self, server: Server, clock: Any, folder: Path) -> None:
        self.server, self.clock, self.folder = server, clock, folder
        self.app = create_app(server)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.job = {"id": "", "fence": 0}
        self.ids: dict[str, str] = {}
        token, key = TOKEN + "t" * 40, WORKER_KEY + "w" * 40
        with server.database.write() as session:
            session.add(Phase(name="scored", kind="scored", opens=START - DAY, closes=START + 9 * DAY))
            session.add(Team(id="red", name="Red", key="red", tracks=[TRACK], created=0))
            session.add(Worker(name="one", sha256=digest(key), tags=[], created=0))
            for user, role in (("ann", "participant"), ("ada", "organiser"), ("bo", "organiser")):
                session.add(User(id=user, email=f"{user}@example.org", name=user, password="", role=role, created=0))
            session.flush()
            session.add(Member(user_id="ann", team_id="red", captain=True, joined=0))
            session.add(Token(sha256=digest(token), user_id="ann", name="", scopes=["read", "submit"], created=0,
                              expires=2**62, used=None))  # fmt: skip
        self.team, self.worker = ({"Authorization": f"Bearer {each}"} for each in (token, key))
        self.ada, self.bo = self._log_in("ada"), self._log_in("bo")

    def _log_in(self, user: str) -> dict[str, str]:
        with self.server.database.write() as session:
            cookie, login = accounts.log_in(session, user, self.clock(), 10_000)
            session.get_one(User, user).second_step = 1
        return {"Cookie": f"edgelm={cookie}", "X-CSRF-Token": login.csrf}

    def ask(self, method: str, path: str, who: dict[str, str], key: str = "", **given: Any) -> Any:
        """A call, which bears a key if it is one that may be sent again by it."""
        return self.client.request(method, path, headers={**who, **({"Idempotency-Key": key} if key else {})}, **given)

    def package(self, name: str) -> Path:
        """A package of no model that the checker accepts."""
        source = self.folder / f"{name}-source"
        source.mkdir()
        (source / "README.md").write_bytes(b"edgelm compress\n" + name.encode())
        pack({}, team="red", track=TRACK, rules=self.server.rules, source=source, out=self.folder / name, title=name,
             omitted={"base": "not done yet"})  # fmt: skip
        return self.folder / name

    # What a team asks for

    def begin(self, package: Path) -> Do:
        data = (package / "edgelm.json").read_bytes()
        return lambda self: self._keep("upload", self.ask("POST", "/uploads", self.team, content=data))

    def send(self, package: Path) -> Do:
        """All files in parts, each from where it ends."""
        files = [(package / each["path"]).read_bytes() for each in json.loads(
            (package / "edgelm.json").read_text())["files"]]  # fmt: skip
        return lambda self: [self._sent(data) for data in files][-1]

    def _sent(self, data: bytes) -> Any:
        path = f"/blobs/{sha256(data).hexdigest()}"
        answer = self.ask("HEAD", path, self.team)
        while answer.is_success and (here := int(answer.headers["Upload-Offset"])) < len(data):
            part = data[here : here + len(data) // 2 + 1]
            checksum = base64.b64encode(sha256(part).digest()).decode()
            told = {"Upload-Offset": str(here), "Upload-Checksum": f"sha256 {checksum}",
                    "Content-Type": "application/offset+octet-stream"}  # fmt: skip
            answer = self.ask("PATCH", path, {**self.team, **told}, content=part)
        return answer

    def hand_in(self, name: str) -> Do:
        return lambda self: self._keep(
            name, self.ask("POST", "/submissions", self.team, name, json={"upload": self.ids["upload"]})
        )

    def withdraw(self, name: str) -> Do:
        return lambda self: self.ask("POST", f"/submissions/{self.ids[name]}/withdraw", self.team, f"withdraw-{name}")

    # What a worker asks for

    def lease(self, request: str) -> Do:
        def do(self: Competition) -> Any:
            answer = self.ask("POST", "/jobs/lease", self.worker, json={"request": request})
            if answer.status_code == 200:
                self.job = answer.json()
            return answer

        return do

    def of_job(self, what: str, **body: Any) -> Do:
        return lambda self: self.ask(
            "POST", f"/jobs/{self.job['id']}/{what}", self.worker, json={"fence": self.job["fence"], **body}
        )

    def put(self, data: bytes) -> Do:
        """A blob in two parts."""

        def do(self: Competition) -> Any:
            end, name = 0, sha256(data).hexdigest()
            while end < len(data):
                told = {"fence": self.job["fence"], "offset": end, "size": len(data)}
                part = data[end : end + len(data) // 2 + 1]
                answer = self.ask("PUT", f"/jobs/{self.job['id']}/blobs/{name}", self.worker, params=told, content=part)
                if not answer.is_success:
                    break
                end = answer.json()["size"]
            return answer

        return do

    def journal(self, lines: bytes) -> Do:
        return lambda self: self.ask(
            "PATCH", f"/jobs/{self.job['id']}/journals/base", self.worker, content=lines,
            params={"fence": self.job["fence"], "offset": 0},
        )  # fmt: skip

    # What organisers ask for

    def organise(self, what: str, name: str, key: str) -> Do:
        return lambda self: self.ask("POST", f"/admin/submissions/{self.ids[name]}/{what}", self.ada, key,
                                     json={"reason": "so"})  # fmt: skip

    def requeue(self) -> Do:
        return lambda self: self.ask("POST", f"/admin/jobs/{self.job['id']}/requeue", self.ada, "requeue",
                                     json={"reason": "so"})  # fmt: skip

    def propose(self, name: str) -> Do:
        charge = {"offence": "copying", "evidence": "seen", "reason": "so"}
        return lambda self: self._keep("decision", self.ask(
            "POST", f"/admin/submissions/{self.ids[name]}/disqualify", self.ada, "propose", json=charge))  # fmt: skip

    def second(self) -> Do:
        return lambda self: self.ask("POST", f"/admin/decisions/{self.ids['decision']}/second", self.bo, "second")

    def _keep(self, name: str, answer: Any) -> Any:
        if answer.is_success:
            self.ids[name] = answer.json()["id"]
        return answer

    def tally(self) -> dict[str, int]:
        """How many rows there are of each kind."""
        with self.server.database.read() as session:
            return {table.__name__: session.scalar(select(func.count()).select_from(table)) or 0 for table in COUNTED}

    def state(self, name: str) -> tuple[str, str]:
        """Of a submission, and the use of its slot, if it has one."""
        with self.server.database.read() as session:
            slot = session.scalars(select(Slot.use).filter_by(submission_id=self.ids[name])).one_or_none()
            return session.get_one(Submission, self.ids[name]).state, slot or ""


# Breaking off


_striking: list[Callable[[str], None]] = []  # what is told of each write to the disk; a hook cannot be taken away


def _heard(name: str, given: tuple[Any, ...]) -> None:
    if _striking and (name in (*ON_DISK, *FREEING) or (name == "open" and isinstance(given[0], str | Path))):
        if name == "open" and not (given[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        _striking[-1]("disk" if name in (*ON_DISK, "open") else "freeing")


sys.addaudithook(_heard)


@contextmanager
def writes(database: Database, told: Callable[[str], None]) -> Iterator[None]:
    """Tell of each write before it is made: "disk", "freeing" (which needs no room), "row" and "commit"."""
    dialect = database.engine.dialect

    def execute(cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(WRITES):
            told("row")

    def commit(_: Any) -> None:
        told("commit")

    listened = [(dialect, "do_execute", execute), (dialect, "do_executemany", execute),
                (database._writing, "commit", commit)]  # fmt: skip
    for target, name, heard in listened:
        event.listen(target, name, heard)
    _striking.append(told)
    try:
        yield
    finally:
        _striking.pop()
        for target, name, heard in listened:
            event.remove(target, name, heard)


def killed(competition: Competition, do: Do, cut: int, *, rows: bool = False) -> bool:
    """Have it done by a process of its own, which is killed before its write of that number; whether it was not.

    Rows are counted if asked for: between two of them nothing lasts, so that it takes long and finds little.
    """
    competition.server.database.close()  # no connection is shared with the other process
    child = os.fork()
    if child == 0:
        _in_child(competition, do, cut, rows)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended == 0


def _in_child(competition: Competition, do: Do, left: int, rows: bool) -> None:
    def told(kind: str) -> None:
        nonlocal left
        left -= rows or kind != "row"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        before = competition.server
        server = dataclasses.replace(before, database=Database(before.settings.database_url))
        competition.server = competition.app.state.server = server
        with writes(server.database, told):
            answer = do(competition)
        assert answer is None or answer.is_success, answer.text
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def full(competition: Competition, do: Do, cut: int) -> bool:
    """Do it while the disk takes nothing from the write of that number on; whether it needed none of these."""
    left, refused = cut, False

    def told(kind: str) -> None:
        nonlocal left, refused
        left -= 1
        if left > 0 or kind == "freeing":
            return
        refused = True
        if kind == "disk":
            raise OSError(errno.ENOSPC, "No space left on device")
        cause: Exception = psycopg.errors.DiskFull("no space left on device")
        if competition.server.database.engine.dialect.name == "sqlite":
            cause = sqlite3.OperationalError("database or disk is full")
            cause.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[attr-defined]
        raise OperationalError("", None, cause) if kind == "commit" else cause

    with writes(competition.server.database, told):
        _is_said(competition, do, lambda: refused)
    return not refused


def no_page(competition: Competition, do: Do, cut: int) -> bool:
    """Do it while SQLite's file may grow by fewer pages than `cut` alone; whether that was enough."""
    engine, refused = competition.server.database.engine, False

    def hold(connection: Any, *_: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + cut - 1}")

    def failed(context: Any) -> None:
        nonlocal refused
        refused |= getattr(context.original_exception, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL

    event.listen(engine, "checkout", hold)
    event.listen(engine, "handle_error", failed)
    try:
        _is_said(competition, do, lambda: refused)
    finally:
        event.remove(engine, "checkout", hold)
        event.remove(engine, "handle_error", failed)
        engine.dispose()
    return not refused


def _is_said(competition: Competition, do: Do, refused: Callable[[], bool]) -> None:
    """Do it; where the disk refused something, the answer says so."""
    try:
        answer = do(competition)
    except (DiskFull, NoSpace, OperationalError):  # of what the server does by itself, and tries again
        assert refused()
        return
    if refused() and answer is not None:
        assert answer.status_code == 507 and answer.request.method != "HEAD" and answer.json()["mend"], answer.text
    elif answer is not None:
        assert answer.is_success, answer.text


@pytest.fixture(params=[
    killed, pytest.param(partial(killed, rows=True), id="killed-at-each-row", marks=pytest.mark.slow), full, no_page
])  # fmt: skip
def strike(request: pytest.FixtureRequest, url: str) -> Callable[[Competition, Do, int], bool]:
    if request.param is no_page and not url.startswith("sqlite"):
        pytest.skip("only SQLite's pages can be counted")
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def competition(database: Database, url: str, clock: Any, tmp_path: Path) -> Competition:
    settings = Settings(folder=tmp_path / "server", database=url, rules=RULES, password_memory=8, changes=10**9,
                        lease_seconds=LEASE, reserve=0)  # fmt: skip
    return Competition(Server(settings, database, clock, steady=lambda: clock() / 1e6), clock, tmp_path)


@pytest.fixture
def through(competition: Competition, strike: Any, consistent: Any) -> Callable[..., None]:
    """`through(do)`: break it off before each of its writes, and then have it done; sent once more it does nothing.

    Args: `again` is the status of the answer to what is sent once more after it was done, if it is not done again;
    `seconds` pass before each time.
    """

    def run(do: Do, again: int = 0, least: int = 2, seconds: float = 0) -> None:
        cut, done = 0, False
        while not done:
            cut += 1
            competition.clock.pass_seconds(seconds)
            done = strike(competition, do, cut)
            with competition.server.database.read() as session:
                consistent(session, competition.server.storage)
        assert cut >= (least if strike is not no_page else 1), "it was never broken off"
        told = competition.tally()
        answer = do(competition)
        assert answer is None or answer.is_success or answer.status_code == again, answer.text
        assert competition.tally() == told

    return run


def plain(competition: Competition, *steps: Do) -> None:
    """Do all of that undisturbed."""
    for do in steps:
        answer = do(competition)
        assert answer is None or answer.is_success, answer.text


def handed_in(competition: Competition, name: str) -> None:
    """A submission whose check waits."""
    package = competition.package(name)
    competition.clock.pass_seconds(1)  # so that jobs are leased in the order of their submissions
    plain(competition, competition.begin(package), competition.send(package), competition.hand_in(name))


def queued(competition: Competition, name: str) -> None:
    """A submission whose evaluation waits."""
    handed_in(competition, name)
    plain(competition, competition.lease(f"check-{name}"), competition.of_job("result", findings=[]))


def result(competition: Competition) -> tuple[list[bytes], bytes]:
    """The files that an evaluation makes, and the result that names them."""
    lines = [JsonLog.line({"key": f"{n}", "sample": f"{n}", "text": "", "mark": FULL_MARK * n, "tokens": 1,
                           "prompt_tokens": 1, "finish": "stop"}) for n in range(2)]  # fmt: skip
    score = TaskScore(protocol="miniature-1/gsm8k-0", prompting="base", engine={}, samples=2, of=2,
                      score=mean_percent([0, FULL_MARK]))  # fmt: skip
    report = Report(checkpoint="c" * 64, name="m", parameters=7, bytes=14, dtypes={"F16": 14}, tasks={"gsm8k": score})
    made = [b"".join(lines), canonical_json(report.model_dump(mode="json"))]
    answers, told = (sha256(each).hexdigest() for each in made)
    models = {"base": {"report": told, "answers": {"gsm8k": answers}}}
    return made, canonical_json({
        "format": 1, "submission": "", "manifest": "", "rules": competition.server.rules.digest, "box": {},
        "eligible": True, "models": models,
    })  # fmt: skip


def follow(competition: Competition) -> None:
    boards.follow(competition.server)


def prepare(competition: Competition) -> None:
    entries.prepare(competition.server)


def test_from_the_upload_to_the_board(competition: Competition, through: Any) -> None:
    package = competition.package("a")
    through(competition.begin(package))
    through(competition.send(package))
    through(competition.hand_in("a"))
    assert competition.state("a") == ("checking", "reserved")
    through(competition.lease("check"))
    through(competition.of_job("result", findings=[]))
    assert competition.state("a") == ("queued", "reserved")
    through(competition.lease("evaluation"))
    assert competition.state("a") == ("running", "spent")
    made, named = result(competition)
    through(competition.journal(made[0]), least=1)
    for data in (*made, named):
        through(competition.put(data))
    done = {"part": "base/gsm8k", "done": 2, "of": 2, "blob": sha256(made[0]).hexdigest()}
    through(competition.of_job("progress", stage="base", parts=[done]))
    through(competition.of_job("result", result=sha256(named).hexdigest()))
    assert competition.state("a") == ("scored", "spent")
    through(prepare)
    for track in competition.server.rules.tracks:
        through(lambda self, name=track.name: boards._follow(self.server, name, self.clock()), least=2)
    through(competition.organise("rescore", "a", "rescore"))
    assert competition.state("a") == ("queued", "spent")
    plain(competition, competition.propose("a"))
    through(competition.second())
    with competition.server.database.read() as session:
        revisions = session.scalars(select(Revision.state).filter_by(track=TRACK)).all()
        assert list(revisions) == ["live", "live"]


def test_an_evaluation_that_ends_without_a_result(competition: Competition, through: Any) -> None:
    for name in ("refused", "failed", "lost"):
        handed_in(competition, name)
    plain(competition, competition.lease("check-refused"))
    grave = {"code": "PKG-09", "severity": "E", "path": "x", "what": "no", "why": "", "mend": ""}
    through(competition.of_job("result", findings=[grave]))
    assert competition.state("refused") == ("refused", "")
    for name in ("failed", "lost"):
        competition.clock.pass_seconds(1)
        plain(competition, competition.lease(f"check-{name}"), competition.of_job("result", findings=[]))
    plain(competition, competition.lease("left"))
    through(competition.of_job("release"), again=409)
    assert competition.state("failed") == ("queued", "spent")
    plain(competition, competition.lease("failed"))
    through(competition.of_job("release", fault="participant", code="x", sentence="s"), again=409)
    assert competition.state("failed") == ("failed", "spent")
    plain(competition, competition.lease("silent"))

    def reap(self: Competition) -> None:
        chores.reap(self.server)  # a server that starts anew gives all workers their time
        self.clock.pass_seconds(LEASE + 1)
        chores.reap(self.server)

    through(reap)
    assert competition.state("lost") == ("queued", "spent")
    for number in range(3):
        plain(competition, competition.lease(f"again-{number}"))
        if number < 2:
            plain(competition, competition.of_job("release", fault="platform"))
    through(competition.of_job("release", fault="platform"), again=409)
    assert competition.state("lost") == ("failed", "")
    through(competition.requeue())
    assert competition.state("lost") == ("queued", "reserved")


def test_what_a_team_and_organisers_end_and_begin_anew(competition: Competition, through: Any) -> None:
    handed_in(competition, "a")
    through(competition.withdraw("a"))
    assert competition.state("a") == ("withdrawn", "")
    queued(competition, "b")
    plain(competition, competition.lease("b"))
    through(competition.organise("cancel", "b", "cancel"))
    assert competition.state("b") == ("cancelled", "")
    through(competition.organise("rerun", "b", "rerun"))
    assert competition.state("b") == ("queued", "reserved")


def test_a_message_is_kept_until_it_was_taken(competition: Competition, through: Any, tmp_path: Path) -> None:
    handed_in(competition, "a")
    plain(competition, competition.withdraw("a"))
    carried = tmp_path / "carried"

    def carry(notice: Notice) -> None:
        descriptor = os.open(carried, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, f"{notice.id}\n".encode())
        os.close(descriptor)

    def send(self: Competition) -> None:
        outbox.send(self.server, "mail", carry)

    through(send, seconds=outbox.CLAIM / 1e6)  # after which is free again what a killed server had claimed
    with competition.server.database.read() as session:
        assert outbox.waiting(session, "mail", competition.clock()) == 0
        sent = set(session.scalars(select(Notice.id).where(Notice.channel == "mail", Notice.sent.is_not(None))))
        assert session.scalar(select(func.count()).where(Notice.channel == "mail")) == len(sent) > 0
    assert set(carried.read_text().split()) == sent
