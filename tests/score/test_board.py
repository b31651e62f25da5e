"""A board through its states; the random walk is property 15 of the specification, void and lift property 11."""

from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadOption, EdgelmError, UnknownName, Unsupported
from edgelm.score.board import (
    Board,
    advance,
    decided,
    disqualify,
    lift,
    recounted,
    reinstate,
    rescore,
    shown_entries,
    standing,
    void_task,
)
from edgelm.score.disqualification import Disqualification
from edgelm.score.states import STATES

SIGNED = ("Ada", "Bo")
OUT = Disqualification(team="A", reason="copying", evidence="see file 7", signatures=SIGNED)
FIELD = {"A": [(5, 5, 5)], "B": [(4, 6, 4)]}
PROVISIONAL = Board(state="provisional", revision=4)


@pytest.fixture(scope="module")
def ruled(rules):
    return replace(rules, tasks=("first", "holdout"), holdouts=("secret", "other"))


@pytest.fixture(scope="module")
def received(entries, rules):
    """Entries with two hold-outs; the conftest's second task stands for nothing here."""
    made = []
    for entry in entries(FIELD, rules):
        model = entry.models["model"]
        scores = {"first": model.scores["first"], "secret": 77, "other": 33}
        updated = model.model_validate({
            **model.model_dump(), "scores": scores, "protocols": {"secret": "holdout/secret-1", "first": "s/first-1"},
            "marks": {"secret": "0" * 64}, "notes": ("secret: 3 rows", "first: fine"),
        })  # fmt: skip
        made.append(entry.model_copy(update={"models": {"model": updated}}))
    return made


def test_a_board_goes_from_draft_to_final():
    board = Board()
    for state in STATES[1:4]:
        board = advance(board, state)
    with pytest.raises(BadOption, match="two different people"):
        advance(board, "final", ("Ada", "Ada"))
    final = advance(board, "final", SIGNED)
    assert (final.state, final.revision, final.log[-1].signatures) == ("final", 4, SIGNED)
    with pytest.raises(Unsupported, match="final cannot become live"):
        advance(final, "live")


def test_nothing_of_a_holdout_is_seen_before_the_provisional_board(ruled, track, received):
    for state in ("live", "frozen"):
        board = Board(state=state)
        seen = standing(board, ruled, track, received)
        assert (seen.state, seen.maximum, list(seen.tasks)) == (state, 30, ["first", "throughput"])
        texts = seen.to_bytes().decode() + "".join(e.model_dump_json() for e in shown_entries(board, ruled, received))
        assert not any(word in texts for word in ('"77"', '"33"', "secret", "holdout"))
        assert "first: fine" in texts
    whole = standing(PROVISIONAL, ruled, track, received)
    assert (whole.maximum, whole.board[0].tasks["holdout"].score) == (40, 55)


def test_entries_of_a_live_board_give_its_standings_again(ruled, track, received):
    board = Board(state="live")
    again = standing(board, ruled, track, shown_entries(board, ruled, received))
    assert again.to_bytes() == standing(board, ruled, track, received).to_bytes()


def test_a_draft_has_no_standings(ruled, track, received):
    with pytest.raises(Unsupported, match="draft"):
        standing(Board(), ruled, track, received)
    with pytest.raises(Unsupported, match="change the rules"):
        void_task(Board(), ruled, "first", "leaked")


def test_a_void_task_that_is_lifted_changes_the_revision_alone(ruled, track, received):  # property 11
    void = void_task(PROVISIONAL, ruled, "first", "leaked")
    assert standing(void, ruled, track, received).maximum == 30
    back = lift(void, "first", "it was another file")
    before, after = (standing(board, ruled, track, received) for board in (PROVISIONAL, back))
    assert after.revision == before.revision + 2
    assert after.model_copy(update={"revision": before.revision}).to_bytes() == before.to_bytes()
    assert [(event.what, event.why) for event in back.log] == [
        ("void first", "leaked"), ("lift first", "it was another file"),
    ]  # fmt: skip


def test_voiding_one_of_two_holdouts_changes_their_mean_alone(ruled, track, received):
    seen = standing(void_task(PROVISIONAL, ruled, "other", "leaked"), ruled, track, received)
    assert (seen.maximum, seen.board[0].tasks["holdout"].score) == (40, 77)


