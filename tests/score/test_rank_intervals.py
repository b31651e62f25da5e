from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest

from edgelm.report import FULL_MARK
from edgelm.score.marks import Marks, Stratum
from edgelm.score.rank_intervals import counter_stream, rank_intervals


def marks(task, right, of=100):
    own = [FULL_MARK * (row in right) for row in range(of)]
    return Marks(task=task, protocol=f"s/{task}-1", answers="0" * 64, strata={"": Stratum(weight=1, marks=own)})


@pytest.fixture
def field(entries):
    """`field({"A": range(60)})`: entries right on those of 100 rows of the first task, and how to read their marks."""

    def make(right):
        store, made = {}, []
        for entry in entries({team: [(len(rows), 1, 1)] for team, rows in right.items()}):
            digest = f"{entry.team * 64}"
            store[digest] = marks("first", right[entry.team])
            model = entry.models["model"].model_copy(update={"marks": {"first": digest}})
            made.append(entry.model_copy(update={"models": {"model": model}}))
        return made, store.__getitem__

    return make


def test_close_teams_overlap_and_distant_ones_do_not(rules, track, field):
    made, read = field({"A": range(52), "B": range(50, 100), "C": range(5)})
    a, b, c = rank_intervals(rules, track, made, read, "seed", draws=200)
    assert (a.low, b.low, c.low, c.high) == (1, 1, 3, 3)
    assert a.high == b.high == 2


def test_the_same_samples_are_drawn_for_all(rules, track, field):
    """A team that is right wherever another is can never fall behind it, whatever is drawn."""
    made, read = field({"A": range(55), "B": range(50)})
    a, b = rank_intervals(rules, track, made, read, "seed", draws=200)
    assert (a.low, a.high, b.high) == (1, 1, 2)


def test_equal_input_gives_equal_intervals(rules, track, field):
    made, read = field({"A": range(52), "B": range(52, 100), "C": range(30, 75)})
    first = rank_intervals(rules, track, made, read, "seed", draws=100)
    assert rank_intervals(rules, track, made[::-1], read, "seed", draws=100) == first
    assert any(rank_intervals(rules, track, made, read, f"s{n}", draws=40) != first for n in range(5))


def test_a_score_without_marks_stays(rules, track, entries):
    made = entries({"A": [(2, 2, 2)], "B": [(1, 1, 1)]})
    found = rank_intervals(rules, track, made, {}.__getitem__, "seed", draws=40)
    assert [(each.team, each.low, each.high) for each in found] == [("A", 1, 1), ("B", 2, 2)]


def test_the_stream_is_pinned_and_even():
    first, *_, fifth = islice(counter_stream("edgelm"), 5)  # of the first block, and of the second
    assert (first, fifth) == (919521069657322129, 10126109331792883781)
    assert next(counter_stream("a")) != next(counter_stream("b"))
    faces = Counter(number % 6 for number in islice(counter_stream("dice"), 6000))
    assert all(Fraction(count, 1000) > Fraction(85, 100) for count in faces.values())
