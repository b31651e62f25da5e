from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadOption, UnknownName, Unsupported
from edgelm.score.stage2 import MOVES, OPEN, Candidate, awards, begin, further_awards, invited, moved
from edgelm.score.standings import standings

ENDS = {"passed", "failed", "withdrawn", "timed-out", "disqualified"}


def stage(ranks, seats=3):
    return invited(seats, [Candidate(team=team, submission=team, rank=rank) for team, rank in ranks.items()])


def end(current, team, outcome):
    """Through all that lies before the outcome."""
    for step in ("received", "running") if outcome in ("passed", "failed") else ():
        current = moved(current, team, step)
    return moved(current, team, outcome)


def who(current, *progress):
    return "".join(each.team for each in current.among(*progress))


def test_who_drops_out_is_replaced_by_the_next_in_order():  # G-26
    now = stage({"A": 1, "B": 2, "C": 2, "D": 4, "E": 5})
    ranks = [(each.team, each.rank) for each in now.candidates]
    assert who(now, "invited") == "ABC"
    now = end(now, "B", "failed")
    assert who(now, "invited") == "ACD"
    now = end(now, "D", "timed-out")
    assert who(now, "invited") == "ACE"
    for team in "EAC":
        now = end(now, team, "passed")
    assert [(award.place, award.team) for award in awards(now)] == [(1, "A"), (2, "C"), (3, "E")]
    assert [(each.team, each.rank) for each in now.candidates] == ranks


def test_groups_are_invited_whole_and_only_when_seats_are_empty():  # G-27
    now = stage({"A": 1, "B": 1, "C": 1, "D": 1, "E": 5})
    assert who(now, "invited") == "ABCD"
    now = end(now, "A", "failed")
    assert who(now, "waiting") == "E"
    assert who(end(now, "B", "failed"), "invited") == "CDE"


def test_a_disqualification_after_passing_takes_the_award_and_goes_on():
    now = stage({"A": 1, "B": 2, "C": 3, "D": 4})
    for team in "ABC":
        now = end(now, team, "passed")
    now = moved(now, "A", "disqualified")
    assert who(now, "invited") == "D"
    assert [award.team for award in awards(now)] == ["B", "C"]


def test_further_awards_are_read_from_the_same_order():
    now = stage({"A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "F": 5, "G": 7})
    for team in "ABC":
        now = end(now, team, "passed")
    assert [award.team for award in further_awards(now, {"A", "E", "F", "G"})] == ["E", "F"]


@pytest.fixture
def final(rules, track, entries):
    made = entries({"A": [(5, 5, 5), (4, 4, 4)], "B": [(3, 3, 3)], "C": [(2, 2, 2)]})
    return standings(rules, track, made, state="final")


def test_stage_2_begins_from_a_final_board(rules, final):
    now = begin(rules, final)
    assert [(each.submission, each.rank) for each in now.candidates] == [("A1", 1), ("B1", 2), ("C1", 3)]
    with pytest.raises(Unsupported, match="provisional"):
        begin(rules, final.model_copy(update={"state": "provisional"}))


def test_under_another_rule_a_teams_next_submission_is_examined(rules, final):
    now = begin(replace(rules, moves_to="submission", seats=2), final)
    assert [each.submission for each in now.among("invited")] == ["A1", "B1"]
    now = end(now, "A1", "failed")
    assert [each.submission for each in now.among("invited")] == ["A2", "B1"]


def test_a_further_award_goes_to_a_team_once_and_to_none_that_has_ended():
    order = [("A", 1), ("B", 2), ("A", 3), ("S", 4), ("T", 5), ("S", 6)]
    now = invited(1, [Candidate(team=team, submission=f"{team}{rank}", rank=rank) for team, rank in order])
    assert [each.team for each in further_awards(now, {"S", "T"}, seats=3)] == ["S", "T"]
    now = end(now, "A1", "failed")
    assert who(now, "invited", "waiting") == "BASTS"
    now = end(end(now, "B2", "passed"), "A3", "disqualified")
    assert [(each.place, each.team) for each in further_awards(now, {"A", "B", "S", "T"}, 3)] == [(1, "S"), (2, "T")]


def test_only_what_may_follow_does():
    now = stage({"A": 1})
    with pytest.raises(Unsupported, match="invited, not passed"):
        moved(now, "A", "passed")
    with pytest.raises(UnknownName, match="candidate"):
        moved(now, "Z", "received")
    with pytest.raises(BadOption, match="0 seats"):
        stage({"A": 1}, seats=0)


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 4), st.data())
def test_random_outcomes_follow_the_order_and_end(steps, seats, data):  # property 17
    ranks, rank = {}, 0
    for number, step in enumerate(steps):  # 0: shares the rank of the one before
        rank = number + 1 if step or not number else rank
        ranks["ABCDEFGHIJKL"[number]] = rank
    now = stage(ranks, seats)
    for _ in range(4 * len(ranks)):  # each candidate moves at most four times
        going = now.among(*OPEN)
        if not going:
            break
        one = data.draw(st.sampled_from([each.submission for each in going]))
        now = moved(now, one, data.draw(st.sampled_from(MOVES[next(c.progress for c in going if c.team == one)])))
        invited_ranks = [each.rank for each in now.candidates if each.progress != "waiting"]
        waiting_ranks = [each.rank for each in now.among("waiting")]
        assert max(invited_ranks) < min(waiting_ranks, default=99)
        busy = now.among("passed", *OPEN)
        last = [each for each in busy if each.rank == max(invited_ranks)]
        assert len(busy) - len(last) < seats  # without the last group there were too few
        assert len(busy) >= seats or not waiting_ranks
    assert not now.among(*OPEN)
    assert {each.team: each.rank for each in now.candidates} == ranks
    assert [award.team for award in awards(now)] == [each.team for each in now.among("passed")]
