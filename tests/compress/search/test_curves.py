from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.compress.search.curves import Curve

POINTS = st.dictionaries(st.integers(1, 20_000), st.floats(0, 10), min_size=1, max_size=6)


@given(POINTS)
def test_more_left_never_costs_more(points: dict[int, float]) -> None:
    curve = Curve.through(points)
    low, high = min(points), max(points)
    costs = [curve(low + (high - low) * step / 200) for step in range(201)]
    assert all(after <= before + 1e-9 for before, after in pairwise(costs))
    assert min(points.values()) - 1e-9 <= costs[-1] <= costs[0] <= max(points.values()) + 1e-9


@given(st.lists(st.floats(0, 10), min_size=1, max_size=6))
def test_it_goes_through_what_descends(costs: list[float]) -> None:
    points = {10 * place + 3: cost for place, cost in enumerate(sorted(costs, reverse=True))}
    curve = Curve.through(points)
    assert [curve(left) for left in points] == pytest.approx(list(points.values()), abs=1e-9)


def test_between_points_it_is_as_pchip_has_it() -> None:
    # scipy.interpolate.PchipInterpolator([1, 2, 4, 7], [9, 4, 1, 0])
    curve = Curve.through({1: 9.0, 2: 4.0, 4: 1.0, 7: 0.0})
    assert [curve(x) for x in (1.5, 3.0, 5.0)] == pytest.approx([6.0359848, 2.0287687, 0.4875762], abs=1e-6)


def test_noise_is_shared_out() -> None:
    curve = Curve.through({1: 0.4, 2: 0.6, 4: 0.0})
    assert (curve(1), curve(2), curve(4)) == pytest.approx((0.5, 0.5, 0.0))


def test_outside_it_is_as_at_the_nearest_point() -> None:
    curve = Curve.through({4: 1.0, 8: 0.0})
    assert (curve(1), curve(6), curve(9)) == (1.0, 0.5, 0.0)
    assert Curve.through({4: 1.0})(100) == 1.0
