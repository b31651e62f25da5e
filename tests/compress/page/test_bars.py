from __future__ import annotations

import re

from edgelm.compress.page.bars import bars, described


def test_a_bar_for_each_layer_as_high_as_its_value() -> None:
    svg = bars("Error", [0.1, 0.2, 0.0], marked={1})
    heights = [float(number) for number in re.findall(r'height="([\d.e-]+)%"/></g>', svg)]
    assert len(heights) == 3
    assert abs(heights[1] - 2 * heights[0]) < 0.01
    assert heights[2] == 0
    assert max(heights) < 100
    assert svg.count('<g class="marked">') == 1
    assert "<title>layer 1: 0.2</title>" in svg


def test_bars_of_some_layers_bear_their_numbers() -> None:
    svg = bars("Error", [0.1, 0.2], layers=[3, 4])
    assert "<title>layer 3: 0.1</title>" in svg and "at most 0.2 (4)" in svg and ">3</text>" in svg


def test_nothing_but_noughts_is_drawn_too() -> None:
    assert bars("Error", [0.0, 0.0]).count('height="0%"') == 2


def test_all_layers_are_within_the_frame() -> None:
    svg = bars("Error", [1.0] * 80)
    lefts = [float(number) for number in re.findall(r'<rect x="([\d.]+)%"', svg)]
    assert 0 < min(lefts) < max(lefts) < 100
    assert ">0</text>" in svg


def test_it_is_told_in_words() -> None:
    assert described("Error", [0.25, 0.75], [3, 4]) == "Error, 2 values: 0.5 in the mean, at most 0.75 (4)"


def test_the_title_is_text() -> None:
    assert '"' not in bars('a"b', [1.0, 2.0]).partition('aria-label="')[2].partition('">')[0]
