"""What organisers decide about boards: who may, how many it takes, when it is refused, and what is told."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from edgelm.server import audit
from edgelm.server.access import FRESH
from edgelm.server.tables import Appeal, Audit, Decision, Job, Notice, Submission, User

from .conftest import DAY, START, TRACK

COPYING = {"offence": "copying", "evidence": "source/train.py is another's"}
BOARD = {"track": TRACK}


@pytest.fixture
def red(competition):
    competition.scored("blue", (1, 0), (1, 0), 2, 50)
    return competition.scored("red", (1, 1), (1, 1), 1, 60)


def teams(competition):
    return [line["team"] for line in competition.board()["lines"]]


def state(competition):
    board = competition.board()
    return board["state"], board["revision"]


def test_one_organiser_voids_a_task_and_lifts_that(competition, red, ada, published):
    published("live")
    before = competition.board()
    assert competition.decide("void", {**BOARD, "task": "gsm8k"}, ada).json()["applied"] == competition.clock()
    void = competition.board()
    assert (void["void"], void["maximum"], void["revision"]) == (["gsm8k"], 30, 2)
    assert "gsm8k" not in void["tasks"]
    competition.decide("void", {**BOARD, "task": "gsm8k", "lift": True}, ada)
    again = competition.board()
    assert (again["lines"], again["maximum"], again["revision"]) == (before["lines"], 40, 3)


def test_a_live_board_keeps_its_decisions_when_results_come_in(competition, red, ada, bo, published):
    published("live")
    competition.decide("void", {**BOARD, "task": "gsm8k"}, ada)
    competition.decide(f"submissions/{red}/disqualify", {**COPYING}, ada, bo)
    competition.scored("green")
    competition.follow()
    board = competition.board()
    assert (board["void"], board["revision"]) == (["gsm8k"], 4)
    assert sorted(teams(competition)) == ["blue", "green"]


def test_a_disqualification_takes_two_people(competition, red, ada, bo, published):
    published("live")
    answer = competition.decide(f"submissions/{red}/disqualify", COPYING, ada)
    assert answer.json()["applied"] is None and "red" in teams(competition)
    alone = ada.post(f"/admin/decisions/{answer.json()['id']}/second")
    assert alone.status_code == 403 and "another person" in alone.json()["what"]
    assert "red" in teams(competition)
    done = bo.post(f"/admin/decisions/{answer.json()['id']}/second")
    assert done.status_code == 200, done.text
    assert (done.json()["proposer"], done.json()["seconder"]) == ("Ada", "Bo")
    [out] = competition.board()["ineligible"]
    assert (out["team"], out["reasons"]) == ("red", ["copying: source/train.py is another's (signed Ada and Bo)"])
    assert bo.post(f"/admin/decisions/{answer.json()['id']}/second").status_code == 409


def test_seconding_needs_a_fresh_login_and_no_token_does(competition, red, ada, bo, published, clock):
    published("live")
    made = competition.decide(f"submissions/{red}/disqualify", COPYING, ada).json()["id"]
    clock.now += FRESH
    stale = bo.post(f"/admin/decisions/{made}/second")
    assert stale.status_code == 401 and "fresh login" in stale.json()["what"]
    competition.log_in(bo)
    assert bo.post(f"/admin/decisions/{made}/second").status_code == 200


@pytest.mark.parametrize("path", ["freeze", "submissions/{}/disqualify", "publish", "revisions"])
def test_proposing_what_needs_two_needs_a_fresh_login(competition, red, ada, published, clock, path):
    published("live")
    clock.now += FRESH
    body = {**BOARD, "reason": "x", "state": "provisional", **COPYING}
    fields = {"freeze": ("track",), "publish": ("track", "state"), "revisions": ("track",)}.get(path, tuple(COPYING))
    stale = ada.post(f"/admin/{path.format(red)}", json={name: body[name] for name in (*fields, "reason")})
    assert stale.status_code == 401 and "fresh login" in stale.json()["what"]


@pytest.mark.parametrize("asker", ["visitor", "participant", "member", "reviewer"])
def test_nobody_below_an_organiser_decides(competition, red, ada, published, asker):
    published("live")
    made = competition.decide(f"submissions/{red}/disqualify", COPYING, ada).json()["id"]
    role = asker if asker == "reviewer" else "participant"
    client = competition.browser("" if asker == "visitor" else "Eve", role, "red" if asker == "member" else "")
    calls = [
        ("void", {**BOARD, "task": "chid"}), ("freeze", BOARD), ("publish", {**BOARD, "state": "provisional"}),
        ("revisions", BOARD), ("revisions/preview", {"kind": "freeze", "body": BOARD}),
        (f"submissions/{red}/disqualify", COPYING), (f"submissions/{red}/reinstate", {"offence": "copying"}),
        ("decisions", {"kind": "freeze", "body": BOARD}),
    ]  # fmt: skip
    for path, body in calls:
        assert client.post(f"/admin/{path}", json={"reason": "x", **body}).status_code in (401, 403), path
    for path in (f"decisions/{made}/second", f"decisions/{made}/withdraw"):
        assert client.post(f"/admin/{path}").status_code in (401, 403), path
    assert client.get("/admin/decisions").status_code in (401, 403)
    assert state(competition) == ("live", 1)


def test_a_proposal_of_someone_who_may_not_any_more_is_not_seconded(competition, red, ada, bo, published):
    published("live")
    made = competition.decide(f"submissions/{red}/disqualify", COPYING, ada).json()["id"]
    with competition.server.database.write() as session:
        session.get_one(User, ada.id).role = "participant"
    assert bo.post(f"/admin/decisions/{made}/second").status_code == 409


def test_a_proposal_is_made_once_and_can_be_withdrawn(competition, red, ada, bo, published):
    published("live")
    made = competition.decide(f"submissions/{red}/disqualify", COPYING, ada).json()["id"]
    assert competition.decide(f"submissions/{red}/disqualify", COPYING, bo).status_code == 409
    assert [each["id"] for each in ada.get("/admin/decisions?undecided=true").json()] == [made]
    assert bo.post(f"/admin/decisions/{made}/withdraw").json()["withdrawn"] == competition.clock()
    assert bo.post(f"/admin/decisions/{made}/second").status_code == 409
    assert ada.get("/admin/decisions?undecided=true").json() == []


def test_reinstating_gives_the_board_as_it_was(competition, red, ada, bo, published):
    published("provisional")
    before = competition.board()
    dtype = {"offence": "dtype", "evidence": "int8"}
    assert competition.decide(f"submissions/{red}/disqualify", dtype, ada, bo).status_code == 200
    assert teams(competition) == ["blue"]
    assert competition.decide(f"submissions/{red}/reinstate", {"offence": "copying"}, ada).status_code == 409
    assert competition.decide(f"submissions/{red}/reinstate", {"offence": "dtype"}, ada, bo).status_code == 200
    assert competition.board()["lines"] == before["lines"]
    assert competition.board()["revision"] == before["revision"] + 2


def test_a_preview_says_what_would_change_and_does_nothing(competition, red, ada, published):
    published("provisional")
    asked = {"kind": "disqualify", "body": {"submission": red, **COPYING}, "reason": "so"}
    change = ada.post("/admin/revisions/preview", json=asked).json()["difference"]
    assert change["put_out"] == [red]
    assert {each["team"]: each["after"] and each["after"]["rank"] for each in change["changes"]} == {
        "red": None,
        "blue": 1,
    }
    assert teams(competition) == ["red", "blue"]
    with competition.server.database.read() as session:
        assert not session.scalars(select(Decision).where(Decision.kind == "disqualify")).all()


def test_the_preview_of_a_provisional_board_tells_nothing_of_hold_outs(competition, red, ada, published):
    published("frozen")
    asked = {"kind": "publish", "body": {**BOARD, "state": "provisional"}, "reason": "so"}
    answer = ada.post("/admin/revisions/preview", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["difference"]["changes"] == [] and answer.json()["difference"]["maximum"] == [40, 40]


def test_after_the_final_board_nothing_changes(competition, red, ada, bo, published):
    published("final")
    before = competition.browser().get(f"/boards/{TRACK}/standings").content
    for path, body in (
        ("void", {**BOARD, "task": "chid"}), ("freeze", BOARD), ("revisions", BOARD),
        ("publish", {**BOARD, "state": "provisional"}), ("publish", {**BOARD, "state": "final"}),
        (f"submissions/{red}/disqualify", COPYING), (f"submissions/{red}/reinstate", {"offence": "copying"}),
    ):  # fmt: skip
        answer = competition.decide(path, body, ada, bo)
        assert answer.status_code in (400, 409), (path, answer.text)
    competition.scored("late", (1, 1), (1, 1), 1, 99)
    competition.follow()
    assert competition.browser().get(f"/boards/{TRACK}/standings").content == before
    assert state(competition) == ("final", 4)


def test_a_decision_that_was_proposed_before_is_refused_after_the_final_board(competition, red, ada, bo, published):
    published("provisional")
    made = competition.decide(f"submissions/{red}/disqualify", COPYING, ada).json()["id"]
    competition.clock.pass_seconds(8 * 86_400)
    assert competition.decide("publish", {**BOARD, "state": "final"}, ada, bo).status_code == 200
    competition.log_in(bo)
    assert bo.post(f"/admin/decisions/{made}/second").status_code == 400
    assert competition.board()["ineligible"] == []


def _appeal(session, red):
    session.add(Appeal(submission_id=red, user_id="", text="x", created=0))


def _review(session, red):
    session.get_one(Submission, red).review = "open"


def _job(session, red):
    session.add(Job(key="again", submission_id=red, kind="evaluate", tags=[], state="waiting", created=0))


@pytest.mark.parametrize("stage", ["provisional", "final"])
@pytest.mark.parametrize(
    ("unsettled", "said"), [(_appeal, "appeals are open"), (_review, "reviews are open"), (_job, "are under way")]
)
def test_nothing_is_published_while_something_is_unsettled(
    competition, red, ada, bo, published, stage, unsettled, said
):
    published("frozen" if stage == "provisional" else "provisional")
    competition.clock.pass_seconds(8 * 86_400)
    before = state(competition)
    proposed = competition.decide("publish", {**BOARD, "state": stage}, ada)
    assert proposed.status_code == 201
    with competition.server.database.write() as session:
        unsettled(session, red)
    competition.log_in(bo)
    seconded = bo.post(f"/admin/decisions/{proposed.json()['id']}/second")
    assert seconded.status_code == 409 and said in seconded.json()["what"] and red in seconded.json()["what"]
    assert state(competition) == before
    assert ada.get("/admin/decisions?undecided=true").json()[0]["seconded_by"] is None


def test_nothing_is_published_before_its_time(competition, red, ada, bo, published):
    published("live")
    assert competition.decide("publish", {**BOARD, "state": "provisional"}, ada).status_code == 400  # it is not frozen
    assert competition.decide("freeze", BOARD, ada, bo).status_code == 200
    early = competition.decide("publish", {**BOARD, "state": "provisional"}, ada)
    assert early.status_code == 409 and "to close" in early.json()["what"]
    competition.clock.now = START + DAY
    assert competition.decide("publish", {**BOARD, "state": "provisional"}, ada, bo).status_code == 200
    early = competition.decide("publish", {**BOARD, "state": "final"}, ada)
    assert early.status_code == 409 and "objections" in early.json()["what"]


def test_hold_outs_that_nobody_asked_are_voided_before_publication(competition, ada, bo, published):
    competition.scored("red")
    published("frozen")
    refused = competition.decide("publish", {**BOARD, "state": "provisional"}, ada)
    assert refused.status_code == 409 and "no hold-out" in refused.json()["what"]
    competition.decide("void", {**BOARD, "task": "holdout"}, ada)
    assert competition.decide("publish", {**BOARD, "state": "provisional"}, ada, bo).status_code == 200


def test_a_frozen_board_keeps_its_entries_through_decisions(competition, red, ada, published):
    published("frozen")
    competition.scored("late", (1, 1), (1, 1), 1, 9)
    competition.follow()
    competition.decide("void", {**BOARD, "task": "chid"}, ada)
    assert "late" not in teams(competition)


def test_a_provisional_board_takes_new_results_when_two_say_so(competition, red, ada, bo, published):
    published("provisional")
    competition.scored("late", (1, 1), (1, 1), 1, 9)
    competition.follow()
    assert "late" not in teams(competition)
    with competition.server.database.write() as session:
        _job(session, red)
    waits = competition.decide("revisions", BOARD, ada, bo)
    assert waits.status_code == 409 and red in waits.json()["what"]  # or it would fall from the board
    with competition.server.database.write() as session:
        session.scalars(select(Job).filter_by(key="again")).one().state = "cancelled"
    assert competition.decide("revisions", BOARD, ada, bo).status_code == 200
    assert "late" in teams(competition)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("void", {**BOARD, "task": "none"}),
        ("void", {"track": "none", "task": "chid"}),
        ("submissions/none/disqualify", COPYING),
        ("decisions", {"kind": "none", "body": {}}),
        ("decisions", {"kind": "void", "body": {"track": TRACK}}),
        ("decisions", {"kind": "disqualify", "body": {"submission": "x", "offence": "ugly", "evidence": "y"}}),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_proposed(competition, red, ada, published, path, body):
    published("live")
    assert competition.decide(path, body, ada).status_code in (400, 404, 409)
    with competition.server.database.read() as session:
        assert not session.scalars(select(Decision)).all()


def test_a_call_that_is_sent_again_decides_once(competition, red, ada, published):
    published("live")
    asked = {"json": {**BOARD, "task": "chid", "reason": "so"}, "headers": {"Idempotency-Key": "k"}}
    first, again = ada.post("/admin/void", **asked), ada.post("/admin/void", **asked)
    assert first.json() == again.json() and state(competition) == ("live", 2)


def test_teams_are_told_and_the_log_holds(competition, red, ada, bo, published):
    member = competition.browser("Mo", team="red")
    other = competition.browser("Ola", team="blue")
    published("live")
    competition.decide(f"submissions/{red}/disqualify", COPYING, ada, bo)
    competition.decide("void", {**BOARD, "task": "chid"}, ada)
    with competition.server.database.read() as session:
        told = select(Notice.subject).where(Notice.channel == "page")
        to_red = list(session.scalars(told.where(Notice.user_id == member.id)))
        to_blue = list(session.scalars(told.where(Notice.user_id == other.id)))
        to_bo = list(session.scalars(told.where(Notice.user_id == bo.id)))
        actions = [each for each in session.scalars(select(Audit.action).order_by(Audit.number)) if each[:5] != "login"]
        assert audit.first_break(session) is None
    assert len(to_red) == 2 and len(to_blue) == 1 and to_bo == ["to be seconded: disqualify"]
    assert actions[-5:] == [
        "decision.propose.disqualify", "decision.disqualify", "board.live", "decision.void", "board.live",
    ]  # fmt: skip


def test_two_organisers_of_one_name_can_be_told_apart(competition, red, ada, published):
    published("live")
    twin = competition.browser("ada", "organiser")
    assert competition.decide(f"submissions/{red}/disqualify", COPYING, ada, twin).status_code == 200
    [out] = competition.board()["ineligible"]
    assert f"Ada ({ada.id})" in out["reasons"][0] and f"ada ({twin.id})" in out["reasons"][0]
