"""Handing in: all in one transaction or nothing, dates to the microsecond, one slot for one of fifty."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from edgelm.server import audit, handing_in, queue, uploads
from edgelm.server.audit import Actor
from edgelm.server.database import Database
from edgelm.server.refusals import Refused
from edgelm.server.slots import slots
from edgelm.server.state import Server
from edgelm.server.tables import Attempts, Blob, File, Finding, Job, Notice, Phase, Slot, Submission, Team, Upload

CAPTAIN = Actor("red-captain", "participant")
PLACE = ("red", "compression", "scored")
TABLES = (Submission, File, Blob, Slot, Attempts, Job, Notice, Finding)


def upload(server: Server, package: Path) -> str:
    """All of a package's files, stored; the upload's id."""
    data = (package / "edgelm.json").read_bytes()
    manifest = uploads.read_manifest(data, server.rules, 2**30)
    for entry in manifest.files:
        server.storage.put((package / entry.path).read_bytes())
    with server.database.write() as session:
        return uploads.begin(session, server.storage, CAPTAIN, "red", CAPTAIN.id, manifest, data, server.clock()).id


def hand_in(server: Server, id: str, received: int | None = None) -> str:
    with server.database.read() as session:
        digest = session.get_one(Upload, id).manifest
    package = handing_in.look(server.storage, server.rules, digest, 2**30)
    received = server.clock() if received is None else received
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


def test_the_rules_may_have_changed_since_the_upload(server: Server, package: Path) -> None:
    id = upload(server, package)
    server.__dict__["rules"] = type(server.rules)(places=11)
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
    from sqlalchemy import event

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
