from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.score.exact import decimals, round_significant

positive = st.fractions(min_value=0, max_value=10**9)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("1235", "1240"), ("1245", "1240"), ("99.95", "100"), ("23.097", "23.1"), ("0.0999499", "0.0999"), ("0", "0"),
     ("999.5", "1000"), ("312.5", "312")],
)  # fmt: skip
def test_three_significant_digits_half_even(value, rounded):  # G-15
    assert round_significant(Fraction(value)) == Fraction(rounded)


@settings(max_examples=200, deadline=None)
@given(positive, positive)
def test_rounding_is_monotone_and_idempotent(a, b):  # property 13
    low, high = sorted([a, b])
    assert round_significant(low) <= round_significant(high)
    assert round_significant(round_significant(a)) == round_significant(a)


@settings(max_examples=200, deadline=None)
@given(positive)
def test_rounding_keeps_three_digits_and_stays_near(value):
    rounded = round_significant(value)
    assert abs(rounded - value) * 200 <= value
    digits = str((rounded * 10**30).numerator).rstrip("0")
    assert len(digits) <= 3 or rounded == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [("117/2", "58.50"), ("0", "0.00"), ("1/8", "0.12"), ("3/8", "0.38"), ("-1/8", "-0.12"), ("-3/2", "-1.50"),
     ("-1/1000", "0.00"), ("199/200", "1.00"), ("2/3", "0.67")],
)  # fmt: skip
def test_two_decimals_half_even(value, text):
    assert decimals(Fraction(value)) == text


def test_other_numbers_of_decimals():
    assert decimals(Fraction(5, 2), 0) == "2"
    assert decimals(Fraction(1234567, 1000), 1) == "1234.6"
