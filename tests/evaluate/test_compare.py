"""Comparison: the same rows under the same protocol, and a difference as sure as its rows make it."""

import math

import pytest

from edgelm.errors import MissingInput, UnknownName, Unsupported
from edgelm.evaluate.compare import compare, sign_test


@pytest.fixture
def two(tmp_path, make_answers, make_score, write_report):
    """`two(marks of A, marks of B, of A's score, of B's score)`: two report folders with one task."""

    def write(left, right, a=None, b=None):
        for name, marks, fields in (("a", left, a), ("b", right, b)):
            answers = make_answers(marks)
            write_report(tmp_path / name, {"gsm8k": (make_score(answers, **fields or {}), answers)})
        return tmp_path / "a", tmp_path / "b"

    return write


def test_the_rows_that_changed_are_listed_on_both_sides(two):
    [found] = compare(*two([1, 1, 0, 0, 1], [1, 0, 1, 1, 1]))
    assert [before.sample for before, _ in found.lost] == ["gsm8k-1"]
    assert [after.sample for _, after in found.gained] == ["gsm8k-2", "gsm8k-3"]
    assert found.difference == pytest.approx(20) and found.rows == 5


def test_equal_reports_differ_by_nought_but_not_with_certainty(two):
    [found] = compare(*two([1, 0] * 50, [1, 0] * 50))
    assert found.difference == 0 and found.p == 1
    assert found.interval.low == -found.interval.high and 1 < found.interval.high < 3


def test_pairing_is_surer_than_the_two_scores_alone(two):
    left = [1, 0] * 200
    [found] = compare(*two(left, [*left[:-20], *[1] * 20]))
    assert found.difference == pytest.approx(2.5)
    assert found.interval.low > 0 and found.p == pytest.approx(2**-9)


def test_the_interval_follows_agresti_and_min_where_changes_are_many(two):
    right = [1] * 30 + [0] * 10 + [1] * 60
    [found] = compare(*two([0] * 30 + [1] * 70, right))
    variance = (40 - 20**2 / 100) / 99 / 100 + 1 / 100**2
    assert found.interval == pytest.approx([20 - 196 * math.sqrt(variance), 20 + 196 * math.sqrt(variance)], abs=0.01)


def test_subsets_weigh_as_in_the_score(tmp_path, make_answers, make_score, write_report):
    for name, marks in (("a", 0), ("b", 1)):
        answers = [*make_answers([marks], subset="small"), *make_answers([0] * 9, subset="large")]
        score = make_score(answers, score=50 * marks)
        write_report(tmp_path / name, {"gsm8k": (score, answers)})
    [found] = compare(tmp_path / "a", tmp_path / "b")
    assert found.difference == pytest.approx(50)  # A's score of 0 would fit every weighting, B's of 50 only one


def test_scores_made_in_a_way_not_known_here_are_compared_by_rows_and_that_is_said(two):
    [found] = compare(*two([1, 0], [1, 1], {"score": 99}))
    assert found.difference == 50
    assert found.notes == ["every row weighs the same here, which is not how both scores were made"]


def test_only_rows_of_both_are_paired(two):
    [found] = compare(*two([1, None, 1, 0, 1, 1], [1, 1, 0]))
    assert found.rows == 2 and found.difference == -50
    assert any("3 rows" in text for text in found.notes) and any("1 rows have no mark" in text for text in found.notes)


def test_other_engines_and_promptings_are_said(two):
    a = {"engine": {"engine": "hf", "batch": 8}}
    b = {"engine": {"engine": "hf", "batch": 4}, "prompting": "base"}
    [found] = compare(*two([1, 0], [0, 1], a, b))
    assert found.notes == ["the engines differ: batch 8 and batch 4", "asked as chat and as base"]


def test_protocols_are_never_mixed(two):
    folders = two([1], [1], b={"protocol": "opencompass-0.3.1/gsm8k-other"})
    with pytest.raises(Unsupported, match="gsm8k was not asked and marked alike") as caught:
        compare(*folders)
    assert "gsm8k-1d7fe4 and opencompass-0.3.1/gsm8k-other" in caught.value.why


def test_a_task_must_be_in_both(two, tmp_path, make_answers, make_score, write_report):
    a, b = two([1], [1])
    with pytest.raises(UnknownName, match="'gsm9k'"):
        compare(a, b, ["gsm9k"])
    answers = make_answers([1], task="chid")
    write_report(tmp_path / "c", {"chid": (make_score(answers), answers)})
    with pytest.raises(MissingInput, match="no task in common") as caught:
        compare(a, tmp_path / "c")
    assert "gsm8k" in caught.value.why and "chid" in caught.value.why


def test_reports_without_a_common_row_cannot_be_paired(two):
    with pytest.raises(MissingInput, match="no marked answer of gsm8k"):
        compare(*two([None, 1], [1]))


@pytest.mark.parametrize(("lost", "gained", "p"), [
    (0, 0, 1.0), (0, 1, 1.0), (5, 0, 0.0625), (0, 10, 2**-9), (3, 7, 0.34375), (7, 3, 0.34375), (1, 5, 0.21875),
    (3000, 3000, 1.0),
])  # fmt: skip
def test_the_sign_test_is_exact(lost, gained, p):
    assert sign_test(lost, gained) == pytest.approx(p)
