"""Which choice an answer names: the order of the phrases, their gaps, and the likeliest of several."""

import pytest

from edgelm.tasks.options import first_capital, first_option, likeliest


@pytest.mark.parametrize(("answer", "letter"), [
    ("B", "B"), ("B. because", "B"), ("(C)", "C"), ("I think B", "B"), ("", ""), ("none", ""), ("E", ""),
    ("The answer is (C), not this.", "C"), ("The answer is (C), not A.", "A"),  # a letter at the end goes before
    ("the correct answer is $\\boxed{D}$", "D"), ("A: no. The answer is B", "B"),
    ("答案是 C", "C"), ("答案：D", "D"), ("因此A。", "A"), ("只有C正确", "C"),
    ("1. Bananas or Apples", "A"),  # of a phrase with several letters the first option counts
    ("CDs are Better", "C"), ("Ｂ", ""),
])  # fmt: skip
def test_the_first_fitting_phrase_names_the_option(answer, letter):
    assert first_option(answer, "ABCD") == letter


def test_options_beyond_four_are_looked_for_when_offered():
    assert (first_option("E", "ABCDE"), first_option("F", "ABCDE")) == ("E", "")


@pytest.mark.parametrize(("answer", "letter"), [("the B", "B"), ("École A", "É"), ("b", ""), ("答案 C", "C"), ("", "")])
def test_the_first_capital_is_of_any_script(answer, letter):
    assert first_capital(answer) == letter


def test_the_likeliest_choice_is_the_first_of_equals_and_may_be_weighed_by_length():
    assert likeliest("[-3.0, -1.0, -1.0]") == 1
    assert likeliest("[-3.0, -1.0]", lengths=[6, 1]) == 0
