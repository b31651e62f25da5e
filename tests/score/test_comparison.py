from dataclasses import replace
from fractions import Fraction

from edgelm.score.comparison import compare
from edgelm.score.entries import SlotModel


def test_scores_are_differences_and_all_else_ratios(rules, track, entries):
    entry, base = entries({"A": [(30, 40, 300)], "base": [(36, 38, 200)]})
    sized = {"model": SlotModel(**entry.models["model"].model_dump() | {"parameters": 3, "bytes": 6, "peak_memory": 5})}
    whole = {"model": SlotModel(**base.models["model"].model_dump() | {"parameters": 4, "bytes": 8, "peak_memory": 10})}
    entry, base = entry.model_copy(update={"models": sized}), base.model_copy(update={"models": whole})
    gain = compare(rules, track, entry, base)
    assert gain.scores == {"first": -6, "second": 2}
    assert gain.mean == -2
    assert (gain.throughput, gain.peak_memory, gain.parameters, gain.bytes) == (
        Fraction(3, 2), Fraction(1, 2), Fraction(3, 4), Fraction(3, 4),
    )  # fmt: skip


def test_what_either_side_lacks_is_missing(rules, track, entries):
    entry, base = entries({"A": [(None, 40, None)], "base": [(36, None, 200)]})
    gain = compare(rules, track, entry, base)
    assert gain.scores == {"first": None, "second": None}
    assert (gain.throughput, gain.parameters) == (None, None)


def test_void_tasks_are_left_out(rules, track, entries):
    entry, base = entries({"A": [(30, 40, 1)], "base": [(36, 38, 1)]})
    assert compare(replace(rules), track, entry, base, void=["first"]).mean == 2
