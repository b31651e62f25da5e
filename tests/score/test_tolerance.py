from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.report import FULL_MARK, mean_percent
from edgelm.score.tolerance import variance, within

ONE = Fraction(1)


def accuracy(right, of):
    return [FULL_MARK] * right + [0] * (of - right)


@pytest.mark.parametrize(
    ("before", "after", "of", "passes"),
    [(791, 756, 1319, True), (791, 755, 1319, False), (100, 88, 164, True), (100, 87, 164, False),
     (164, 163, 164, True), (164, 162, 164, False), (100, 164, 164, True)],
)  # fmt: skip
def test_how_far_a_score_may_fall(before, after, of, passes):  # G-24, G-25
    marks = accuracy(before, of)
    spread = variance([(ONE, marks)])
    assert within(mean_percent(marks), mean_percent(accuracy(after, of)), spread) is passes


def test_the_spread_of_two_runs_is_tolerated():
    assert not within(Fraction(50), Fraction(47), Fraction(0))
    assert within(Fraction(50), Fraction(47), Fraction(0), Fraction(3))


def test_strata_are_combined_by_the_squares_of_their_weights():
    alone = variance([(ONE, accuracy(1, 4))])
    assert alone == Fraction(100**2 * 3, 4 * 4 * 3)  # Σ(x − x̄)² is 3/4
    assert variance([(Fraction(1, 3), accuracy(1, 4))] * 3) == alone / 3
    assert variance([(ONE, [FULL_MARK])]) == 0


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.integers(0, FULL_MARK), min_size=2, max_size=30))
def test_the_variance_is_that_of_the_definition(marks):
    values = [Fraction(mark, FULL_MARK) for mark in marks]
    n, mean = len(values), sum(values, Fraction(0)) / len(values)
    assert variance([(ONE, marks)]) == 100**2 * sum((x - mean) ** 2 for x in values) / (n * (n - 1))
