import re
from xml.etree import ElementTree

import pytest

from edgelm.train.page.chart import Frame, Line, chart, framed, ticks

FALLING = [(float(tokens), 10 / tokens) for tokens in range(1, 101)]


def drawn(lines, frame=None, **options):
    return chart("Loss", lines, frame or framed(lines), "{:.2f}".format, **options)


def test_the_frame_leaves_the_steep_beginning_out():
    frame = framed([Line("training", FALLING)])
    assert frame.right == 100
    assert frame.high < 10 and frame.low < 0.1
    assert frame.y(frame.high) == 0 and frame.y(frame.low) == 1


def test_a_frame_of_one_value_and_of_none():
    frame = framed([Line("a", [(5.0, 3.0)])])
    assert frame.low < 3 < frame.high
    assert framed([Line("a", [(5.0, 0.0)])], floor=0.0).high > 0
    assert framed([]) is None
    assert framed([Line("a", [])]) is None


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0, 2.5e9, [0, 5e8, 1e9, 1.5e9, 2e9, 2.5e9]), (2.2, 5.05, [3, 4, 5]), (0.61, 0.99, [0.7, 0.8, 0.9]),
    (0, 922_000, [0, 2e5, 4e5, 6e5, 8e5]), (0, 47, [0, 10, 20, 30, 40]),
])  # fmt: skip
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_it_is_well_formed_says_what_it_shows_and_is_the_same_each_time():
    lines = [
        Line("training", FALLING, kind="noise"),
        Line("training", FALLING),
        Line("c<4>", [(50.0, 0.3)], "good", "marked"),
    ]
    svg = drawn(lines, bounds=[0, 50, 100])
    root = ElementTree.fromstring(svg)
    assert svg == drawn(lines, bounds=[0, 50, 100])
    assert root.get("aria-label") == "Loss over tokens. training from 10.00 to 0.10; c<4> from 0.30 to 0.30."
    assert len(root.findall("line[@class='bound']")) == 1
    assert [path.get("class") for path in root.iter("path")] == ["noise", "plain", "marked"]
    assert {"accent", "good"} == set(re.findall(r'stroke="var\(--(\w+)\)"', svg))


def test_values_can_be_read_off_without_a_script():
    root = ElementTree.fromstring(drawn([Line("training", FALLING)]))
    assert "".join(root.find("g[@class='last']").itertext()) == "100 tokens: 0.10"
    read = ["".join(group.find("g").itertext()) for group in root.findall("g[@class='at']")]
    assert read[0] == "1 tokens: 10.00" and read[-1] == "99 tokens: 0.10"


def test_what_is_above_the_frame_stays_above_it():
    svg = chart("x", [Line("a", [(0.0, 1e9), (1.0, 1.0)])], Frame(1.0, 0.0, 2.0), "{:.0f}".format)
    assert 'd="M0.0 -1000.0L1000.0 500.0"' in svg


def test_a_single_point_is_seen():
    assert "<circle" in drawn([Line("a", [(5.0, 3.0)])])
    assert "<circle" not in drawn([Line("a", FALLING)])
