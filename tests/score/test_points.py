from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.score.entries import valid_score
from edgelm.score.points import placings


def points(scores, weight=1):
    placed = placings({str(i): score for i, score in enumerate(scores)}, weight=weight, places=10)
    return [placed[str(i)].points if str(i) in placed else None for i in range(len(scores))]


def fractions(*values):
    return [Fraction(value) for value in values]


GOLDEN = {
    "G-01": ([5, 5, 3], 1, fractions("19/2", "19/2", 8)),
    "G-02": (list(range(12, 0, -1)), 1, fractions(10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0)),
    "G-03": ([9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 0], 1, fractions(10, 9, 8, 7, 6, 5, 4, 3, 1, 1, 1, 0)),
    "G-04": ([0, 0], 1, fractions("19/2", "19/2")),
    "G-05": ([None, 1], 1, [None, Fraction(10)]),
    "G-07": ([3] * 11, 1, fractions(*[5] * 11)),
    "G-08": ([3] * 12, 2, fractions(*["55/6"] * 12)),
    "G-09": ([*range(11, 2, -1), 1, 1], 2, fractions(20, 18, 16, 14, 12, 10, 8, 6, 4, 1, 1)),
    "G-10": ([7, 7, 7], 2, fractions(18, 18, 18)),
    "G-11": ([0], 1, fractions(10)),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case):
    scores, weight, expected = GOLDEN[case]
    assert points([None if s is None else Fraction(s) for s in scores], weight) == expected


def test_a_score_that_is_no_number_is_missing():  # G-06
    assert points([valid_score(value) for value in ("NaN", 0, 2)]) == [None, Fraction(9), Fraction(10)]


def test_place_and_tie_are_told():
    placed = placings({"a": Fraction(5), "b": Fraction(5), "c": Fraction(3), "d": None}, weight=1, places=10)
    assert [(placed[x].place, placed[x].tied) for x in "abc"] == [(1, 2), (1, 2), (3, 1)]
    assert "d" not in placed


scores = st.lists(st.one_of(st.none(), st.integers(0, 5).map(Fraction)), max_size=20)


@settings(max_examples=200, deadline=None)
@given(scores, st.sampled_from([1, 2]))
def test_points_are_conserved(scores, weight):  # property 2
    ranked = sum(score is not None for score in scores)
    scale = sum(max(0, 11 - place) for place in range(1, ranked + 1))
    assert sum(p for p in points(scores, weight) if p is not None) == weight * scale
    assert ranked < 10 or scale == 55


@settings(max_examples=200, deadline=None)
@given(scores)
def test_equal_scores_earn_equal_points_and_higher_ones_no_fewer(scores):  # property 3
    earned = points(scores)
    valid = sorted((score, point) for score, point in zip(scores, earned, strict=True) if score is not None)
    for (a, p), (b, q) in pairwise(valid):
        assert p == q if a == b else p <= q