def test_a_disqualification_is_taken_back_by_two(ruled, track, received):
    out = disqualify(PROVISIONAL, OUT)
    assert [row.team for row in standing(out, ruled, track, received).board] == ["B"]
    back = reinstate(out, OUT, "it was theirs", ("Cy", "Di"))
    assert len(standing(back, ruled, track, received).board) == 2
    assert [event.what for event in back.log] == ["disqualify A", "reinstate A"]


@pytest.mark.parametrize(
    "wrong",
    [lambda rules: void_task(PROVISIONAL, rules, "first", " "), lambda rules: lift(PROVISIONAL, "first", "x"),
     lambda rules: void_task(Board(state="live", void=("first",)), rules, "first", "again"),
     lambda rules: reinstate(PROVISIONAL, OUT, "x", SIGNED), lambda rules: rescore(Board(state="live"), "x"),
     lambda rules: disqualify(disqualify(PROVISIONAL, OUT), OUT), lambda rules: rescore(PROVISIONAL, ""),
     lambda rules: reinstate(disqualify(PROVISIONAL, OUT), OUT, "x", ("Ada",))],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(ruled, wrong):
    with pytest.raises((Unsupported, BadOption)):
        wrong(ruled)


def test_an_unknown_task_cannot_be_void(ruled):
    with pytest.raises(UnknownName, match="frist"):
        void_task(PROVISIONAL, ruled, "frist", "x")


def test_a_board_with_its_decisions_in_one_step(ruled):
    board = decided(ruled, "final", 9, void={"first": "leaked"}, disqualified=[OUT], signatures=SIGNED)
    assert (board.state, board.revision, board.void, board.disqualified) == ("final", 9, ("first",), (OUT,))
    assert [event.what for event in board.log] == ["void first", "disqualify A", "provisional → final"]
    assert {event.revision for event in board.log} == {9}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from(["s/first-1", "s/first-2"])), min_size=1, max_size=7)
)
def test_who_is_put_out_is_as_if_never_received(rules, track, entries, sent):  # property 7, where protocols differ
    vectors = {team: [(number, 1, 1) for number, (own, _) in enumerate(sent) if own == team] for team, _ in sent}
    protocols = {team: [protocol for own, protocol in sent if own == team] for team in vectors}
    received = [
        entry.model_copy(update={"models": {
            "model": entry.models["model"].model_copy(update={"protocols": {"first": protocol}})
        }})
        for entry, protocol in zip(entries(vectors), chain.from_iterable(protocols.values()), strict=True)
    ]  # fmt: skip
    out = standing(disqualify(PROVISIONAL, OUT), rules, track, received)
    never = standing(PROVISIONAL, rules, track, [entry for entry in received if entry.team != OUT.team])
    assert (out.board, out.submissions, out.sensitivity) == (never.board, never.submissions, never.sensitivity)


STEPS = {
    "next": lambda board, rules: advance(board, STATES[min(STATES.index(board.state) + 1, 4)], SIGNED),
    "back": lambda board, rules: advance(board, STATES[max(STATES.index(board.state) - 1, 0)], SIGNED),
    "void": lambda board, rules: void_task(board, rules, "first", "x"),
    "void holdout": lambda board, rules: void_task(board, rules, "secret", "x"),
    "lift": lambda board, rules: lift(board, "first", "x"),
    "disqualify": lambda board, rules: disqualify(board, OUT),
    "reinstate": lambda board, rules: reinstate(board, OUT, "x", SIGNED),
    "rescore": lambda board, rules: rescore(board, "x"),
}


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=25))
def test_random_steps_keep_to_the_moves_and_a_final_board_never_changes(ruled, steps):  # property 15
    board = Board()
    for step in steps:
        before = board
        try:
            board = STEPS[step](board, ruled)
        except EdgelmError:
            assert board == before
            continue
        assert before.state != "final"
        assert STATES.index(board.state) - STATES.index(before.state) in (0, 1)
        assert (board.revision, len(board.log)) == (before.revision + 1, len(before.log) + 1)
        assert board.log[:-1] == before.log


def test_only_a_live_board_takes_results_by_itself():
    board = Board(state="live", revision=3, void=("first",))
    assert recounted(board) == board.model_copy(update={"revision": 4})
    for state in (*STATES[:1], *STATES[2:]):
        with pytest.raises(Unsupported, match="takes no results"):
            recounted(Board(state=state))
