"""Boards follow results, say what the pure function says, and come as JSON, CSV and history."""

from __future__ import annotations

import csv
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy import select

from edgelm.score.board import Board
from edgelm.score.board import standing as pure
from edgelm.score.standings import standings
from edgelm.server import boards, entries
from edgelm.server.tables import Blob, Job, Kept, Phase, Revision, Submission

from .conftest import DAY, START, TRACK


@pytest.fixture
def three(competition: Any) -> dict[str, str]:
    """Three teams, the last with two submissions."""
    return {
        "red": competition.scored("red", (1, 1), (1, 0), 1, 10),
        "blue": competition.scored("blue", (1, 0), (1, 1), 2, 20),
        "green": competition.scored("green", (0, 0), (0, 0), 3, 90),
        "again": competition.scored("green", (1, 0), (0, 0), 4, 80),
    }


def test_a_draft_opens_with_the_phase_and_freezes_at_its_end(competition, clock):
    assert competition.browser().get("/boards").json()[0] == {
        "track": TRACK, "state": "draft", "revision": 0, "published": None, "objections": None,
    }  # fmt: skip
    with competition.server.database.write() as session:
        phase = session.get_one(Phase, "main")
        phase.opens, phase.closes = START + DAY, START + 2 * DAY
    competition.follow()
    assert competition.browser().get(f"/boards/{TRACK}").status_code == 404
    clock.now = START + DAY
    competition.follow()
    assert (competition.board()["state"], competition.board()["revision"]) == ("live", 1)
    clock.now = START + 2 * DAY - 1
    competition.follow()
    assert competition.board()["state"] == "live"
    clock.now += 1
    competition.follow()
    assert (competition.board()["state"], competition.board()["revision"]) == ("frozen", 2)


def test_a_live_board_stays_while_the_dates_are_made_anew(competition):
    competition.follow()
    with competition.server.database.write() as session:
        session.delete(session.get_one(Phase, "main"))
    competition.follow()
    assert competition.board()["state"] == "live"


def test_a_live_board_follows_the_results_and_only_these(competition, three):
    competition.follow()
    competition.follow()
    assert (competition.board()["revision"], competition.board()["teams"]) == (1, 3)
    competition.scored("black")
    competition.follow()
    assert (competition.board()["revision"], competition.board()["teams"]) == (2, 4)
    assert competition.board(revision=1)["teams"] == 3


def test_of_the_recounts_of_a_day_the_last_is_kept(competition, three, ada, published, clock):
    with competition.server.database.write() as session:
        session.get_one(Phase, "main").closes = START + 9 * DAY
    published("live")

    def recounted(*teams):
        for team in teams:
            competition.scored(team)
            competition.follow()

    recounted("black", "white")  # 2, 3
    assert competition.decide("void", {"track": TRACK, "task": "chid"}, ada).status_code == 201
    recounted("brown", "grey")  # 5, 6
    clock.now += DAY
    recounted("pink", "azure")  # 7, 8
    found = competition.browser().get(f"/boards/{TRACK}/history").json()["revisions"]
    assert [each["revision"] for each in found] == [8, 6, 4, 3, 1]
    assert [each["team"] for each in found[0]["difference"]["changes"] if each["before"] is None] == ["azure", "pink"]
    assert found[2]["difference"]["voided"] == ["chid"]
    assert competition.browser().get(f"/boards/{TRACK}?revision=7").status_code == 404
    for each in found:
        assert competition.board(revision=each["revision"])["teams"] > 0


def test_a_withdrawn_submission_leaves_the_live_board(competition, three):
    competition.follow()
    with competition.server.database.write() as session:
        session.get_one(Submission, three["red"]).state = "withdrawn"
    competition.follow()
    assert {line["team"] for line in competition.board()["lines"]} == {"blue", "green"}


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_the_old_result_counts_until_an_evaluation_anew_has_ended_well(competition, three, state):
    with competition.server.database.write() as session:
        session.get_one(Submission, three["red"]).state = state
    competition.follow()
    assert {line["team"] for line in competition.board()["lines"]} == {"red", "blue", "green"}


