"""Stage 2: whole groups invited, who follows when one falls, what it takes to pass, a finalist drawn by lot."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import pytest
from sqlalchemy import select

from edgelm.files import sha256_bytes
from edgelm.rules.phases import shown
from edgelm.server import boards, entries
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import DAY, moment
from edgelm.server.competition import publish_rules
from edgelm.server.tables import Audit, Job, Notice, Phase

TRACK = "compression"
WHY = {"track": TRACK, "reason": "so"}
FIGURES = {
    "checkpoints": {"base": "c" * 64}, "agreement": "1", "self_agreement": "99/100",
    "tasks": {"gsm8k": {"score": "100"}, "chid": {"score": "100"}, "secret": {"score": "100"}},
    "throughput": "100000", "peaks": {"base": 1000}, "runs_on_phone": True,
}  # fmt: skip


@pytest.fixture
def final(competition, published):
    """`final(a=9, b=5, c=5)`: the final board of teams with so many right answers of ten to each task."""

    def make(**right):
        for team, count in right.items():
            marks = [1] * count + [0] * (10 - count)
            competition.scored(team, marks, marks, 1, 10 * count)
        published("final")
        return competition.board()

    return make


@pytest.fixture
def begun(final, ada):
    """As `final`, with stage 2 begun."""

    def make(**right):
        board = final(**right)
        answer = ada.post("/admin/stage2", json=WHY)
        assert answer.status_code == 201, answer.text
        return board

    return make


@pytest.fixture
def event(competition, ada):
    """`event("red", "received", "running")`: events of a team, one after another; the last answer."""

    def send(team, *events, **more):
        competition.log_in(ada)
        for each in events:
            if each == "passed":
                figures = {**FIGURES, **more}
                entered = ada.put(f"/admin/stage2/{team}/figures", json={"track": TRACK, "figures": figures})
                assert entered.status_code == 200, entered.text
            answer = ada.post(f"/admin/stage2/{team}/{each}", json=WHY)
        return answer

    return send


@pytest.fixture
def summary(competition):
    def get():
        found = competition.browser().get(f"/stage2/{TRACK}").json()
        return {each["team"]: each["state"] for each in found["finalists"]}, found

    return get


def awards(found):
    return [(each["place"], each["team"]) for each in found["awards"]]


def test_the_three_best_ranks_are_invited_and_told(server, competition, final, ada, summary):
    competition.scored("a", [1] * 10, [1] * 10, 1, 100)
    ann = competition.browser("Ann", team="a")
    final(b=8, c=6, d=4)
    assert summary()[1] == {"track": TRACK, "begun": False, "over": False, "finalists": [], "awards": []}
    assert ada.post("/admin/stage2", json=WHY).status_code == 201
    states, found = summary()
    assert states == dict.fromkeys("abc", "invited") and found["begun"] and not found["over"]
    assert ada.post("/admin/stage2", json=WHY).status_code == 409
    with server.database.read() as session:
        told = session.scalars(select(Notice).where(Notice.user_id == ann.id, Notice.event.startswith("stage2/"))).all()
        assert {notice.channel for notice in told} == {"page", "mail"} and len(told) == 2


def test_an_invitation_says_what_to_do_until_when_and_where(server, competition, final, ada, clock):
    competition.scored("a", [1] * 10, [1] * 10, 1, 100)
    ann, other = competition.browser("Ann", team="a"), competition.browser("Bea", team="b")
    final()
    with server.database.write() as session:
        session.add(Phase(name="proof", kind="stage-2", opens=clock(), closes=clock() + DAY))
    assert ann.get("/teams/a/stage2").json() == []
    ada.post("/admin/stage2", json=WHY)
    with server.database.read() as session:
        mail = session.scalars(select(Notice).where(Notice.user_id == ann.id, Notice.channel == "mail",
                                                    Notice.event.startswith("stage2/"))).one()  # fmt: skip
    url = server.settings.public_url
    assert shown(moment(clock() + DAY)) in mail.body and f"{url}/team#stage-2" in mail.body
    assert f"edgelm submit PACKAGE --material --to {url}" in mail.body
    (own,) = ann.get("/teams/a/stage2").json()
    assert (own["state"], own["closes"], own["material"]) == ("invited", clock() + DAY, None)
    assert other.get("/teams/a/stage2").status_code == 404
    page = ann.get("/team").text
    assert 'id="stage-2"' in page and "edgelm submit package --material" in page


@pytest.mark.parametrize("state", ["live", "provisional"])
def test_nobody_is_invited_before_the_final_board(competition, published, ada, state):
    competition.scored("a", secret=50)
    assert ada.post("/admin/stage2", json=WHY).status_code == 404
    published(state)
    answer = ada.post("/admin/stage2", json=WHY)
    assert answer.status_code == 400 and "final" in answer.json()["mend"]


def test_g26_who_falls_is_followed_and_ranks_stay(begun, event, summary):
    """Ranks A1 B2 C2 D4 E5; B fails, D runs out of time, E passes."""
    board = begun(a=10, b=8, c=8, d=6, e=4)
    assert [line["rank"] for line in board["lines"]] == [1, 2, 2, 4, 5]
    assert summary()[0] == {"a": "invited", "b": "invited", "c": "invited"}
    event("b", "received", "running", "failed")
    assert summary()[0]["d"] == "invited" and "e" not in summary()[0]
    event("d", "timed-out")
    assert summary()[0]["e"] == "invited"
    for team in "aec":
        assert event(team, "received", "running", "passed").status_code == 200
    states, found = summary()
    assert states == {"a": "passed", "b": "failed", "c": "passed", "d": "timed-out", "e": "passed"}
    assert awards(found) == [(1, "a"), (2, "c"), (3, "e")] and found["over"]
    assert [line["rank"] for line in summary()[1]["finalists"]] == [1, 2, 2, 4, 5]


def test_g27_of_a_tied_group_two_must_fall_before_another_is_invited(begun, event, summary):
    """Ranks A1 B1 C1 D1 E5."""
    begun(a=8, b=8, c=8, d=8, e=4)
    assert summary()[0] == dict.fromkeys("abcd", "invited")
    event("a", "withdrawn")
    assert "e" not in summary()[0]
    event("b", "received", "running", "failed")
    assert summary()[0]["e"] == "invited"


def test_a_disqualification_after_passing_takes_the_award_and_invites_the_next(begun, event, summary):
    begun(a=10, b=8, c=6, d=4)
    for team in "abc":
        event(team, "received", "running", "passed")
    assert awards(summary()[1]) == [(1, "a"), (2, "b"), (3, "c")] and summary()[1]["over"]
    event("a", "disqualified")
    assert awards(summary()[1]) == [(1, "b"), (2, "c")]
    assert summary()[0] == {"a": "disqualified", "b": "passed", "c": "passed", "d": "invited"}


def test_the_list_may_end(begun, event, summary):
    begun(a=10, b=8)
    event("a", "withdrawn")
    event("b", "received", "timed-out")
    states, found = summary()
    assert states == {"a": "withdrawn", "b": "timed-out"} and found["over"] and found["awards"] == []


def test_no_event_comes_out_of_turn(begun, event, ada):
    begun(a=10, b=8, c=6, d=4)
    for team, wrong in (("a", "running"), ("a", "failed"), ("d", "received"), ("d", "withdrawn")):
        answer = event(team, wrong)
        assert answer.status_code == 409, (team, wrong)
    assert event("nobody", "received").status_code == 404
    assert event("a", "invited").status_code == 422
    event("a", "received")
    figures = {"track": TRACK, "figures": FIGURES}
    assert ada.put("/admin/stage2/a/figures", json=figures).status_code == 409
    event("a", "running")
    assert ada.post("/admin/stage2/a/passed", json=WHY).status_code == 409  # no figures yet


@pytest.mark.parametrize(("found", "short"), [
    ({}, set()),
    ({"checkpoints": {"base": "d" * 64}}, {"checkpoint"}),
    ({"agreement": "98/100"}, {"agreement"}),
    ({"tasks": {"gsm8k": {"score": "70"}, "chid": {"score": "79"}, "secret": {"score": "80"}}}, set()),  # 10 < 2 errors
    ({"tasks": {"gsm8k": {"score": "50"}, "chid": {"score": "79"}, "secret": {"score": "80"}}}, {"gsm8k"}),
    ({"tasks": {"gsm8k": {"score": "50", "spread": "30"}, "chid": {"score": "80"}, "secret": {"score": "79"}}}, set()),
    ({"tasks": {"gsm8k": {"score": "80"}, "chid": {"score": None}, "secret": {"score": "78"}}}, {"chid", "secret"}),
    ({"tasks": {"gsm8k": {"score": "80"}, "chid": {"score": "80"}}}, {"secret"}),
    ({"throughput": None}, {"throughput"}),
    ({"throughput": str(Fraction(49, 50) * 256)}, set()),
    ({"throughput": str(Fraction(49, 50) * 256 - Fraction(1, 10**9))}, {"throughput"}),
    ({"peaks": {}}, {"memory: base"}),
    ({"peaks": {"base": 12 * 2**30}}, {"memory: base"}),
    ({"runs_on_phone": False}, {"bundle"}),
    ({"runs_on_phone": False, "throughput": "1"}, {"bundle", "throughput"}),
])  # fmt: skip
def test_every_condition_is_shown_and_all_must_be_met(begun, event, ada, found, short):
    begun(a=8)
    event("a", "received", "running")
    body = {"track": TRACK, "figures": {**FIGURES, **found}}
    answer = ada.put("/admin/stage2/a/figures", json=body)
    assert answer.status_code == 200, answer.text
    conditions = answer.json()["conditions"]
    names = ["checkpoint", "agreement", "chid", "gsm8k", "secret", "throughput", "memory: base", "bundle"]
    assert [each["name"] for each in conditions] == names
    assert {each["name"] for each in conditions if not each["met"]} == short
    assert {each["name"] for each in conditions if each["said"]} == short
    passed = ada.post("/admin/stage2/a/passed", json=WHY)
    assert passed.status_code == (409 if short else 200)
    if short:
        assert all(name.removeprefix("memory: ") in passed.json()["why"] for name in short)
        assert ada.post("/admin/stage2/a/failed", json=WHY).status_code == 200


def test_conditions_hold_to_what_the_board_has(begun, event, ada):
    begun(a=8)
    event("a", "received", "running")
    conditions = ada.put("/admin/stage2/a/figures", json={"track": TRACK, "figures": FIGURES}).json()["conditions"]
    before = {each["name"]: each["before"] for each in conditions}
    assert (before["gsm8k"], before["secret"], before["checkpoint"]) == ("80.00", "80.00", "cccccccccccc…")
    assert before["throughput"] == "256.00"  # tokens in a second


@pytest.mark.parametrize(("figures", "before", "met"), [
    ({"agreement": "97/100"}, "0.97", True), ({"agreement": "96/100"}, "0.97", False),
    ({"agreement": "97/100", "self_agreement": "98/100"}, "0.98", False),
    ({"agreement": "96/100", "self_agreement": "96/100"}, "0.96", True),
])  # fmt: skip
def test_tokens_are_held_to_what_was_recorded_unless_it_is_overruled(
    competition, published, event, ada, figures, before, met
):
    tokens = {"same": 30, "of": 32, "same_tokens": 970, "tokens": 1000}
    competition.scored("a", secret=50, agreement=tokens)
    published("final")
    assert ada.post("/admin/stage2", json=WHY).status_code == 201
    event("a", "received", "running")
    own = {name: value for name, value in FIGURES.items() if name != "self_agreement"} | figures
    answer = ada.put("/admin/stage2/a/figures", json={"track": TRACK, "figures": own})
    [found] = [each for each in answer.json()["conditions"] if each["name"] == "agreement"]
    assert (found["before"], found["found"], found["met"]) == (before, f"0.{figures['agreement'][:2]}", met)


def test_one_more_finalist_is_drawn_as_anybody_can_reckon(server, begun, event, ada, summary):
    begun(a=10, b=9, c=8, d=6, e=5, f=4)
    with server.database.read() as session:
        standings = boards.latest(session, TRACK).standings
    seed = "1 7 19 22 40 43"
    expected = "def"[int(sha256_bytes(f"{standings}\n{seed}".encode()), 16) % 3]
    drawn = ada.post("/admin/stage2/draw", json={"seed": seed, **WHY}).json()
    assert (drawn["team"], drawn["state"], drawn["drawn"], drawn["due"]) == (expected, "invited", True, False)
    assert ada.post("/admin/stage2/draw", json={"seed": seed, **WHY}).status_code == 409
    event(expected, "received", "running", "passed")
    assert awards(summary()[1]) == []  # it was not its turn
    for team in "abc":
        event(team, "received", "running", "passed")
    assert awards(summary()[1]) == [(1, "a"), (2, "b"), (3, "c")]
    assert set(summary()[0]) == {"a", "b", "c", expected}
    with server.database.read() as session:
        assert session.scalars(select(Audit).where(Audit.action == "stage2.draw")).one().reason == "so"


def test_who_was_drawn_takes_a_seat_when_the_turn_comes(begun, event, ada, summary):
    begun(a=10, b=9, c=8, d=6)
    ada.post("/admin/stage2/draw", json={"seed": "x", **WHY})
    event("d", "received", "running", "passed")
    event("a", "withdrawn")
    assert summary()[0] == {"a": "withdrawn", "b": "invited", "c": "invited", "d": "passed"}
    assert awards(summary()[1]) == [(1, "d")]


def test_who_was_drawn_and_failed_is_passed_over(begun, event, ada, summary):
    begun(a=10, b=9, c=8, d=6, e=5)
    drawn = ada.post("/admin/stage2/draw", json={"seed": "x", **WHY}).json()["team"]
    event(drawn, "received", "running", "failed")
    event("a", "withdrawn")
    other = ({"d", "e"} - {drawn}).pop()
    assert summary()[0] == {"a": "withdrawn", "b": "invited", "c": "invited", drawn: "failed", other: "invited"}


def test_nobody_is_drawn_when_all_are_invited(begun, ada):
    begun(a=10, b=9)
    assert ada.post("/admin/stage2/draw", json={"seed": "x", **WHY}).status_code == 409


def test_later_rules_change_nothing_of_a_final_board(server, begun, event, summary):
    with server.database.write() as session:
        publish_rules(session, SYSTEM, server.rules, "the first", 1)
    begun(a=10, b=8, c=6, d=4, e=2)
    with server.database.write() as session:
        publish_rules(session, SYSTEM, dataclasses.replace(server.rules, seats=4), "next year's", server.clock())
    event("a", "withdrawn")
    assert server.rules.seats == 4
    assert summary()[0] == {"a": "withdrawn", "b": "invited", "c": "invited", "d": "invited"}  # e would be the fourth


@pytest.fixture
def next_year(server, begun):
    """`next_year(a=9)`: as `begun`, after which other rules came into force; these."""

    def make(**right):
        with server.database.write() as session:
            publish_rules(session, SYSTEM, server.rules, "the first", 1)
        begun(**right)
        fewer = dataclasses.replace(server.rules, tasks=("gsm8k",))
        with server.database.write() as session:
            publish_rules(session, SYSTEM, fewer, "next year's", server.clock())
        return fewer

    return make


def test_what_a_final_board_holds_teams_to_outlasts_its_rules(competition, next_year, event):
    next_year(a=9, b=5)
    board = competition.board()
    one = next(line["submission"] for line in board["lines"] if line["team"] == "a")
    before = competition.browser().get(f"/results/{one}").json()
    competition.follow()
    after = competition.browser().get(f"/results/{one}").json()
    assert after == before and after["models"]["base"]["tasks"]["chid"]["standard_error"] == "10.0000"
    assert event("a", "received", "running", "passed").status_code == 200
    assert competition.board() == board


def test_what_comes_after_a_final_board_is_read_by_the_rules_of_then(server, competition, next_year):
    fewer = next_year(a=9)
    late = competition.scored("b")
    competition.follow()
    with server.database.read() as session:
        job = session.scalars(select(Job).where(Job.submission_id == late)).one()
    assert entries.reading(server.storage, job.reached).rules == fewer.digest
