"""Figures in the unit of their column: percent or fraction, bytes or mebibytes, tokens or inferences a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from edgelm.results.base import MEAN, MIB, PERCENT, TOKENS, Expected, Note, shown
from edgelm.results.quantities import BYTES, INFERENCES, SECONDS, Quantity
from edgelm.submission import COLUMNS, MEMORY, THROUGHPUT

FRACTION_IN = COLUMNS["truthfulqa"]  # the one task whose figure OpenCompass prints as a fraction
# What memory without a unit may be in, smallest first. The kit's script divides by 2^20; gigabytes are people's, and
# only the size of a checkpoint can tell the two kinds of them apart.
_LADDER = {"B": 1, "KiB": 2**10, MIB: 2**20, "GB": 10**9}
_BY_SIZE = {**_LADDER, "GiB": 2**30}
_SMALLEST = 64 << 20  # bytes: no language model that competes needs less, if its checkpoint is not known


class Reading(NamedTuple):
    """A quantity in the unit of its column. `value` is None where it cannot be taken for a figure of it."""

    value: Fraction | None
    half: Fraction
    unit: str
    assumed: str = ""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a quantity stands, and what is known of that place."""

    column: str
    where: str  # in words
    slot: str | None
    unit: str = ""  # that the header states
    canonical: bool = False  # whether the file's form states the units
    expected: Expected = field(default_factory=Expected)

    def seen(self, text: str) -> str:
        """The place and the text found there, as findings name it."""
        return f"{self.where}: {shown(text)}"


def read_quantity(quantity: Quantity, place: Place, seen: str) -> Reading:
    """A quantity of a column of figures; `seen` is how notes begin."""
    unit = quantity.unit or place.unit
    if quantity.value < 0:
        return Reading(None, quantity.half, unit, notes=(Note("CLM-08", f"{seen} is negative"),))
    if place.column == MEMORY:
        return _memory(quantity, unit, place, seen)
    if place.column == THROUGHPUT:
        return _throughput(quantity, unit, place, seen)
    return _percent(quantity, unit, place, seen)


def _percent(quantity: Quantity, unit: str, place: Place, seen: str) -> Reading:
    value, half, assumed = quantity.value, quantity.half, ""
    notes: list[Note] = []
    if unit not in ("", PERCENT):
        return Reading(None, half, unit, notes=(Note("CLM-03", f"{seen} has no unit of a score: kept as text"),))
    if not unit and place.column == FRACTION_IN and 0 < value < 1 and not _as_reported(quantity, place, {PERCENT: 1}):
        value, half, assumed = value * 100, half * 100, "a fraction"
        notes.append(Note("CLM-04", f"{seen} is read as {decimal(value)} %"))
    if value > 100:
        return Reading(None, half, PERCENT, notes=(Note("CLM-08", f"{seen} is above 100 %"),))
    return Reading(value, half, PERCENT, assumed, tuple(notes))


def _as_reported(quantity: Quantity, place: Place, ladder: Mapping[str, Fraction | int]) -> str:
    """The unit in which a number without one is what the model's report has; empty if not exactly one is.

    `ladder` has the worth of each unit in that of the canonical form.
    """
    known = place.expected.reported.get(place.slot or "", {}).get(place.column)
    agreeing = [] if known is None else [
        unit for unit, scale in ladder.items() if abs(known - quantity.value * scale) <= quantity.half * scale
    ]  # fmt: skip
    return agreeing[0] if len(agreeing) == 1 else ""


def _throughput(quantity: Quantity, unit: str, place: Place, seen: str) -> Reading:
    if not unit and (place.canonical or _as_reported(quantity, place, {TOKENS: 1})):
        unit = TOKENS
    if unit == TOKENS:
        return Reading(quantity.value, quantity.half, TOKENS)
    if unit in (INFERENCES, SECONDS):
        return Reading(quantity.value, quantity.half, unit)  # another quantity than the column's, and said so
    notes = () if not quantity.value else (Note("CLM-11", f"{seen} is kept as text"),)
    return Reading(None, quantity.half, unit, notes=notes)


def _memory(quantity: Quantity, unit: str, place: Place, seen: str) -> Reading:
    if not unit and (place.canonical or not quantity.value):
        unit = MIB
    in_mebibytes = {name: Fraction(scale, BYTES[MIB]) for name, scale in _BY_SIZE.items()}
    unit = unit or _as_reported(quantity, place, in_mebibytes)
    if unit in BYTES:
        return _mebibytes(quantity, BYTES[unit])
    if unit:
        note = Note("CLM-03", f"{seen} has no unit of memory: kept as text")
        return Reading(None, quantity.half, unit, notes=(note,))
    size, limit = _size(place), place.expected.limit
    least, ladder = (size, _BY_SIZE) if size else (_SMALLEST, _LADDER)
    fitting = [name for name, scale in ladder.items() if quantity.value * scale >= least]
    below = [name for name in fitting if limit is None or quantity.value * ladder[name] < limit]
    if fitting and below[:1] == fitting[:1] and (size or len(below) == 1):
        reading = _mebibytes(quantity, ladder[fitting[0]])
        return reading._replace(assumed=f"{fitting[0]}, the smallest unit that holds {_bytes(least, size)}")
    note = Note("CLM-12", f"{seen}: {_doubt(fitting, below, least, size, limit)}")
    return Reading(None, quantity.half, "", notes=(note,))


def _mebibytes(quantity: Quantity, scale: int) -> Reading:
    factor = Fraction(scale, BYTES[MIB])
    return Reading(quantity.value * factor, quantity.half * factor, MIB)


def _size(place: Place) -> int | None:
    """The bytes of the checkpoint that a row is about; of a row for all models, their mean."""
    sizes: Mapping[str, int] = place.expected.sizes
    if place.slot == MEAN and place.expected.slots and all(slot in sizes for slot in place.expected.slots):
        return sum(sizes[slot] for slot in place.expected.slots) // len(place.expected.slots)
    return sizes.get(place.slot or "")


def _doubt(fitting: list[str], below: list[str], least: int, size: int | None, limit: int | None) -> str:
    what = _bytes(least, size)
    if not fitting:
        return f"in no unit it holds {what}"
    if not below:
        return f"{' or '.join(fitting)} would hold {what}, but reach the limit of {limit:,} bytes"
    return f"{' or '.join(below)} would hold {what}"


def _bytes(least: int, size: int | None) -> str:
    return f"the checkpoint's {size:,} bytes" if size else f"at least {least:,} bytes, as any model does"


def decimal(value: Fraction, most: int = 6) -> str:
    """A value in plain decimals, as many as it needs up to `most`."""
    text = f"{round(value * 10**most):0{most + 1}d}"
    return f"{text[:-most]}.{text[-most:]}".rstrip("0").rstrip(".")