def test_packages_of_the_preliminary_review_never_count(competition, three):
    with competition.server.database.write() as session:
        session.add(Phase(name="look", kind="preliminary", opens=START - DAY, closes=START))
        session.flush()
        session.get_one(Submission, three["red"]).phase = "look"
    competition.follow()
    assert "red" not in {line["team"] for line in competition.board()["lines"]}


def test_it_is_what_the_pure_function_gives(competition, three, published):
    published("provisional")
    server = competition.server
    with server.database.read() as session:
        row, shown = boards.revision(session, server, TRACK)
        received = entries.gathered(session, server, TRACK)
    again = standings(server.rules, server.rules.track(TRACK), received.entries, revision=row.number)
    assert again.to_bytes() == shown.to_bytes() == server.storage.read(row.standings, 1 << 30)
    assert competition.browser().get(f"/boards/{TRACK}/standings").content == again.to_bytes()
    assert {line["team"]: line["total"] for line in competition.board()["lines"]} == {
        line.team: str(line.total) for line in again.board
    }


def test_every_revision_follows_from_its_own_blobs(competition, three, published):
    published("final")
    server = competition.server
    with server.database.read() as session:
        rows = list(session.scalars(select(Revision).filter_by(track=TRACK).order_by(Revision.number)))
        known = set(session.scalars(select(Blob.sha256)))
    assert [row.state for row in rows] == ["live", "frozen", "provisional", "final"]
    for row in rows:
        board = Board.model_validate_json(server.storage.read(row.decisions, 1 << 20))
        held = boards.entries_of(server.storage, row.entries)
        made = pure(board, server.rules, server.rules.track(TRACK), held)
        assert made.to_bytes() == server.storage.read(row.standings, 1 << 30)
        assert {row.standings, row.entries, row.decisions} <= known


def test_scores_follow_from_marks_that_are_kept(competition, three):
    competition.follow()
    with competition.server.database.read() as session:
        found = entries.gathered(session, competition.server, TRACK).entries
        kept = set(session.scalars(select(Kept.sha256)))
    [model] = [each.models["base"] for each in found if each.team == "red"]
    assert (model.scores["gsm8k"], model.scores["chid"], model.scores["secret"]) == (100, 50, 10)
    assert set(model.marks) == {"gsm8k", "chid"} and set(model.marks.values()) <= kept
    assert model.throughput == Fraction(256)


def test_answers_that_speak_against_their_score_do_not_count(competition):
    good = competition.scored("red", (1, 1, 0), (1, 0))
    storage = competition.server.storage
    with competition.server.database.read() as session:
        job = session.scalars(select(Job)).first()
    result = entries.result_of(storage, job.result)
    other = entries.result_of(storage, competition.result({"gsm8k": (1, 0, 0), "chid": (1, 0)}))
    swapped = result.model_copy(update={"models": {"base": result.models["base"].model_copy(
        update={"answers": other.models["base"].answers})}})  # fmt: skip
    reading = entries.read(storage, competition.server.rules, storage.put(swapped.model_dump_json().encode()))
    assert "gsm8k" not in reading.models["base"].scores and "chid" in reading.models["base"].scores
    assert any("marks give 33.3333, the report has 66.6667" in note for note in reading.models["base"].notes)
    assert good


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"eligible": False}, "outside a sandbox"),
        ({"rules": "0" * 64}, "other rules"),
        ({"memory": 12 * 2**30}, "not below the limit"),
    ],
)
def test_who_is_out_by_itself_touches_nobody(competition, three, fields, said):
    competition.follow()
    before = competition.board()["lines"]
    competition.scored("black", (1, 1), (1, 1), 1, **fields)
    competition.follow()
    after = competition.board()
    assert after["lines"] == before
    [out] = after["ineligible"]
    assert out["team"] == "black" and said in out["reasons"][0]


def test_a_result_that_cannot_be_read_is_out_with_the_reason(competition, three):
    with competition.server.database.write() as session:
        [job] = session.scalars(select(Job).filter_by(submission_id=three["red"]))
        job.result = competition.server.storage.put(b"{}")
    competition.follow()
    [out] = competition.board()["ineligible"]
    assert out["team"] == "red" and out["reasons"][0].startswith("evaluation: ")


