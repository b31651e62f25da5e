"""The golden fields of rule R4, under each of the three ways to choose a representative."""

from dataclasses import replace
from fractions import Fraction

import pytest

from edgelm.score.standings import standings

F1A = {"A": [(10, 10)], "B": [(5, 5)]}
F1B = {"A": [(10, 10), (11, 1)], "B": [(5, 5)]}
F2A = {"A": [(6, 8, 14)], "B": [(16, 4, 6)], "C": [(14, 12, 2)]}
F2B = {**F2A, "C": [(14, 12, 2), (13, 10, 1), (12, 11, 0)]}
F3 = {"A": [(4, 5, 4), (5, 1, 4)], "B": [(2, 6, 4), (4, 6, 2)], "C": [(3, 5, 6), (6, 6, 3)]}
F4 = {"A": [(5, 5, 1), (6, 3, 3)], "B": [(3, 4, 4), (2, 2, 6)], "C": [(1, 1, 5), (4, 6, 2)]}

POOL_VALUES = {
    "F-1a": (F1A, {"A1": 20, "B1": 18}),
    "F-1b": (F1B, {"A1": 19, "A2": 18, "B1": 17}),
    "F-2a": (F2A, {"A1": 37, "B1": 36, "C1": 35}),
    "F-2b": (F2B, {"A1": 33, "B1": 34, "C1": 35, "C2": 30, "C3": 28}),
    "F-3": (F3, {"A1": 30, "A2": 30, "B1": 30, "B2": "53/2", "C1": "65/2", "C2": 31}),
    "F-4": (F4, {"A1": 28, "A2": 31, "B1": 31, "B2": 32, "C1": 28, "C2": 30}),
}
BOARDS = {
    "F-1a pool": (F1A, "pool", [("A", 20), ("B", 18)]),
    "F-1a double-pass": (F1A, "double-pass", [("A", 20), ("B", 18)]),
    "F-1a guaranteed": (F1A, "guaranteed", [("A", 20), ("B", 18)]),
    "F-1b pool": (F1B, "pool", [("A", 19), ("B", 17)]),
    "F-1b double-pass": (F1B, "double-pass", [("A", 20), ("B", 18)]),
    "F-1b guaranteed": (F1B, "guaranteed", [("A", 20), ("B", 18)]),
    "F-2a pool": (F2A, "pool", [("A", 37), ("B", 36), ("C", 35)]),
    "F-2a double-pass": (F2A, "double-pass", [("A", 37), ("B", 36), ("C", 35)]),
    "F-2a guaranteed": (F2A, "guaranteed", [("A", 37), ("B", 36), ("C", 35)]),
    "F-2b pool": (F2B, "pool", [("C", 35), ("B", 34), ("A", 33)]),
    "F-2b double-pass": (F2B, "double-pass", [("A", 37), ("B", 36), ("C", 35)]),
    "F-2b guaranteed": (F2B, "guaranteed", [("A", 37), ("B", 36), ("C", 35)]),
    "F-3 pool": (F3, "pool", [("C", "65/2"), ("A", 30), ("B", 30)]),
    "F-3 double-pass": (F3, "double-pass", [("C", "75/2"), ("A", "71/2"), ("B", 35)]),
    "F-3 guaranteed": (F3, "guaranteed", [("C", 38), ("A", 35), ("B", 35)]),
    "F-4 pool": (F4, "pool", [("B", 32), ("A", 31), ("C", 30)]),
    "F-4 double-pass": (F4, "double-pass", [("A", 37), ("B", 36), ("C", 35)]),
    "F-4 guaranteed": (F4, "guaranteed", [("C", 37), ("B", 36), ("A", 35)]),
}


@pytest.fixture(scope="session")
def result(rules, track, entries):
    def compute(vectors, selection="pool", **options):
        void = ["throughput"] if vectors in (F1A, F1B) else options.pop("void", [])
        made = entries(vectors)
        for index in options.pop("out", []):
            made[index] = made[index].model_copy(update={"reasons": ("taken out",)})
        return standings(replace(rules, selection=selection), track, made, void=void)

    return compute


def values(standing):
    return {row.submission: row.value for row in standing.submissions}


def board(standing):
    return [(row.team, row.total) for row in standing.board]


def exact(pairs):
    return [(name, Fraction(total)) for name, total in pairs]


@pytest.mark.parametrize("case", POOL_VALUES)
def test_totals_of_all_submissions_in_the_pool(result, case):
    vectors, expected = POOL_VALUES[case]
    assert values(result(vectors)) == dict(exact(expected.items()))


@pytest.mark.parametrize("case", BOARDS)
def test_boards(result, case):
    vectors, selection, expected = BOARDS[case]
    assert board(result(vectors, selection)) == exact(expected)


def test_equal_totals_share_the_rank_and_equal_values_are_decided_in_order(result):  # F-3
    standing = result(F3)
    assert [row.rank for row in standing.board] == [1, 2, 2]
    [a] = [row for row in standing.board if row.team == "A"]
    assert (a.submission, a.why) == ("A1", "earlier receipt")


def test_representatives_under_guaranteed(result):  # F-3, F-4
    assert {row.team: row.submission for row in result(F3, "guaranteed").board}["A"] == "A2"
    assert {row.team: row.submission for row in result(F4, "guaranteed").board}["A"] == "A1"


def test_an_ineligible_submission_is_absent(result):  # F-5
    standing = result(F4, out=[3])
    assert values(standing) == dict(exact({"A1": 30, "A2": 33, "B1": 33, "C1": 32, "C2": 32}.items()))
    assert [(row.rank, row.team, row.total) for row in standing.board] == [(1, "A", 33), (1, "B", 33), (3, "C", 32)]
    assert (standing.board[2].submission, standing.board[2].why) == ("C1", "more throughput points")
    assert [out.submission for out in standing.ineligible] == ["B2"]


def test_a_void_task_is_left_out(result):  # F-6
    standing = result(F4, void=["second"])
    expected = {"A1": 19, "A2": 24, "B1": 23, "B2": 26, "C1": 23, "C2": 20}
    assert values(standing) == dict(exact(expected.items()))
    assert board(standing) == exact([("B", 26), ("A", 24), ("C", 23)])


def test_why_a_submission_stands_for_its_team(result):
    why = {row.team: row.why for row in result({"A": [(1, 1, 1), (2, 2, 2)], "B": [(1, 1, 1)]}).board}
    assert why == {"A": "larger value", "B": "only eligible submission"}


def test_lower_memory_decides_before_receipt(rules, track, entries):
    first, second = entries({"A": [(1, 1, 1), (1, 1, 1)]}, memory=7)
    lighter = second.model_copy(
        update={"models": {"model": second.models["model"].model_copy(update={"peak_memory": 6})}}
    )
    [row] = standings(rules, track, [first, lighter]).board
    assert (row.submission, row.why) == ("A2", "lower peak memory")
