"""What is shown of submissions and to whom, how they change as it happens, taking back, objecting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.rules import Rules
from edgelm.server import audit, queue, slots, states, watching
from edgelm.server.api import submissions as module
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.database import Database
from edgelm.server.refusals import Conflict
from edgelm.server.state import Server
from edgelm.server.tables import Finding, Job, Notice, Phase, Progress, Revision, Submission, User

DAY = 86_400 * 10**6
ONE = "0123456789abcdef"
CAPTAIN = Actor("red-captain", "participant")


@pytest.fixture
def one(database: Database, handed_in: Callable[..., str], rules: Rules) -> str:
    """A submission that waits for the checker, with its slot and job."""
    handed_in(ONE)
    with database.write() as session:
        slots.reserve(session, rules, session.get_one(Submission, ONE))
        queue.enqueue(session, SYSTEM, key=f"check/{ONE}", submission_id=ONE, kind="check", now=1)
    return ONE


def move(database: Database, *to: str, **named: Any) -> None:
    with database.write() as session:
        for state in to:
            states.move(session, SYSTEM, session.get_one(Submission, ONE), state, 5, **named)
            if state == "running":
                slots.start(session, session.get_one(Submission, ONE))


def organiser(database: Database, bearer: Any, role: str = "organiser") -> dict[str, str]:
    with database.write() as session:
        session.add(User(id=role, email=f"{role}@example.org", name=role, password="", role=role, created=0))
    return dict(bearer(role, "read", "organise"))


def test_only_what_may_follow_follows(database: Database, one: str) -> None:
    """Every state against every other."""
    for state, following in states.NEXT.items():
        for other in states.NEXT:
            with database.write() as session:
                session.get_one(Submission, one).state = state
            try:
                move(database, other)
                assert other in following
            except Conflict:
                assert other not in following, f"{state} → {other}"
    assert {state for state, following in states.NEXT.items() if not following} == {"refused", "withdrawn"}


def test_each_change_is_told_to_the_team_and_logged(database: Database, one: str) -> None:
    move(database, "accepted", "queued", "running", "queued", "running")
    move(database, "failed", code="out-of-memory", sentence="it needed 13 GiB", fault="participant")
    with database.read() as session:
        told = list(session.scalars(select(Notice).filter_by(user_id="red-member", channel="mail")))
        assert len(told) == 6 and {notice.target for notice in told} == {"red-member@example.org"}
        assert any("it needed 13 GiB" in notice.body for notice in told)
        assert audit.first_break(session) is None and audit.head(session)[0] >= 6


@pytest.mark.parametrize(("before", "left"), [
    ((), "free"), (("accepted",), "free"), (("accepted", "queued"), "free"),
    (("accepted", "queued", "running"), "spent"), (("accepted", "queued", "running", "scored"), "spent"),
])  # fmt: skip
def test_taking_back_frees_a_slot_that_is_not_spent(
    app: TestClient, database: Database, one: str, bearer: Any, before: tuple[str, ...], left: str
) -> None:
    move(database, *before)
    done = app.post(f"/submissions/{one}/withdraw", headers=bearer("red-member"))
    assert (done.status_code, done.json()["state"]) == (200, "withdrawn")
    with database.read() as session:
        assert slots.slots(session, "red", "compression", "scored")[0].use == left
        assert session.scalars(select(Job)).one().state == "cancelled"
    assert app.post(f"/submissions/{one}/withdraw", headers=bearer("red-member")).status_code == 409


def test_taking_back_ends_when_the_phase_closes(
    app: TestClient, database: Database, one: str, bearer: Any, clock: Any
) -> None:
    with database.read() as session:
        clock.now = session.get_one(Phase, "scored").closes
    late = app.post(f"/submissions/{one}/withdraw", headers=bearer("red-member"))
    assert late.status_code == 409 and "AoE" in late.json()["why"]
    clock.now -= 1
    assert app.post(f"/submissions/{one}/withdraw", headers=bearer("red-member")).status_code == 200


def test_an_organiser_cancels_and_the_slot_is_free(database: Database, one: str) -> None:
    move(database, "accepted", "queued", "running")
    with database.write() as session:
        states.cancel(session, SYSTEM, session.get_one(Submission, one), "the device broke", 7)
    with database.read() as session:
        ended = session.get_one(Submission, one)
        assert (ended.state, ended.fault, ended.sentence) == ("cancelled", "organiser", "the device broke")
        assert slots.slots(session, "red", "compression", "scored")[0].use == "free"


CALLS = (
    ("GET", ""), ("GET", "/findings"), ("GET", "/log"), ("GET", "/events"), ("GET", "/appeals"),
    ("POST", "/withdraw"), ("POST", "/appeals"),
)  # fmt: skip


def test_who_may_do_what(
    app: TestClient, database: Database, one: str, bearer: Any, add_team: Callable[[str], str]
) -> None:
    move(database, "refused", code="PKG-05")  # so that a stream ends
    blue = bearer(f"{add_team('blue')}-captain")
    review, organise = organiser(database, bearer, "reviewer"), organiser(database, bearer)
    with database.write() as session:  # who has set one-time passwords up
        for role in ("reviewer", "organiser"):
            session.get_one(User, role).second_step = 1
    for method, path in CALLS:
        body = {"json": {"text": "why"}} if path == "/appeals" and method == "POST" else {}

        def status(who: dict[str, str], id: str = one) -> int:
            return app.request(method, f"/submissions/{id}{path}", headers=who, **body).status_code  # noqa: B023

        assert status({}) == status({}, "f" * 16) == 401, path
        assert status(blue) == status(blue, "f" * 16) == 404, path
        assert status(bearer("red-member", "read")) == (200 if method == "GET" else 403), path
        assert status(review) == status(organise) == (200 if method == "GET" else 403), path
    assert app.get("/submissions", headers=blue).json() == {"submissions": []}
    assert app.get("/submissions?team=red", headers=blue).json() == {"submissions": []}, "others' are not listed"
    for who in (bearer("red-captain"), review):
        (listed,) = app.get("/submissions?team=red&state=refused", headers=who).json()["submissions"]
        assert (listed["id"], listed["team_name"], listed["slot"]) == (one, "red", 1)
        assert not app.get("/submissions?track=from-scratch", headers=who).json()["submissions"]
    assert app.get("/submissions").status_code == 401
    assert app.get("/appeals", headers=bearer("red-captain", "read", "organise")).status_code == 403
    assert app.get("/appeals", headers=organise).status_code == 200


def test_evidence_for_a_reviewer_is_the_reviewers(app: TestClient, database: Database, one: str, bearer: Any) -> None:
    with database.write() as session:
        for number, severity in enumerate("RW", start=1):
            body = {"code": "QNT-05", "severity": severity, "what": "few values", "evidence": {"distinct": 0.1}}
            session.add(Finding(submission_id=one, number=number, body=body))
    review = organiser(database, bearer, "reviewer")
    with database.write() as session:
        session.get_one(User, "reviewer").second_step = 1
    for who, evidence in ((bearer("red-captain"), [False, True]), (review, [True, True])):
        found = app.get(f"/submissions/{one}/findings", headers=who).json()["findings"]
        assert ["evidence" in each for each in found] == evidence


def test_a_submission_shows_its_place_then_its_progress_and_log(
    app: TestClient, database: Database, one: str, bearer: Any
) -> None:
    red = bearer("red-captain")
    assert (now := app.get(f"/submissions/{one}", headers=red).json())["before"] == 0 and now["attempt"] == 0
    with database.write() as session:
        job = session.scalars(select(Job)).one()
        job.state, job.attempt = queue.LEASED, 1
        session.add(Progress(job_id=job.id, part="base/gsm8k", done=3, of=10, blob=None, changed=1))
        queue.say(session, job, ["<b>one</b>", "two", "three"], 9)
    now = app.get(f"/submissions/{one}", headers=red).json()
    assert now["before"] is None and now["parts"] == [{"part": "base/gsm8k", "done": 3, "of": 10}]
    first = app.get(f"/submissions/{one}/log?limit=2", headers=red).json()
    rest = app.get(f"/submissions/{one}/log?after={first['next']}", headers=red).json()
    assert [line["text"] for line in first["lines"] + rest["lines"]] == ["<b>one</b>", "two", "three"]


def test_changes_are_streamed_until_the_end(
    app: TestClient, database: Database, one: str, bearer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming, look = iter(("accepted", "queued", "running", "scored")), module._live

    def looked(*args: Any) -> Any:
        """What is there now; after each look the next thing happens."""
        now = look(*args)
        for state in coming:
            move(database, state)
            break
        return now

    monkeypatch.setattr(module, "_live", looked)
    monkeypatch.setattr(module, "POLL", 0)
    answer = app.get(f"/submissions/{one}/events", headers=bearer("red-captain"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    seen = [json.loads(line[6:])["state"] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert seen == ["checking", "accepted", "queued", "running", "scored"]


def test_all_who_watch_have_one_look_and_anything_that_happens_is_another_mark(
    database: Database, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks, look = 0.0, list[tuple[str, ...]](), watching.marks
    monkeypatch.setattr(watching, "marks", lambda *args: looks.append(args[1]) or look(*args))
    watch = watching.Watch(lambda: now)

    def mark(submission: str = one) -> watching.Mark:
        return asyncio.run(watch.mark(database, submission, 0.5))

    def lease(session: Session) -> None:
        session.scalars(select(Job)).one().state = queue.LEASED

    def go_on(done: int, session: Session) -> None:
        queue.progress(session, session.scalars(select(Job)).one(), "base/gsm8k", done, 10, done)

    with watch.of(one), watch.of(one), watch.of("f" * 16):
        assert mark() == mark() and mark("f" * 16) == () and looks == [(one, "f" * 16)]
        with database.write() as session:
            lease(session)
        seen = {mark()}
        assert len(looks) == 1, "it is not old enough"
        for happens in (lease, partial(go_on, 3), partial(go_on, 4)):
            now += 0.5
            with database.write() as session:
                happens(session)
            seen.add(mark())
        now += 0.5
        move(database, "accepted")
        assert len({*seen, mark()}) == 5 and len(looks) == 5
    now += 0.5
    assert mark() == () and looks[-1] == (), "nobody watches"


def test_a_package_of_the_preliminary_review_ends_accepted(
    app: TestClient, database: Database, one: str, bearer: Any
) -> None:
    with database.write() as session:
        session.get_one(Submission, one).phase = "preliminary"
    red = bearer("red-captain")
    assert not app.get(f"/submissions/{one}", headers=red).json()["over"]
    move(database, "accepted")
    assert app.get(f"/submissions/{one}", headers=red).json()["over"]
    assert app.get(f"/submissions/{one}/events", headers=red).text.count("data: ") == 1, "the stream ends"


def test_an_appeal_is_made_once_decided_once_and_told(
    app: TestClient, database: Database, one: str, bearer: Any
) -> None:
    red, organise = bearer("red-captain"), organiser(database, bearer)
    with database.write() as session:
        session.get_one(User, "organiser").second_step = 1
    where = f"/submissions/{one}/appeals"
    assert app.post(where, json={"text": "unfair"}, headers=red).status_code == 409, "it has not ended"
    move(database, "accepted", "queued", "running", "failed")
    made = app.post(where, json={"text": "unfair"}, headers=red)
    assert (made.status_code, made.json()["decision"]) == (201, "")
    assert app.post(where, json={"text": "again"}, headers=red).status_code == 409, "one is open"
    assert [each["text"] for each in app.get("/appeals?undecided=true", headers=organise).json()["appeals"]] == [
        "unfair"
    ]
    decided, body = f"/appeals/{made.json()['id']}/decision", {"decision": "granted", "reason": "the device was hot"}
    assert app.post(decided, json=body, headers=red).status_code == 403
    assert app.post(decided, json={**body, "decision": "perhaps"}, headers=organise).status_code == 422
    assert app.post("/appeals/none/decision", json=body, headers=organise).status_code == 404
    assert app.post(decided, json=body, headers=organise).json()["decision"] == "granted"
    assert app.post(decided, json=body, headers=organise).status_code == 409
    assert app.get("/appeals?undecided=true", headers=organise).json()["appeals"] == []
    (shown,) = app.get(where, headers=red).json()["appeals"]
    assert (shown["decision"], shown["reason"]) == ("granted", "the device was hot")
    with database.read() as session:
        told = session.scalars(select(Notice).filter_by(user_id="red-member", channel="page"))
        assert any(notice.subject.endswith("appeal granted") for notice in told)
        assert session.scalars(select(Notice).filter_by(user_id="organiser", channel="mail")).first()


def test_appeals_close_some_days_after_the_provisional_board(
    app: TestClient, server: Server, one: str, bearer: Any, clock: Any
) -> None:
    red, where = bearer("red-captain"), f"/submissions/{one}/appeals"
    move(server.database, "refused")
    assert app.get(where, headers=red).json()["deadline"] is None
    with server.database.write() as session:
        for number in (101, 102):  # a later revision opens nothing again
            session.add(Revision(track="compression", number=number, state="provisional", standings="",
                                 entries="", decisions="",
                                 created=clock.now + (number - 101) * DAY, reason=""))  # fmt: skip
    clock.now = end = clock.now + server.rules.objection_days * DAY
    assert app.get(where, headers=red).json()["deadline"] == end
    assert app.post(where, json={"text": "unfair"}, headers=red).status_code == 409
    clock.now -= 1
    assert app.post(where, json={"text": "unfair"}, headers=red).status_code == 201


def test_a_team_sees_its_slots_and_an_organiser_grants_one(
    app: TestClient, database: Database, one: str, bearer: Any, add_team: Callable[[str], str]
) -> None:
    red, blue, organise = bearer("red-captain"), bearer(f"{add_team('blue')}-captain"), organiser(database, bearer)
    with database.write() as session:
        session.get_one(User, "organiser").second_step = 1
    found = {
        (each["track"], each["phase"]): each for each in app.get("/teams/red/slots", headers=red).json()["ledgers"]
    }
    assert set(found) == {(track, phase) for track in ("compression", "from-scratch")
                          for phase in ("preliminary", "scored")}  # fmt: skip
    scored = found["compression", "scored"]
    assert scored["slots"][0] == {"number": 1, "use": "reserved", "submission": one, "state": "checking"}
    assert [slot["use"] for slot in scored["slots"][1:]] == ["free", "free"]
    assert len(found["from-scratch", "scored"]["slots"]) == 3 and not found["compression", "preliminary"]["slots"]
    assert app.get("/teams/red/slots", headers=blue).status_code == 404
    assert app.get("/teams/red/slots").status_code == 401
    body = {"team": "red", "track": "compression", "phase": "scored", "reason": "a cut cable"}
    for changes, who, status in (
        ({}, red, 403), ({}, organise, 201), ({"team": "none"}, organise, 404), ({"phase": "none"}, organise, 404),
        ({"phase": "preliminary"}, organise, 404), ({"track": "none"}, organise, 400), ({"reason": " "}, organise, 422),
    ):  # fmt: skip
        assert app.post("/admin/slots/grant", json={**body, **changes}, headers=who).status_code == status, changes
    (scored,) = [each for each in app.get("/teams/red/slots", headers=organise).json()["ledgers"]
                 if (each["track"], each["phase"]) == ("compression", "scored")]  # fmt: skip
    assert len(scored["slots"]) == 4
