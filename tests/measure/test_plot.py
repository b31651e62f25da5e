from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from edgelm.measure.figures import plain
from edgelm.measure.plot import Axis, Dot, Level, Line, chart

ACROSS, UP = Axis(0, 10, plain), Axis(1, 1000, plain, logarithmic=True)


def drawn(**parts: object) -> ElementTree.Element:
    return ElementTree.fromstring(chart("A <title>", ACROSS, UP, **parts))  # type: ignore[arg-type]


def test_places_on_straight_and_logarithmic_axes() -> None:
    assert (ACROSS(0), ACROSS(5), ACROSS(10)) == (0, 0.5, 1)
    assert UP(1) == 0
    assert UP(1000) == pytest.approx(1)
    assert UP(10) == pytest.approx(1 / 3)
    assert UP(0) < -0.9  # far below the chart, and finite


@pytest.mark.parametrize(("low", "high"), [(1, 1000), (0.37, 2.2), (1e-3, 1e12), (4e9, 5e9), (99, 101)])
def test_round_values_on_a_logarithmic_axis_are_on_it_and_not_too_many(low: float, high: float) -> None:
    marks = Axis(low, high, plain, logarithmic=True).marks()
    assert all(low <= mark <= high for mark in marks)
    assert len(marks) <= 6


def test_lines_go_through_their_points_and_names_are_escaped() -> None:
    svg = drawn(lines=[Line("a & b", [(0, 1), (5, 10), (10, 1000)])])
    assert svg.get("aria-label") == "A <title>"
    (path,) = svg.iter("path")
    assert path.get("d") == "M0.0 1000.0L500.0 666.7L1000.0 0.0"
    assert path.findtext("title") == "a & b"


def test_what_is_far_outside_stays_outside() -> None:
    (path,) = drawn(lines=[Line("l", [(0, 1e30), (10, 1e-30)])]).iter("path")
    assert re.fullmatch(r"M0\.0 -1000\.0L1000\.0 [12]\d{3}\.0", path.get("d") or "")


def test_levels_outside_are_left_out_and_dots_have_words() -> None:
    svg = drawn(levels=[Level("in", 10), Level("out", 5000)], dots=[Dot("decode", 5, 10, "at five", side="left")])
    texts = [text.text for text in svg.iter("text")]
    assert "in" in texts
    assert "out" not in texts
    assert "decode" in texts
    assert "at five" in [title.text for title in svg.iter("title")]


def test_an_empty_line_is_no_path() -> None:
    assert not list(drawn(lines=[Line("nothing", [])]).iter("path"))
