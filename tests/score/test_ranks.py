from dataclasses import replace
from fractions import Fraction

import pytest

from edgelm.errors import UnknownName
from edgelm.score.ranks import ranks
from edgelm.score.standings import standings


@pytest.mark.parametrize(
    ("totals", "expected"),
    [([80, 75, 75, 60], [1, 2, 2, 4]), ([*range(17, 2, -1), 3, 1], [*range(1, 15), 15, 15, 17]), ([], [])],
)
def test_equal_totals_share_a_rank(totals, expected):  # G-19, G-20
    got = ranks({str(i): Fraction(total) for i, total in enumerate(totals)})
    assert [got[str(i)] for i in range(len(expected))] == expected


TIED = {"A": [(1, 2, 1)], "B": [(2, 1, 1)]}  # equal totals


@pytest.mark.parametrize(
    ("chain", "expected"),
    [((), {"A": 1, "B": 1}), (("throughput", "won"), {"A": 1, "B": 1}), (("receipt",), {"A": 1, "B": 2}),
     (("memory",), {"A": 2, "B": 1}), (("won", "memory"), {"A": 2, "B": 1})],
)  # fmt: skip
def test_the_rules_may_name_what_separates_equal_totals(rules, track, entries, chain, expected):
    a, b = entries(TIED)
    lighter = {"model": b.models["model"].model_copy(update={"peak_memory": 0})}
    field = [a, b.model_copy(update={"models": lighter})]
    standing = standings(replace(rules, rank_ties=chain), track, field)
    assert {row.team: row.rank for row in standing.board} == expected
    winners = {row.selection: row.winners for row in standing.sensitivity}["pool"]
    assert set(winners) == {team for team, rank in expected.items() if rank == 1}


def test_points_on_throughput_and_tasks_won_separate(rules, track, entries):
    field = entries({"A": [(3, 1, 2)], "B": [(1, 3, 2)], "C": [(1, 2, 3)]})
    standing = standings(replace(rules, rank_ties=("throughput", "won")), track, field)
    assert standing.board[0].team == "C"


def test_an_unknown_separator_is_refused(rules, track, entries):
    with pytest.raises(UnknownName, match="luck"):
        standings(replace(rules, rank_ties=("luck",)), track, entries(TIED))
