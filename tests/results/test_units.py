"""Units by column: memory by the checkpoint and the limit, TruthfulQA as a fraction, throughput of other kinds."""

from __future__ import annotations

from fractions import Fraction

import pytest

from edgelm.results.base import Expected
from edgelm.results.quantities import quantities
from edgelm.results.units import Place, decimal, read_quantity

LIMIT = 12 * 2**30


def reading(cell, column, slot="m", **more):
    expected = Expected(slots=("m",), limit=more.pop("limit", LIMIT), sizes=more.pop("sizes", {}),
                        reported=more.pop("reported", {}))  # fmt: skip
    (quantity,) = quantities(cell)
    return read_quantity(quantity, Place(column, "line 2", slot, expected=expected, **more), f"line 2: {cell}")


@pytest.mark.parametrize(("cell", "size", "unit", "mebibytes"), [
    ("5368709120", 5 << 30, "B", 5120), ("5242880", 5 << 30, "KiB", 5120), ("5120", 5 << 30, "MiB", 5120),
    ("5.5", 5 << 30, "GB", Fraction(5_500_000_000, 2**20)), ("5.1", 5 << 30, "GiB", Fraction("5.1") * 2**10),
    ("8573.243", None, "MiB", Fraction("8573.243")),
    ("1.9", None, "GB", Fraction(1_900_000_000, 2**20)),
])  # fmt: skip
def test_memory_is_in_the_smallest_unit_that_holds_the_checkpoint(cell, size, unit, mebibytes):
    found = reading(cell, "Memory-Usage", sizes={"m": size} if size else {})
    assert (found.value, found.unit, found.notes) == (mebibytes, "MiB", ())
    assert found.assumed.startswith(f"{unit}, ")


@pytest.mark.parametrize(("cell", "size", "said"), [
    ("41", 5 << 30, "GB or GiB would hold"), ("0.001", 5 << 30, "in no unit"), ("41", None, "reach the limit"),
    ("12000", 13 << 30, "GB or GiB would hold"),
])  # fmt: skip
def test_memory_that_fits_in_no_unit_or_in_several_stays_text(cell, size, said):
    found = reading(cell, "Memory-Usage", sizes={"m": size} if size else {})
    assert found.value is None
    (note,) = found.notes
    assert note.code == "CLM-12" and said in note.what


def test_without_checkpoint_and_limit_several_units_are_possible():
    (note,) = reading("5000000", "Memory-Usage", limit=None).notes
    assert "KiB or MiB or GB would hold" in note.what
    assert reading("5000000", "Memory-Usage", limit=None, sizes={"m": 4 << 30}).assumed.startswith("KiB")


def test_the_mean_of_several_models_is_held_against_the_mean_of_their_checkpoints():
    expected = Expected(slots=("a", "b"), limit=LIMIT, sizes={"a": 4 << 30, "b": 2 << 30})
    (quantity,) = quantities("3100")
    found = read_quantity(quantity, Place("Memory-Usage", "", "mean", expected=expected), "")
    assert found.value == 3100 and "3,221,225,472" in found.assumed


def test_canonical_units_are_not_assumed():
    for column, unit in (("Memory-Usage", "MiB"), ("Throughput", "tokens/s"), ("GSM8K", "%")):
        assert reading("5", column, canonical=True)[:4] == (5, Fraction(1, 2), unit, "")


@pytest.mark.parametrize(("cell", "value", "codes"), [
    ("0.28", 28, ["CLM-04"]), ("0", 0, []), ("0.00", 0, []), ("1", 1, []), ("28.03", Fraction("28.03"), []),
    ("0.28%", Fraction("0.28"), []), ("100.5", None, ["CLM-08"]),
])  # fmt: skip
def test_truthfulqa_below_one_is_a_fraction(cell, value, codes):
    found = reading(cell, "TruthfulQA")
    assert found.value == value and [note.code for note in found.notes] == codes
    assert bool(found.assumed) is (codes == ["CLM-04"])


def test_a_small_percentage_that_the_report_has_is_one():
    found = reading("0.12", "TruthfulQA", reported={"m": {"TruthfulQA": Fraction(100, 817)}})
    assert (found.value, found.notes) == (Fraction("0.12"), ())


@pytest.mark.parametrize(("column", "cell", "known", "value"), [
    ("Memory-Usage", "400.81", "400.8125", "400.81"), ("Memory-Usage", "3.00", "3072", 3 * 1024),
    ("Throughput", "31.2", "31.23", "31.2"),
])  # fmt: skip
def test_a_number_without_a_unit_is_read_as_the_report_has_it(column, cell, known, value):
    reported = {"m": {column: Fraction(known)}}
    found = reading(cell, column, sizes={"m": 100_000}, reported=reported)
    assert (found.value, found.assumed, found.notes) == (Fraction(value), "", ())
    elsewhere = reading(cell, column, slot="other", sizes={"other": 100_000}, reported=reported)
    assert elsewhere.assumed or elsewhere.notes


def test_other_tasks_below_one_are_left_as_they_are():
    assert reading("0.28", "GSM8K").value == Fraction("0.28")


def test_the_last_decimal_of_a_fraction_is_worth_a_hundredfold():
    assert reading("0.28", "TruthfulQA").half == Fraction(1, 2)


@pytest.mark.parametrize(("cell", "unit", "value", "codes"), [
    ("31 tokens/s", "tokens/s", 31, []), ("31 inf/s", "inferences/s", 31, []), ("0.5 s", "s", Fraction(1, 2), []),
    ("31", "", None, ["CLM-11"]), ("0", "", None, []), ("31 GB", "GB", None, ["CLM-11"]), ("-1", "", None, ["CLM-08"]),
])  # fmt: skip
def test_throughput(cell, unit, value, codes):
    found = reading(cell, "Throughput")
    assert (found.value, found.unit, [note.code for note in found.notes]) == (value, unit, codes)


@pytest.mark.parametrize(("value", "text"), [
    ("0", "0"), ("1/3", "0.333333"), ("8573243/1000", "8573.243"), ("100", "100"), ("1/1000", "0.001"), ("10", "10"),
])  # fmt: skip
def test_plain_decimals(value, text):
    assert decimal(Fraction(value)) == text
