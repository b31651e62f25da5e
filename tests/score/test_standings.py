from dataclasses import replace
from fractions import Fraction

import pytest

from edgelm.errors import BadOption
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.ranks import ranks
from edgelm.score.standings import standings

SELECTIONS = ("pool", "double-pass", "guaranteed")


@pytest.fixture(scope="session")
def compute(rules, track, entries):
    def of(field, selection="pool", void=()):
        return standings(replace(rules, selection=selection), track, entries(field), void=void)

    return of


def totals(standing):
    return {row.team: row.total for row in standing.board}


def values(standing):
    return {row.submission: row.value for row in standing.submissions}


# Golden cases


@pytest.mark.parametrize(
    ("given_totals", "expected"),
    [([80, 75, 75, 60], [1, 2, 2, 4]), ([*range(17, 2, -1), 3, 1], [*range(1, 15), 15, 15, 17])],
)
def test_equal_totals_share_a_rank(given_totals, expected):  # G-19, G-20
    got = ranks({str(i): Fraction(total) for i, total in enumerate(given_totals)})
    assert [got[str(i)] for i in range(len(expected))] == expected


def test_the_board_shows_a_tie_at_its_end_whole(rules, track, entries):  # G-20
    # The scale of 20 places keeps all totals apart except that of the two teams that share rank 15.
    names = "ABCDEFGHIJKLMNOPQ"
    scores = [*range(17, 3, -1), 3, 3, 1]
    field = {name: [(score, score, score)] for name, score in zip(names, scores, strict=True)}
    standing = standings(replace(rules, places=20), track, entries(field))
    assert [row.rank for row in standing.board] == [*range(1, 15), 15, 15, 17]
    assert [row.team for row in standing.shown] == list(names[:16])


@pytest.mark.parametrize(
    ("void", "total"), [([], 100), (["longbench"], 90), (["longbench", "throughput"], 70), (["throughput"], 80)]
)
def test_first_on_everything_reaches_the_maximum(entries, void, total):  # G-21
    rules = Neurips2024()
    track = rules.track("from-scratch")
    standing = standings(rules, track, entries({"A": [[9] * 9], "B": [[8] * 9]}, rules), void=void)
    assert totals(standing)["A"] == standing.maximum == total


def test_two_published_claims(entries):  # G-22
    rules = Neurips2024()
    order = ("commonsenseqa", "bbh", "gsm8k", "humaneval", "chid", "truthfulqa")
    claims = {"X": "8.93 16.80 2.43 0 3.75 15", "Y": "0 0.85 1.36 0 13.09 10"}
    field = {}
    for team, claim in claims.items():
        scores = dict(zip(order, map(Fraction, claim.split()), strict=True))
        field[team] = [[scores.get(task) for task in rules.weights]]
    standing = standings(rules, rules.track("from-scratch"), entries(field, rules))
    assert totals(standing) == {"X": Fraction(117, 2), "Y": Fraction(111, 2)}


F4 = {"A": [(5, 5, 1), (6, 3, 3)], "B": [(3, 4, 4), (2, 2, 6)], "C": [(1, 1, 5), (4, 6, 2)]}


def test_sensitivity_names_three_winners_for_three_rules(compute):  # F-4
    table = {row.selection: row for row in compute(F4).sensitivity}
    assert {name: row.winners for name, row in table.items()} == {
        "pool": ("B",), "double-pass": ("A",), "guaranteed": ("C",),
    }  # fmt: skip
    assert (table["pool"].moved, table["pool"].largest_move) == ((), 0)
    assert (table["double-pass"].moved, table["double-pass"].largest_move) == (("A", "B"), 1)
    assert (table["guaranteed"].moved, table["guaranteed"].largest_move) == (("A", "B", "C"), 2)
    assert table["guaranteed"].podium == ("C", "B", "A")


def test_a_missing_score_has_no_place(compute):
    [row] = compute({"A": [(None, 0, 1)]}).board
    assert (row.tasks["first"].place, row.tasks["first"].points) == (None, 0)
    assert (row.tasks["second"].place, row.tasks["second"].tied, row.tasks["second"].points) == (1, 1, 10)


def test_a_team_without_an_eligible_submission_is_not_on_the_board(rules, track, entries):
    made = entries({"A": [(1, 1, 1)], "B": [(2, 2, 2)]}, memory=rules.memory_limit)
    standing = standings(rules, track, made)
    assert (standing.board, len(standing.ineligible)) == ((), 2)
    assert standing.sensitivity[0].winners == ()


def test_an_id_may_come_once(rules, track, entries):
    with pytest.raises(BadOption, match="A1 comes twice"):
        standings(rules, track, entries({"A": [(1,)]}) * 2)
