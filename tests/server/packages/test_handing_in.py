"""Handing in: all in one transaction or nothing, dates to the microsecond, one slot for one of fifty."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select, update

from edgelm.server import audit, competition, handing_in, packages, queue, uploads
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.database import Database
from edgelm.server.refusals import Refused
from edgelm.server.slots import slots
from edgelm.server.state import Server
from edgelm.server.tables import (
    Attempts,
    Blob,
    File,
    Finding,
    Job,
    Notice,
    Phase,
    Slot,
    Submission,
    Team,
    Upload,
    Wanted,
)

CAPTAIN = Actor("red-captain", "participant")
PLACE = ("red", "compression", "scored")
TABLES = (Submission, File, Slot, Attempts, Job, Notice, Finding)


def upload(server: Server, package: Path) -> str:
    """All of a package's files, stored; the upload's id."""
    data = (package / "edgelm.json").read_bytes()
    manifest = uploads.read_manifest(data, server.rules, 2**30)
    sent = [server.storage.put((package / entry.path).read_bytes()) for entry in manifest.files]
    with server.database.write() as session:
        begun = uploads.begin(session, server.storage, server.settings, CAPTAIN, "red", CAPTAIN.id, manifest, data,
                              server.clock())  # fmt: skip
        uploads.mark_shown(session, "red", sent)
        return begun.id


def hand_in(server: Server, id: str, received: int | None = None) -> str:
    received = server.clock() if received is None else received
    with server.database.read() as session:
        upload = session.get_one(Upload, id)
        candidate = handing_in.candidate(session, server.storage, server.rules, upload, 2**30, received)
    package = handing_in.look(server.storage, server.rules, candidate, 2**30)
    with server.database.write() as session:
        begun = uploads.find(session, id, "red")
        return handing_in.hand_in(session, server.storage, server.rules, CAPTAIN, begun, package, received).id


def counts(database: Database) -> list[int]:
    with database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]


@pytest.fixture
def package(team: str, make_package: Callable[..., Path]) -> Path:
    return make_package("package", {"data.txt": b"data"})


def test_a_submission_is_there_with_all_that_belongs_to_it(server: Server, package: Path) -> None:
    id = hand_in(server, upload(server, package))
    with server.database.read() as session:
        one = session.get_one(Submission, id)
        assert (one.state, one.phase, one.title, one.received) == ("checking", "scored", "package", server.clock())
        (job,) = session.scalars(select(Job))
        assert (job.kind, job.state, job.submission_id) == ("check", queue.WAITING, id)
        assert next((slot.submission_id, slot.use) for slot in slots(session, *PLACE)) == (id, "reserved")
        assert session.get_one(Attempts, PLACE).used == 1
        listed = {file.path: file.sha256 for file in session.scalars(select(File).filter_by(submission_id=id))}
        assert set(listed) == {"results.csv", "source/README.md", "source/data.txt"}
        assert {blob.sha256 for blob in session.scalars(select(Blob))} == {one.manifest, *listed.values()}
        assert not session.scalars(select(Upload)).all()
        assert audit.first_break(session) is None


def test_what_the_checker_refuses_costs_an_attempt_and_no_slot(
    server: Server, team: str, make_package: Callable[..., Path]
) -> None:
    id = hand_in(server, upload(server, make_package("bad", {"README.md": b""})))
    with server.database.read() as session:
        one = session.get_one(Submission, id)
        assert (one.state, one.code, one.fault) == ("refused", "PKG-09", "participant")
        assert session.scalars(select(Finding).filter_by(submission_id=id, number=1)).one().body["code"] == "PKG-09"
        assert not session.scalars(select(Job)).all() and not session.scalars(select(Slot)).all()
        assert session.get_one(Attempts, PLACE).used == 1
        told = session.scalars(select(Notice).filter_by(channel="page"))
        assert {notice.user_id for notice in told} == {"red-captain", "red-member"}


@pytest.mark.parametrize(("late", "state"), [(-1000, "checking"), (-1, "checking"), (0, "SUB-02"), (1000, "SUB-02")])
def test_the_phase_ends_at_an_instant(server: Server, package: Path, late: int, state: str) -> None:
    with server.database.read() as session:
        closes = session.get_one(Phase, "scored").closes
    id = upload(server, package)
    before = counts(server.database)
    try:
        submission = hand_in(server, id, closes + late)
    except Refused as refused:
        assert (refused.code, counts(server.database)) == (state, before)
        assert "AoE" in refused.why and "UTC" in refused.why
        return
    with server.database.read() as session:
        assert session.get_one(Submission, submission).state == state


def test_the_preliminary_review_takes_no_slot(server: Server, package: Path) -> None:
    with server.database.read() as session:
        received = session.get_one(Phase, "preliminary").opens
    id = hand_in(server, upload(server, package), received)
    with server.database.read() as session:
        assert session.get_one(Submission, id).phase == "preliminary"
        assert not session.scalars(select(Slot)).all() and session.scalars(select(Job)).one().kind == "check"
        assert session.get_one(Attempts, ("red", "compression", "preliminary")).used == 1


def test_what_may_not_be_handed_in_leaves_no_trace(
    server: Server, package: Path, make_package: Callable[..., Path]
) -> None:
    ids = [upload(server, make_package(f"package-{number}")) for number in range(5)]
    for id in ids[:3]:
        hand_in(server, id)
    before = counts(server.database)

    def refused(id: str) -> str:
        with pytest.raises(Refused) as refusal:
            hand_in(server, id)
        assert counts(server.database) == before
        return refusal.value.code

    assert refused(ids[3]) == "SUB-03"
    with server.database.write() as session:
        session.get_one(Attempts, PLACE).used = server.rules.attempts
    assert refused(ids[3]) == "SUB-05"
    with server.database.write() as session:
        session.get_one(Team, "red").tracks = ["from-scratch"]
    assert refused(ids[3]) == "SUB-01"


def test_a_package_is_handed_in_once(server: Server, package: Path) -> None:
    id = upload(server, package)
    submission = hand_in(server, id)
    with pytest.raises(Refused, match=submission) as refused:
        upload(server, package)
    assert refused.value.code == "SUB-04" and "submission 1" in refused.value.why


def test_a_file_that_has_not_come_is_named(server: Server, package: Path) -> None:
    id = upload(server, package)
    lost = next(path for path in server.storage.all() if server.storage.path(path).read_bytes() == b"data")
    server.storage.path(lost).unlink()
    with pytest.raises(Refused, match=r"source/data\.txt") as refused:
        hand_in(server, id)
    assert refused.value.code == "PKG-05"


def test_a_package_that_lacks_a_file_is_not_put_together(
    server: Server, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = upload(server, package)
    with server.database.write() as session:
        lost = session.scalars(select(Wanted).filter_by(upload_id=id).limit(1)).one()
        lost.shown = False
    links = list[object]()
    link = os.link
    monkeypatch.setattr(packages.os, "link", lambda *given: links.append(given) or link(*given))
    with pytest.raises(Refused, match="1 files are not here yet"):
        hand_in(server, id)
    assert len(links) == 1, "the manifest alone"


def test_a_file_that_has_no_name_left_is_copied_once(
    server: Server, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on ext4, where a file has 65,000 names at the most."""
    names, link = 4, os.link

    def few(source: Path, target: Path) -> None:
        if source.stat().st_nlink >= names:
            raise OSError(errno.EMLINK, "Too many links")
        link(source, target)

    monkeypatch.setattr(packages.os, "link", few)
    manifest, data = server.storage.put(b"{}"), server.storage.put(b"data")
    with packages.assembled(server.storage, manifest, {f"{n}.txt": data for n in range(7)}) as folder:
        files = [(folder / f"{n}.txt") for n in range(7)]
        assert {file.read_bytes() for file in files} == {b"data"}
        assert {file.stat().st_mode & 0o777 for file in files} == {0o444}
        assert len({file.stat().st_ino for file in files}) == 2
    assert server.storage.path(data).stat().st_nlink == 1


