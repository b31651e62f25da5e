import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.train.page.series import held, median, series, smoothed, thinned

POINTS = st.lists(st.floats(-1e6, 1e6), max_size=400).map(lambda values: [(float(n), v) for n, v in enumerate(values)])


def test_lines_that_lack_the_quantity_are_left_out():
    lines = [{"tokens": 1, "mfu": None}, {"tokens": 2, "mfu": 0.5}, {"mfu": 1}, {"tokens": 3, "mfu": math.nan}, {}]
    assert series(lines, "mfu") == [(2.0, 0.5)]


def test_held_out_text_by_source():
    lines = [
        {"tokens": 1},
        {"tokens": 2, "held": {"c4": {"loss": 4.0, "bpb": 1.5}, "alpaca": {"loss": 3.0}}},
        {"tokens": 3, "held": {"c4": {"loss": 3.0, "bpb": 1.2}}},
        {"tokens": 4, "held": None},
    ]
    assert held(lines, "loss") == {"c4": [(2, 4), (3, 3)], "alpaca": [(2, 3)]}
    assert held(lines, "bpb") == {"c4": [(2, 1.5), (3, 1.2)]}


@given(POINTS)
def test_smoothing_keeps_places_and_stays_within_the_values(points):
    made = smoothed(points)
    assert [tokens for tokens, _ in made] == [tokens for tokens, _ in points]
    values = [value for _, value in points]
    assert all(min(values) - 1e-4 <= value <= max(values) + 1e-4 for _, value in made)


def test_smoothing_keeps_a_line_in_the_middle_and_the_very_beginning():
    points = [(float(n), 2.0 * n) for n in range(1000)]
    made = smoothed(points)
    assert made[0] == points[0]
    assert [value for _, value in made[:-20]] == pytest.approx([value for _, value in points[:-20]])
    assert made[-1][1] < points[-1][1]


@given(POINTS, st.integers(1, 50))
def test_thinning_keeps_order_and_the_extremes(points, seen):
    made = thinned(points, seen)
    assert len(made) <= max(2 * seen, 0)
    assert made == sorted(made) and set(made) <= set(points)
    if points:
        assert min(value for _, value in made) == min(value for _, value in points)
        assert max(value for _, value in made) == max(value for _, value in points)


@pytest.mark.parametrize(("values", "middle"), [([], None), ([3], 3), ([1, 2], 1.5), ([9, 1, 2], 2)])
def test_median(values, middle):
    assert median(values) == middle
