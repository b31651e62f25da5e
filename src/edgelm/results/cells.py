"""One cell of a results file: its figures, or the text that it stays, and what is to be said about it."""

from __future__ import annotations

from fractions import Fraction

from edgelm.results.base import UNITS, Figure, Note
from edgelm.results.quantities import is_no_number, is_placeholder, is_plain, quantities
from edgelm.results.units import Place, decimal, read_quantity


def read_cell(text: str, place: Place, row: str, *, decimal_comma: bool) -> tuple[list[Figure], list[Note]]:
    """The figures of a cell that is not empty. `row` is what the file calls its row."""
    seen = place.seen(text)
    if is_placeholder(text):
        return [], [Note("CLM-03", f"{seen} is read as not tested")]
    if is_no_number(text):
        return [], [Note("CLM-08", f"{seen} is no number")]
    found = quantities(text, decimal_comma=decimal_comma)
    if not found:
        kept = Figure(place.column, place.slot, row, None, "", Fraction(0), text, place.where)
        why = "a formula, which is not computed" if text.startswith("=") else "not understood"
        return [kept], [Note("CLM-03", f"{seen} is kept as text: {why}")]
    readings = [read_quantity(quantity, place, seen) for quantity in found]
    figures = [Figure(place.column, place.slot, row, reading.value, reading.unit, reading.half, text, place.where,
                      reading.assumed) for reading in readings]  # fmt: skip
    notes = [note for reading in readings for note in reading.notes]
    taken = [(reading.value, reading.unit) for reading in readings if reading.value is not None]
    foreign = any(unit != UNITS[place.column] for _, unit in taken)
    if foreign or (taken and not is_plain(text)):
        parts = " and ".join(f"{decimal(value, 3)} {unit}" for value, unit in taken)
        rest = f", which cannot be compared with {UNITS[place.column]}" if foreign else ""
        notes.insert(0, Note("CLM-03", f"{seen} is read as {parts}{rest}"))
    return figures, notes