def test_the_rules_may_have_changed_since_the_upload(server: Server, package: Path) -> None:
    id = upload(server, package)
    with server.database.write() as session:
        competition.publish_rules(session, SYSTEM, dataclasses.replace(server.rules, places=11), "x", 1)
    with pytest.raises(Refused) as refused:
        hand_in(server, id)
    assert refused.value.code == "SUB-06"


def test_fifty_race_for_the_last_slot_and_one_has_it(
    server: Server, package: Path, make_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "OPEN", 100)
    for number in range(server.rules.submissions - 1):
        hand_in(server, upload(server, make_package(f"early-{number}")))
    first = make_package("late")
    data = (first / "edgelm.json").read_bytes()
    ids = []
    for number in range(50):  # each of its own manifest
        (first / "edgelm.json").write_bytes(data.replace(b'"late"', f'"late {number}"'.encode()))
        ids.append(upload(server, first))
    outcomes, start = list[str](), threading.Barrier(len(ids))

    def race(id: str) -> None:
        start.wait()
        try:
            hand_in(server, id)
            outcomes.append("taken")
        except Refused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=race, args=(id,)) for id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {"taken": 1, "SUB-03": len(ids) - 1}
    with server.database.read() as session:
        held = {slot.submission_id for slot in slots(session, *PLACE)}
        assert {job.submission_id for job in session.scalars(select(Job))} == held and len(held) == 3
        assert session.get_one(Attempts, PLACE).used == 3, "those without a slot used no attempt"
        assert audit.first_break(session) is None


