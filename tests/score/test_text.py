from fractions import Fraction

import pytest

from edgelm.score import text


@pytest.mark.parametrize(("value", "shown"), [("1460", "1460"), ("54.7", "54.7"), ("30", "30.0"), ("0.0999", "0.0999"),
                                              ("0", "0"), ("1", "1.00")])  # fmt: skip
def test_three_significant_digits_are_shown(value, shown):
    assert text.significant(Fraction(value)) == shown


def test_what_is_missing_is_a_dash():
    assert {text.two(None), text.significant(None), text.size(None), text.signed(None), text.times(None)} == {"–"}


def test_exact_is_said_where_two_decimals_do_not():
    assert (text.exact(Fraction(117, 2)), text.exact(Fraction(55, 6))) == ("", "55/6")


def test_ordinals():
    assert [text.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 111, 122)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th", "122nd",
    ]  # fmt: skip


def test_sizes_counts_and_differences():
    sizes = [text.size(n) for n in (12 * 2**30, 3 * 2**19, 2**20 - 2**19, 2**10, 2**10 - 1, 0)]
    assert sizes == ["12.00 GiB", "1.50 MiB", "512.00 KiB", "1.00 KiB", "1023 B", "0 B"]
    assert [text.count(n) for n in (2_779_683_840, 1_234_567, 1500, 7)] == ["2.78 B", "1.23 M", "1.50 K", "7"]
    signs = [text.signed(Fraction(n)) for n in ("1/2", "-1/2", "0", "-1/1000")]
    assert signs == ["+0.50", "−0.50", "0.00", "0.00"]
    assert text.times(Fraction(1, 2)) == "0.50×"


def test_times_and_shares_are_written_with_their_units():
    assert text.milliseconds(41_260_000) == "41.3 ms" and text.percent(Fraction(341, 10_000)) == "3.4 %"
    assert {text.milliseconds(None), text.percent(None)} == {"–"}
