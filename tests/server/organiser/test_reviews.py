"""Reviews: what is alike is found and shown to reviewers alone; one clears, two confirm, and the board follows."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from edgelm.files import JsonLog, canonical_json, parse_json
from edgelm.server import duplicates
from edgelm.server.tables import Blob, File, Finding, Job, Notice, Submission

FLAG = {"code": "QNT-05", "severity": "R", "path": "models", "what": "values repeat", "why": "y", "mend": "m",
        "evidence": {"median": "0.41"}}  # fmt: skip
CHARGE = {"offence": "quantised", "evidence": "0.41 of values differ", "reason": "they were quantised"}


@pytest.fixture
def flagged(competition, server):
    """A scored submission with a flag of the checker, beside another; its id."""
    competition.scored("blue")
    one = competition.scored("red", (1, 1), (1, 1))
    with server.database.write() as session:
        session.add(Finding(submission_id=one, number=1, body=FLAG))
        session.get_one(Submission, one).review = "open"
    return one


@pytest.fixture
def answered(competition, server):
    """`answered("red", ["A", "B"])`: a scored submission with these answers to one task; its id."""

    def make(team, texts, track="compression"):
        one = competition.scored(team)
        lines = [JsonLog.line({"key": f"{n}", "sample": f"{n}", "text": text, "mark": 0, "tokens": 1,
                               "prompt_tokens": 1, "finish": "stop"}) for n, text in enumerate(texts)]  # fmt: skip
        with server.database.write() as session:
            session.get_one(Submission, one).track = track
            job = session.scalars(select(Job).where(Job.submission_id == one)).one()
            result = parse_json(server.storage.read(job.result, 10**6), "result")
            result["models"]["base"]["answers"] = {"gsm8k": server.storage.put(b"".join(lines))}
            job.result = server.storage.put(canonical_json(result))
        return one

    return make


def never_evaluated(server, submission):
    """It has failed, and never ended well."""
    with server.database.write() as session:
        session.get_one(Submission, submission).state = "failed"
        session.scalars(select(Job).where(Job.submission_id == submission)).one().state = "failed"


def weights(server, submission, data, name="model"):
    with server.database.write() as session:
        sha256 = server.storage.put(data)
        session.merge(Blob(sha256=sha256, size=len(data), created=0))
        session.flush()
        path = f"models/base/checkpoint/{name}.safetensors"
        session.add(File(submission_id=submission, path=path, sha256=sha256))


def flags(server, submission):
    with server.database.read() as session:
        rows = session.scalars(select(Finding).filter_by(submission_id=submission).order_by(Finding.number))
        return [(row.body["code"], row.body["evidence"]["submission"], row.body["what"]) for row in rows]


def review(server, submission):
    with server.database.read() as session:
        return session.get_one(Submission, submission).review


def test_a_reviewer_sees_flags_with_their_evidence(flagged, rita):
    (shown,) = rita.get("/admin/reviews").json()
    assert (shown["submission"], shown["team"], shown["flags"], shown["decisions"]) == (flagged, "red", [FLAG], [])
    assert rita.get("/admin/reviews", params={"state": "cleared"}).json() == []


def test_one_reviewer_clears(server, competition, flagged, rita):
    ann = competition.browser("Ann", team="red")
    assert rita.post(f"/admin/reviews/{flagged}/clear", json={"reason": "weights are shared"}).status_code == 200
    assert review(server, flagged) == "cleared"
    with server.database.read() as session:
        told = session.scalars(select(Notice).where(Notice.user_id == ann.id, Notice.subject.like("%cleared"))).all()
        assert {notice.body for notice in told} == {"weights are shared"}
    (shown,) = rita.get("/admin/reviews", params={"state": "cleared"}).json()
    assert shown["decisions"][0]["reason"] == "weights are shared"
    assert rita.post(f"/admin/reviews/{flagged}/clear", json={"reason": "x"}).status_code == 409
    assert rita.post("/admin/reviews/none/clear", json={"reason": "x"}).status_code == 404


def test_two_confirm_and_the_submission_is_out(server, competition, flagged, rita, published):
    published("live")
    assert {line["team"] for line in competition.board()["lines"]} == {"red", "blue"}
    proposed = rita.post(f"/admin/reviews/{flagged}/confirm", json=CHARGE)
    assert proposed.status_code == 201 and review(server, flagged) == "open"
    second = f"/admin/decisions/{proposed.json()['id']}/second"
    assert rita.post(second).status_code == 403
    ron = competition.browser("Ron", "reviewer")
    assert ron.post(second).status_code == 200, ron.post(second).text
    assert review(server, flagged) == "confirmed"
    board = competition.board()
    assert [line["team"] for line in board["lines"]] == ["blue"]
    (out,) = board["ineligible"]
    assert out["submission"] == flagged and "quantised: 0.41 of values differ (signed Rita and Ron)" in str(out)
    (shown,) = rita.get("/admin/reviews", params={"state": "confirmed"}).json()
    assert shown["decisions"][0]["seconder"] == "Ron"


def test_what_is_still_evaluated_is_not_confirmed(server, competition, flagged, rita, published):
    published("live")
    proposed = rita.post(f"/admin/reviews/{flagged}/confirm", json=CHARGE).json()
    with server.database.write() as session:
        session.get_one(Submission, flagged).state = "running"
    ron = competition.browser("Ron", "reviewer")
    assert ron.post(f"/admin/decisions/{proposed['id']}/second").status_code == 409
    assert review(server, flagged) == "open"


def test_what_never_comes_on_a_board_is_confirmed_without_one(server, competition, flagged, rita):
    never_evaluated(server, flagged)
    proposed = rita.post(f"/admin/reviews/{flagged}/confirm", json=CHARGE).json()
    ron = competition.browser("Ron", "reviewer")
    assert ron.post(f"/admin/decisions/{proposed['id']}/second").status_code == 200
    assert review(server, flagged) == "confirmed"


def test_the_same_weights_are_flagged_on_both_sides(server, answered, rita, clock):
    made = []
    for number, team in enumerate(("red", "blue", "red", "green")):
        clock.pass_seconds(1)
        made.append(answered(team, [f"{number}"]))
    red, blue, own, other = made
    for one, data in ((red, b"same"), (blue, b"same"), (own, b"same"), (other, b"other")):
        weights(server, one, data)
    for _ in range(2):
        duplicates.compare(server)
    what = "its weights are those of another team's package"
    assert flags(server, red) == [("DUP-01", blue, what)]
    assert sorted(flags(server, blue)) == sorted([("DUP-01", red, what), ("DUP-01", own, what)])
    assert flags(server, other) == [] and review(server, other) == ""
    assert [review(server, each) for each in (red, blue, own)] == ["open"] * 3
    groups = rita.get("/admin/reviews/duplicates").json()
    assert [each["id"] for each in groups[0]["submissions"]] == [red, blue, own]  # as they were handed in
    assert [each["team"] for each in groups[0]["submissions"]] == ["red", "blue", "red"]
    assert len(groups) == 1 and groups[0]["teams"] == ["blue", "red"]


def test_a_part_of_the_weights_may_be_of_a_common_base(server, answered):
    red, blue, green = (answered(team, [team]) for team in ("red", "blue", "green"))
    for one, data in ((red, b"red"), (blue, b"blue"), (green, b"red")):
        weights(server, one, b"the base's", "1")
        weights(server, one, data, "2")
    duplicates.compare(server)
    what = "its weights are those of another team's package"
    assert flags(server, red) == [("DUP-01", green, what)] and flags(server, green) == [("DUP-01", red, what)]
    assert flags(server, blue) == []


@pytest.mark.parametrize(("equal", "alike"), [(200, True), (198, True), (197, False), (0, False)])
def test_answers_that_are_equal_to_the_hundredth_are_flagged(server, answered, equal, alike):
    red = answered("red", [f"{n}" for n in range(200)])
    blue = answered("blue", [f"{n}" if n < equal else "other" for n in range(200)])
    duplicates.compare(server)
    what = f"{equal} of 200 answers are those of another team's package"
    assert flags(server, red) == ([("DUP-02", blue, what)] if alike else [])
    assert flags(server, blue) == ([("DUP-02", red, what)] if alike else [])


def test_a_part_of_the_answers_is_not_all_of_them(server, answered):
    red, blue = answered("red", ["A"] * 10), answered("blue", ["A"] * 100)
    duplicates.compare(server)
    assert flags(server, red) == flags(server, blue) == []


def test_a_team_may_repeat_itself_and_other_tracks_are_no_matter(server, answered):
    found = [answered("red", ["A"] * 9), answered("red", ["A"] * 9),
             answered("blue", ["A"] * 9, track="from-scratch")]  # fmt: skip
    duplicates.compare(server)
    assert [flags(server, each) for each in found] == [[], [], []]


def test_a_cleared_pair_is_not_flagged_again_by_a_run_anew(server, answered, rita):
    red, blue = answered("red", ["A"] * 9), answered("blue", ["A"] * 9)
    duplicates.compare(server)
    for one in (red, blue):
        assert rita.post(f"/admin/reviews/{one}/clear", json={"reason": "both are tiny"}).status_code == 200
    with server.database.write() as session:
        old = session.scalars(select(Job).where(Job.submission_id == red)).one()
        session.add(Job(key="again", submission_id=red, kind="evaluate", tags=[], state="done", created=1, ended=1,
                        result=old.result))  # fmt: skip
    duplicates.compare(server)
    assert len(flags(server, red)) == 1 and review(server, red) == review(server, blue) == "cleared"


def test_a_result_that_cannot_be_read_stops_nothing(server, competition, answered):
    broken = competition.scored("green")
    with server.database.write() as session:
        session.scalars(select(Job).where(Job.submission_id == broken)).one().result = server.storage.put(b"no JSON")
    red, blue = answered("red", ["A"] * 9), answered("blue", ["A"] * 9)
    duplicates.compare(server)
    assert len(flags(server, red)) == len(flags(server, blue)) == 1 and flags(server, broken) == []


def test_a_team_does_not_see_with_whom_it_is_alike(server, competition, answered):
    ann = competition.browser("Ann", team="red")
    red, _ = answered("red", ["A"] * 9), answered("blue", ["A"] * 9)
    duplicates.compare(server)
    (finding,) = ann.get(f"/submissions/{red}/findings").json()["findings"]
    assert finding["code"] == "DUP-02" and "evidence" not in finding


def test_both_teams_are_asked_and_told_what_was_decided(server, competition, answered, rita):
    ann = competition.browser("Ann", team="red")
    red, _ = answered("red", ["A"] * 9), answered("blue", ["A"] * 9)
    duplicates.compare(server)
    (asked,) = [each for each in ann.get("/me/messages").json() if "question of reviewers" in each["subject"]]
    assert "9 of 9 answers are those of another team's package" in asked["body"] and "appeal" in asked["body"]
    found = ann.get(f"/submissions/{red}/findings").json()
    assert found["reason"] == "" and "appeal" in found["findings"][0]["mend"]
    rita.post(f"/admin/reviews/{red}/clear", json={"reason": "all models answer A"})
    assert ann.get(f"/submissions/{red}/findings").json()["reason"] == "all models answer A"


def preview(client, one, **charge):
    body = {"submission": one, **CHARGE, **charge}
    return client.post("/admin/revisions/preview", json={
        "kind": "confirm-review", "reason": body.pop("reason"), "body": body,
    })  # fmt: skip


def test_the_preview_of_a_confirmation_says_whom_it_puts_out(server, competition, flagged, rita, published):
    second, elsewhere = competition.scored("red"), competition.scored("red")
    with server.database.write() as session:
        session.get_one(Submission, elsewhere).track = "from-scratch"
    published("live")
    shown = preview(rita, flagged).json()
    assert (shown["track"], shown["scope"]["team"], shown["scope"]["whole_team"]) == ("compression", "red", False)
    assert [each["id"] for each in shown["scope"]["submissions"]] == [flagged] == shown["difference"]["put_out"]
    shown = preview(rita, flagged, offence="copying").json()
    assert shown["scope"]["whole_team"] and [each["id"] for each in shown["scope"]["elsewhere"]] == [elsewhere]
    out = {each["id"] for each in shown["scope"]["submissions"]}
    assert out == {flagged, second} == set(shown["difference"]["put_out"])
    assert competition.board()["ineligible"] == [] and review(server, flagged) == "open"
    assert competition.browser("Eve").post("/admin/revisions/preview", json={}).status_code in (403, 422)
    assert preview(competition.browser("Eva"), flagged).status_code == 403
    assert preview(rita, second).status_code == 409  # it is not under review


def test_copying_in_what_failed_puts_out_what_the_team_has_on_the_board(server, competition, flagged, rita, published):
    second = competition.scored("red")
    never_evaluated(server, flagged)
    published("live")
    assert preview(rita, flagged).json()["difference"] is None
    charge = {**CHARGE, "offence": "copying"}
    assert [each["id"] for each in preview(rita, flagged, **charge).json()["scope"]["submissions"]] == [second]
    proposed = rita.post(f"/admin/reviews/{flagged}/confirm", json=charge).json()
    ron = competition.browser("Ron", "reviewer")
    assert ron.post(f"/admin/decisions/{proposed['id']}/second").status_code == 200
    assert second in {each["submission"] for each in competition.board()["ineligible"]}
    (out,) = rita.get(f"/submissions/{second}").json()["out"]
    assert (out["decision"], out["offence"], out["whole_team"]) == (proposed["id"], "copying", True)
    assert rita.get(f"/submissions/{flagged}").json()["out"] == []


def test_what_stands_after_an_evaluation_anew_has_failed_is_put_out(server, competition, flagged, rita, published):
    published("live")
    with server.database.write() as session:
        session.get_one(Submission, flagged).state = "failed"  # its evaluation of before has ended well
    proposed = rita.post(f"/admin/reviews/{flagged}/confirm", json=CHARGE).json()
    assert competition.browser("Ron", "reviewer").post(f"/admin/decisions/{proposed['id']}/second").status_code == 200
    assert flagged in {each["submission"] for each in competition.board()["ineligible"]}
