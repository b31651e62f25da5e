"""Intervals: Wilson's where that is the question, the right width elsewhere, none where marks do not give the score."""

import random
from fractions import Fraction

import pytest

from edgelm.evaluate.intervals import interval, weightings
from edgelm.evaluate.opencompass_names import LONGBENCH_CATEGORIES


@pytest.mark.parametrize(("right", "rows", "low", "high"), [
    (81, 263, 25.53, 36.62),  # Newcombe 1998, table I
    (15, 148, 6.24, 16.05),
    (0, 20, 0.0, 16.11),
    (1, 29, 0.61, 17.18),
    (29, 29, 88.30, 100.0),
])  # fmt: skip
def test_marks_of_0_and_1_have_wilsons_interval(make_answers, make_score, right, rows, low, high):
    answers = make_answers([1] * right + [0] * (rows - right))
    assert interval(make_score(answers), answers) == pytest.approx((low, high), abs=0.01)


def test_rows_without_a_mark_do_not_count(make_answers, make_score):
    with_gaps, without = (make_answers(marks) for marks in ([1, 0, 1, None, None], [1, 0, 1]))
    assert interval(make_score(with_gaps), with_gaps) == interval(make_score(without), without)


def test_no_row_that_counts_has_no_interval(make_answers, make_score):
    assert interval(make_score(answers := make_answers([None])), answers) is None


def test_a_score_that_the_marks_do_not_give_has_no_interval(make_answers, make_score):
    answers = make_answers([1, 0, 1])
    assert interval(make_score(answers, score=Fraction(99)), answers) is None


def test_the_weighting_is_the_one_that_gives_the_score():
    marks = {"lcc": [1_000_000, 1_000_000], "trec": [0, 0, 0], "samsum": [1_000_000]}
    sizes = {name: len(own) for name, own in marks.items()}
    [rows], [subsets], [categories] = (weightings(Fraction(score), marks) for score in ("50", "200/3", "75"))
    assert rows(sizes) == {"lcc": Fraction(1, 3), "trec": Fraction(1, 2), "samsum": Fraction(1, 6)}
    assert set(subsets(sizes).values()) == {Fraction(1, 3)} and categories(sizes)["lcc"] == Fraction(1, 2)
    assert weightings(Fraction(49), marks) == []


def test_longbench_weighs_its_categories_alike():
    names = [name for category in LONGBENCH_CATEGORIES.values() for name in category]
    marks = {name: [1_000_000 if name == "lcc" else 0] for name in names}
    [rule] = weightings(Fraction(100, 12), marks)
    assert rule(dict.fromkeys(names, 1))["lcc"] == Fraction(1, 12)
    assert sum(rule(dict.fromkeys(names, 1)).values()) == 1


def test_one_row_a_subset_is_taken_as_uncertain_as_can_be(make_answers, make_score):
    apart = [answer for name in "abcdefgh" for answer in make_answers([name < "d"], subset=name)]
    together = make_answers([1] * 3 + [0] * 5)
    assert interval(make_score(apart), apart) == pytest.approx(interval(make_score(together), together))


def test_strata_and_graded_marks_narrow_the_interval(make_answers, make_score):
    unlike = [*make_answers([1] * 49 + [0], subset="easy"), *make_answers([0] * 49 + [1], subset="hard")]
    alike = make_answers([1, 0] * 50)
    graded = make_answers([0.4, 0.6] * 50)
    width = {name: interval(make_score(own), own) for name, own in
             (("unlike", unlike), ("alike", alike), ("graded", graded))}  # fmt: skip
    assert width["unlike"].high - width["unlike"].low < 0.4 * (width["alike"].high - width["alike"].low)
    assert width["graded"].high - width["graded"].low < 0.3 * (width["alike"].high - width["alike"].low)


@pytest.mark.parametrize(("rates", "rows"), [([0.05, 0.5, 0.95, 0.3], 15), ([0.3, 0.02, 0.7] * 4, 3)])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(make_answers, make_score, rates, rows):
    draw = random.Random(0)
    truth, held, times = 100 * sum(rates) / len(rates), 0, 300
    for _ in range(times):
        answers = [answer for n, rate in enumerate(rates)
                   for answer in make_answers([draw.random() < rate for _ in range(rows)], subset=str(n))]  # fmt: skip
        found = interval(make_score(answers), answers)
        held += found.low <= truth <= found.high
    assert 0.92 * times <= held <= 0.985 * times
