from __future__ import annotations

import re
from itertools import combinations

import pytest

from edgelm.compress.page.plot import HEIGHT, WIDTH, Point, Scale, below_each, described, plot

STEPS = [("base", 8.0, 6.0), ("1", 7.9, 6.1), ("2", 7.88, 6.1), ("3", 7.0, 7.0), ("4", 5.0, 190.0), ("5", 5.0, 180.0),
         ("6", 5.0, 9.0)]  # fmt: skip
POINTS = [Point(mark, f"{mark}: {x}", x, y) for mark, x, y in STEPS]


def test_no_mark_covers_another_or_a_point_however_wide_the_page_is() -> None:
    across, up = Scale.of([point.x for point in POINTS]), Scale.of([point.y for point in POINTS], steep=True)
    places = [(across(point.x), 1 - up(point.y)) for point in POINTS]
    below = below_each(POINTS, places)
    for width in (WIDTH, 300, 450, 900, 2000):
        marks = [(x * width, y * HEIGHT + down, 7.5 * len(point.mark))
                 for point, (x, y), down in zip(POINTS, places, below, strict=True)]  # fmt: skip
        for (x, y, wide), (to_x, to_y, to_wide) in combinations(marks, 2):
            assert abs(x - to_x) >= (wide + to_wide) / 2 or abs(y - to_y) >= 14
        for x, y, wide in marks:
            for to_x, to_y in places:
                assert abs(x - to_x * width) >= wide / 2 + 5 or abs(y - to_y * HEIGHT) >= 12


def test_a_line_joins_the_steps_alone() -> None:
    points = [Point("a", "a", 9, 5, "earlier"), *POINTS, Point("", "built", 6, 7, "other")]
    svg = plot("Quality", points, Scale.of([point.y for point in points]), str)
    assert svg.count('class="way"') == len(POINTS) - 1
    assert svg.count('class="point step"') == len(POINTS)
    assert svg.count('class="point earlier"') == svg.count('class="point other"') == 1
    assert "<title>built</title>" in svg


def test_a_point_stands_where_its_values_are() -> None:
    svg = plot("Quality", [Point("base", "", 8, 0), Point("1", "", 4, 3)], Scale.of([0, 3], nought=True), str)
    (right, bottom), (left, top) = [(float(x), float(y)) for x, y in
                                    re.findall(r'class="point step" x="([\d.]+)%" y="([\d.]+)%"', svg)]  # fmt: skip
    assert 0 < left < right < 100
    assert 0 < top < bottom == 100


@pytest.mark.parametrize(
    ("values", "logarithmic", "marks"),
    [([6.0, 190.0], True, [5.0, 10.0, 20.0, 50.0, 100.0, 200.0]), ([6.0, 9.5], False, [6.0, 7.0, 8.0, 9.0])],
)
def test_far_values_are_on_a_logarithmic_scale(values: list[float], logarithmic: bool, marks: list[float]) -> None:
    scale = Scale.of(values, steep=True)
    assert scale.logarithmic is logarithmic
    assert scale.marks(5) == pytest.approx(marks)
    assert 0 < scale(values[0]) < scale(values[1]) < 1


def test_one_value_has_a_place_too() -> None:
    assert 0 < Scale.of([5.0, 5.0])(5.0) < 1
    assert Scale.of([0.0, 0.0], nought=True)(0.0) == 0


def test_it_is_told_in_words_without_what_has_no_mark() -> None:
    assert described("Quality", [*POINTS[:2], Point("", "built", 6, 7, "other")]) == "Quality. base: 8.0; 1: 7.9."


def test_words_are_text() -> None:
    svg = plot('"<b>', [Point("<i>", '"<u>', 1, 1), Point("1", "", 2, 2)], Scale.of([1, 2]), str)
    assert not re.search(r"<[biu]>", svg)
    assert 'aria-label="&quot;&lt;b&gt;' in svg
