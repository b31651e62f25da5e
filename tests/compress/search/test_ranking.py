from __future__ import annotations

from dataclasses import replace

import pytest

from edgelm.compress.search.candidates import Candidate
from edgelm.compress.search.curves import Curve
from edgelm.compress.search.limits import Limit
from edgelm.compress.search.ranking import Choice, best_of_each, choices_of, frontier, spread, within
from edgelm.errors import BadOption
from edgelm.shapes import Shape

SHAPE = Shape("llama", 8, 64, 4, 2, 16, 128, 256, 256, tied=True)


def candidate(layers: int = 8, ffn: int = 128, read: int = 1000, memory: int = 1000) -> Candidate:
    return Candidate(replace(SHAPE, layers=layers, ffn=ffn), parameters=10 * layers, memory=memory, read=read)


def choice(error: float, read: int = 1000, layers: int = 8, ffn: int = 128) -> Choice:
    return Choice(candidate(layers, ffn, read), error)


def test_costs_are_added() -> None:
    curves = {"layers": Curve.through({8: 0.0, 6: 0.5}), "ffn": Curve.through({128: 0.0, 64: 0.25})}
    costs = [choice.error for choice in choices_of([candidate(), candidate(6), candidate(6, 64)], curves)]
    assert costs == [0, 0.5, 0.75]


def test_of_equals_the_one_that_reads_less_and_then_the_smaller_comes_first() -> None:
    a, b, c, d = choice(0.1, 900), choice(0.2, 500, layers=6), choice(0.2, 500, layers=7), choice(0.2, 600, layers=5)
    assert best_of_each([d, c, b, a]) == [a, b, c, d]
    assert best_of_each([a, b, c, d]) == [a, b, c, d]


def test_of_feed_forward_widths_one_is_left() -> None:
    wide, narrow, other = choice(0.1, ffn=128), choice(0.3, ffn=64), choice(0.2, layers=6)
    assert best_of_each([narrow, other, wide]) == [wide, other]


def test_none_of_the_frontier_is_worse_in_both() -> None:
    a, b, c = choice(0.1, 900), choice(0.2, 700), choice(0.5, 600)
    worse, same = choice(0.3, 800), choice(0.2, 700, layers=9)
    assert frontier([same, worse, c, a, b]) == [a, b, c]
    assert frontier([]) == []


def test_measured_costs_go_before_expected_ones() -> None:
    a, b = replace(choice(0.1, 900), kl=2.0), replace(choice(0.2, 800, layers=6), kl=1.0)
    assert best_of_each([a, b]) == [b, a]
    assert frontier([a, b]) == [b]


def test_a_long_frontier_is_shown_in_part() -> None:
    choices = [choice(0.1, read) for read in range(100)]
    shown = spread(choices, 12)
    assert len(shown) == 12
    assert (shown[0], shown[-1]) == (choices[0], choices[-1])
    assert spread(choices[:12], 12) == choices[:12]


def test_what_does_not_fit_is_left_out() -> None:
    small, large = candidate(6, memory=500), candidate(8, memory=1000)
    assert within([small, large], Limit(memory=700)) == [small]
    with pytest.raises(BadOption, match="fits") as caught:
        within([small, large], Limit(memory=400))
    assert "500 B" in caught.value.why
    with pytest.raises(BadOption, match="no shape"):
        within([], Limit(memory=400))