def test_the_board_shows_ranks_and_never_splits_a_tie(competition):
    for number in range(17):
        competition.scored(f"team{number:02}", (1, 0), (1, 0), 1 if number < 14 else 2)
    competition.scored("last", (0, 0), (0, 0), 3)
    competition.follow()
    board = competition.board()
    assert board["teams"] == 18 and len(board["lines"]) == 17  # 14 of rank 1, 3 of rank 15
    assert len(competition.board(limit=14)["lines"]) == 14
    assert len(competition.board(limit=1000)["lines"]) == 18
    rows = list(csv.reader(competition.browser().get(f"/boards/{TRACK}?format=csv").text.splitlines()))
    assert rows[0][:4] == ["rank", "team", "submission", "total"] and len(rows) == 19


def test_a_line_says_memory_meter_size_and_review(competition, three):
    competition.follow()
    with competition.server.database.write() as session:
        session.get_one(Submission, three["red"]).review = "open"
    board = competition.board()
    [red] = [line for line in board["lines"] if line["team"] == "red"]
    assert red["size"] == {"memory": 1000, "meters": ["host-peak"], "parameters": 7, "bytes": 14}
    assert (red["review"], board["memory_limit"], board["memory_meter"]) == ("open", 12 * 2**30, "host-peak")
    assert red["tasks"]["throughput"] == {"score": "256", "place": 1, "tied": 1, "points": "20"}


def test_history_tells_what_each_revision_changed(competition, three, ada, bo, published):
    published("provisional")
    assert competition.decide("void", {"track": TRACK, "task": "gsm8k"}, ada).status_code == 201
    revisions = competition.browser().get(f"/boards/{TRACK}/history").json()["revisions"]
    assert [(each["revision"], each["state"]) for each in revisions] == [
        (4, "provisional"), (3, "provisional"), (2, "frozen"), (1, "live"),
    ]  # fmt: skip
    void = revisions[0]
    assert void["reason"] == "so" and void["difference"]["voided"] == ["gsm8k"]
    assert void["difference"]["maximum"] == [50, 40]
    assert revisions[-1]["difference"] is None
    [older] = competition.browser().get(f"/boards/{TRACK}/history?before=2").json()["revisions"]
    assert older["revision"] == 1


def test_sensitivity_has_all_three_rules(competition, three, published):
    published("provisional")
    table = competition.browser().get(f"/boards/{TRACK}/sensitivity").json()
    assert [row["selection"] for row in table["rows"]] == ["pool", "double-pass", "guaranteed"]


def test_unknown_boards_and_revisions(competition, three):
    competition.follow()
    ask = competition.browser().get
    assert ask("/boards/none").status_code in (400, 404)
    assert ask(f"/boards/{TRACK}?revision=99").status_code == 404
    assert ask("/boards/from-scratch").status_code == 200
    assert ask(f"/boards/{TRACK}/bundle").status_code == 404


def test_what_is_in_doubt_of_a_speed_is_said_beside_it(competition, published):
    tests = [{"code": "M-03", "verdict": "doubtful", "what": "a busy machine"},
             {"code": "M-05", "verdict": "valid", "what": "alike"}]  # fmt: skip
    one = competition.scored("red", secret=50, compliance=tests)
    published("provisional")
    models = competition.browser().get(f"/results/{one}").json()["models"]
    assert "M-03 doubtful: a busy machine" in models["base"]["notes"]
    assert not any("M-05" in note for note in models["base"]["notes"])


def test_bases_stand_beside_the_board_unranked(competition, three, published, tmp_path):
    with competition.server.database.read() as session:
        job = session.scalars(select(Job)).first()
    result = entries.result_of(competition.server.storage, job.result)
    entries.report_of(competition.server.storage, result.models["base"].report).save(tmp_path)
    competition.server.settings.reference["base"] = tmp_path
    published("live")
    board = competition.board()
    assert "holdout" not in board["baseline"]["tasks"] and board["baseline"]["tasks"]["gsm8k"] is not None
    assert board["teams"] == 3


def test_answers_that_are_larger_than_anybody_s_stop_no_board(competition, monkeypatch):
    monkeypatch.setattr(entries, "MAX_ANSWERS", 1000)
    competition.scored("red", gsm8k=(1, 0) * 50)
    competition.scored("blue")
    competition.follow()
    board = competition.board()
    assert {row["team"] for row in board["lines"]} >= {"blue"}
    assert board["state"] == "live"
