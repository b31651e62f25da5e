"""Numbers with units in cells: what is understood, to which decimal, and what stays text."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.results.quantities import is_no_number, is_placeholder, is_plain, quantities, unit_of


@pytest.mark.parametrize(("cell", "value", "half", "unit"), [
    ("17", "17", "1/2", ""), ("17.30", "17.3", "1/200", ""), ("17.", "17", "1/2", ""), (".5", "1/2", "1/20", ""),
    ("-3.5", "-7/2", "1/20", ""), ("−3.5", "-7/2", "1/20", ""), ("+4", "4", "1/2", ""), ("1e2", "100", "50", ""),
    ("1.25e-1", "1/8", "1/2000", ""), ("8.755 GB", "8.755", "1/2000", "GB"), ("8573MiB", "8573", "1/2", "MiB"),
    ("17.3%", "17.3", "1/20", "%"), ("12 tokens per second", "12", "1/2", "tokens/s"),
    ("12 tok / s", "12", "1/2", "tokens/s"),
    ("1,234.5 MB", "1234.5", "1/20", "MB"), ("**12.5**", "12.5", "1/20", ""), ("(3 s)", "3", "1/2", "s"),
])  # fmt: skip
def test_one_quantity(cell, value, half, unit):
    assert quantities(cell) == [(Fraction(value), Fraction(half), unit)]


@pytest.mark.parametrize("cell", ["71.61 inf/s 0.014 s", "71.61 inf/s, 0.014 s", "71.61 inf/s (0.014 s)",
                                  "71.61 inference/s / 0.014 sec", "71.61inf/s;0.014s"])  # fmt: skip
def test_several_quantities_in_a_cell(cell):
    assert [(one.value, one.unit) for one in quantities(cell)] == [
        (Fraction("71.61"), "inferences/s"), (Fraction("0.014"), "s")]  # fmt: skip


@pytest.mark.parametrize("cell", [
    "", "five", "12/164", "8.9 ± 0.3", "20 30", "3 apples", "1.2.3", "=1+1", "1,5", "0x10", "1_000", "१२", "5 GB about",
    "1e999", "--5", "5 GB 3", "9" * 31, "1 " * 200, "1 s " * 5,
])  # fmt: skip
def test_what_is_not_understood_to_the_last_sign_is_no_quantity(cell):
    assert quantities(cell) == []


@pytest.mark.parametrize(
    ("cell", "value"), [("17,3", "17.3"), ("17.3", "17.3"), ("1.234,5", "1234.5"), ("8,755 GB", "8.755")]
)
def test_decimal_commas_where_commas_do_not_separate(cell, value):
    assert [one.value for one in quantities(cell, decimal_comma=True)] == [Fraction(value)]


@settings(max_examples=300, deadline=None)
@given(number=st.integers(0, 10**12), places=st.integers(0, 9), unit=st.sampled_from(["", " MB", "%", " tokens/s"]))
def test_a_written_number_is_read_exactly(number, places, unit):
    value = Fraction(number, 10**places)
    text = f"{number:0{places + 1}d}"
    text = f"{text[:-places]}.{text[-places:]}" if places else text
    assert quantities(text + unit) == [(value, Fraction(1, 2 * 10**places), unit.strip())]
    assert quantities(text.replace(".", ",") + unit, decimal_comma=True) == quantities(text + unit)
    assert is_plain(text)


def test_words_that_stand_for_no_figure_and_for_no_number():
    assert all(map(is_placeholder, ["-", "N/A", " none ", "—"])) and not is_placeholder("0")
    assert all(map(is_no_number, ["nan", "-INF", "Infinity %"])) and not is_no_number("info")


def test_units_by_their_spellings():
    assert [unit_of(text) for text in ("gb", "GiB", "Tokens/sec", "tokens per second", "percent", "furlongs", "")] == [
        "GB", "GiB", "tokens/s", "tokens/s", "%", "", ""]  # fmt: skip