class Killed(BaseException):
    """Stands for the end of the process between two writes."""


def test_whatever_is_cut_off_between_two_writes_is_nothing(
    server: Server, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is broken off at each statement in turn, until it gets through."""
    id = upload(server, package)
    before, cut = counts(server.database), 0
    while True:
        cut += 1
        left = cut

        def die(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        event.listen(server.database._writing, "before_cursor_execute", die)
        try:
            hand_in(server, id)
            break
        except Killed:
            event.remove(server.database._writing, "before_cursor_execute", die)
            assert counts(server.database) == before, f"half of it was left at statement {cut}"
        finally:
            if event.contains(server.database._writing, "before_cursor_execute", die):
                event.remove(server.database._writing, "before_cursor_execute", die)
    assert cut > 20 and counts(server.database)[0] == 1


def test_a_server_that_is_killed_between_two_writes_leaves_all_or_nothing(
    server: Server, package: Path, url: str
) -> None:
    """A process of its own is killed before each statement in turn, the commit included, until it gets through."""
    id = upload(server, package)
    before, cut, ended = counts(server.database), 0, -signal.SIGKILL
    while ended:
        assert counts(server.database) == before, f"half of it was left at statement {cut}"
        cut += 1
        server.database.close()  # no connection is shared with the other process
        child = os.fork()
        if child == 0:
            _hand_in_until(dataclasses.replace(server, database=Database(url)), id, cut)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ended in (0, -signal.SIGKILL)
    assert cut > 20 and counts(server.database)[0] == 1
    with server.database.read() as session:
        assert audit.first_break(session) is None and not session.scalars(select(Upload)).all()
        assert session.scalars(select(Job)).one().submission_id == slots(session, *PLACE)[0].submission_id


def _hand_in_until(server: Server, id: str, left: int) -> None:
    def die(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(server.database._writing, "before_cursor_execute", die)
    event.listen(server.database._writing, "commit", die)
    try:
        hand_in(server, id)
        os._exit(0)
    finally:
        os._exit(1)


def test_what_is_plain_is_said_before_anything_is_looked_at(
    server: Server, app: TestClient, package: Path, bearer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, red = upload(server, package), bearer("red-member", "submit")
    looks = list[object]()
    real = handing_in.look
    monkeypatch.setattr(handing_in, "look", lambda *given: looks.append(given) or real(*given))

    def sent(key: str = "") -> Any:
        return app.post(
            "/submissions", json={"upload": id}, headers={**red, **({"Idempotency-Key": key} if key else {})}
        )

    with server.database.write() as session:
        session.add(Attempts(team_id="red", track="compression", phase="scored", used=server.rules.attempts))
    assert sent().json()["code"] == "SUB-05"
    with server.database.write() as session:
        session.get_one(Attempts, PLACE).used = 0
        session.get_one(Team, "red").tracks = ["from-scratch"]
    assert sent().json()["code"] == "SUB-01"
    with server.database.write() as session:
        session.get_one(Team, "red").tracks = ["compression"]
    with server.looks.place("red"):
        busy = sent()
        assert (busy.status_code, busy.headers["Retry-After"]) == (429, "5")
    assert not looks
    assert sent("k").status_code == 201 and sent("k").status_code == 201 and len(looks) == 1


def test_the_same_package_may_come_in_the_preliminary_review_and_in_the_scored_phase(
    server: Server, package: Path
) -> None:
    with server.database.read() as session:
        early = session.get_one(Phase, "preliminary").opens
    first = hand_in(server, upload(server, package), early)
    id = upload(server, package)
    second = hand_in(server, id)
    assert first != second
    with pytest.raises(Refused, match=second):
        upload(server, package)


def test_a_file_that_another_brought_must_be_shown(server: Server, package: Path, team: str) -> None:
    id = upload(server, package)
    with server.database.write() as session:
        session.execute(update(Wanted).values(shown=False))
    with pytest.raises(Refused, match="not here yet"):
        hand_in(server, id)


def test_a_package_that_the_disk_cannot_put_together_is_handed_in_later(
    server: Server, app: TestClient, package: Path, bearer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, red = upload(server, package), bearer("red-member")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = counts(server.database)
    with monkeypatch.context() as patch:
        patch.setattr(packages.os, "link", full)
        answer = app.post("/submissions", json={"upload": id}, headers=red)
        assert answer.status_code == 507 and answer.json()["mend"]
    assert counts(server.database) == before and not list(server.storage.folder.glob("package-*"))
    assert app.post("/submissions", json={"upload": id}, headers=red).status_code == 201


def test_a_disk_that_the_database_fills_is_said_and_nothing_is_kept(
    server: Server, app: TestClient, package: Path, bearer: Any
) -> None:
    if server.database.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite's pages can be counted")
    red, manifest = bearer("red-member"), json.loads((package / "edgelm.json").read_bytes())
    manifest["files"] += [{"path": f"source/{n}", "size": 1, "sha256": f"{n:064x}"} for n in range(3000)]

    def hold(connection: Any, *_: object) -> None:  # no page more than the file has
        connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")

    def begin() -> Any:
        return app.post("/uploads", content=json.dumps(manifest), headers=red)

    event.listen(server.database.engine, "checkout", hold)
    answer = begin()
    event.remove(server.database.engine, "checkout", hold)
    server.database.engine.dispose()
    assert answer.status_code == 507 and answer.json()["mend"], answer.text
    with server.database.read() as session:
        assert not session.scalars(select(Upload)).all() and not session.scalars(select(Wanted)).all()
        assert audit.first_break(session) is None
    assert begin().status_code == 201


def test_over_http(server: Server, app: TestClient, package: Path, bearer: Any, add_team: Callable[[str], str]) -> None:
    id, red = upload(server, package), bearer("red-member")
    blue = bearer(f"{add_team('blue')}-captain")
    assert app.post("/submissions", json={"upload": id}, headers=blue).status_code == 404
    assert app.post("/submissions", json={"upload": id}).status_code == 401
    assert app.post("/submissions", json={"upload": "\0"}, headers=red).status_code == 422
    keyed = {**red, "Idempotency-Key": "one"}
    made = app.post("/submissions", json={"upload": id}, headers=keyed)
    assert (made.status_code, made.json()["state"], made.json()["slot"]) == (201, "checking", 1), made.text
    again = app.post("/submissions", json={"upload": id}, headers=keyed)
    assert (again.status_code, again.json()) == (201, made.json()), "sent again, it is the same"
    assert app.post("/submissions", json={"upload": id}, headers=red).status_code == 404
    assert counts(server.database)[0] == 1
