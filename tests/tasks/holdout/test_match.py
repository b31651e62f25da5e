"""What of a free answer counts."""

from fractions import Fraction

import pytest

from edgelm.tasks.holdout.match import fenced, last_number, last_option, normalised


@pytest.mark.parametrize(("text", "plain"), [
    ("The  Quick, brown FOX!", "quick brown fox"), ("ＡＢＣ。", "abc"), ("an apple a day", "apple day"),
    ("don't", "don t"), ("Straße", "strasse"), ("C++", "c++"), ("«守株待兔»", "守株待兔"), ("...", ""), ("", ""),
    ("-5", "−5"), ("well-known", "well known"),
])  # fmt: skip
def test_what_seldom_matters_is_taken_away(text, plain):
    assert normalised(text) == plain


@pytest.mark.parametrize(("text", "number"), [
    ("It is 3, or 1,234.50.", Fraction("1234.5")),
    ("-7", Fraction(-7)), (".5", Fraction("0.5")), ("-.5", Fraction("-0.5")),
    ("none", None), ("", None), ("9" * 301, None), ("٣", None), ("10 apples", Fraction(10)), ("1e5", Fraction(5)),
])  # fmt: skip
def test_the_last_number_counts_without_its_commas(text, number):
    assert last_number(text) == number


@pytest.mark.parametrize(("text", "letter"), [
    ("A, no: B.", "B"), ("(C)", "C"), ("An apple", ""), ("答案是B吗", "B"), ("D", ""), ("ABC", ""), ("", ""),
])  # fmt: skip
def test_the_last_letter_that_stands_alone_counts(text, letter):
    assert last_option(text, "ABC") == letter


@pytest.mark.parametrize(("text", "code"), [
    ("x = 1", "x = 1"), ("Sure:\n```python\nx = 1\n```\nand\n```\ny\n```", "x = 1\n"), ("```\nx = 1", "x = 1"),
    ("`x`", "`x`"), ("", ""),
])  # fmt: skip
def test_the_first_block_is_the_code(text, code):
    assert fenced(text) == code
