"""Where claims differ by more than rounding: from the reports of the same models, or from another file's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from edgelm.kit import MIB
from edgelm.report import Report
from edgelm.results.base import MEAN, UNITS, Claims, Figure, Note
from edgelm.results.units import decimal
from edgelm.submission import COLUMNS, MEMORY, THROUGHPUT


def figures_of(report: Report, meter: str) -> dict[str, Fraction]:
    """The figures of a report by column, in the units of the canonical form; the peak as `meter` read it."""
    found = {COLUMNS[task]: score.score for task, score in report.tasks.items() if task in COLUMNS}
    if report.speed:
        found[THROUGHPUT] = report.speed.throughput
    if meter in report.memory:
        found[MEMORY] = Fraction(report.memory[meter], MIB)
    return found


def against_reports(
    figures: Sequence[Figure], reported: Mapping[str, Mapping[str, Fraction]], slots: Sequence[str]
) -> Iterator[Note]:
    """CLM-10 against `report.json`."""
    for figure in figures:
        exact = _exact(figure, reported, slots)
        if exact is not None and figure.canonical is not None and abs(figure.canonical - exact) > figure.half:
            what = f"{figure.slot}, {figure.column}: {_said(figure)} here, {float(exact):.4f} in report.json"
            yield Note("CLM-10", what)


def is_reported(figure: Figure, reported: Mapping[str, Mapping[str, Fraction]], slots: Sequence[str]) -> bool:
    """Whether a figure is what `report.json` has, up to rounding."""
    exact = _exact(figure, reported, slots)
    return exact is not None and figure.canonical is not None and abs(figure.canonical - exact) <= figure.half


def between(one: Claims, other: Claims) -> Iterator[Note]:
    """CLM-10 between two files that claim figures of the same models."""
    for slot, row in one.values.items():
        for column, figure in row.items():
            beside = other.values.get(slot, {}).get(column)
            if beside is None or figure.canonical is None or beside.canonical is None:
                continue
            if abs(figure.canonical - beside.canonical) > figure.half + beside.half:
                what = f"{slot}, {column}: {_said(figure)} in {one.name}, {_said(beside)} in {other.name}"
                yield Note("CLM-10", what, "find out which is right, and write both alike")


def _exact(
    figure: Figure, reported: Mapping[str, Mapping[str, Fraction]], slots: Sequence[str]
) -> Fraction | None:  # fmt: skip
    """What the reports have in a figure's place; a row that is the mean of all models is held against theirs."""
    if figure.slot == MEAN:
        return _mean(reported, slots, figure.column)
    return reported.get(figure.slot or "", {}).get(figure.column)


def _mean(reported: Mapping[str, Mapping[str, Fraction]], slots: Sequence[str], column: str) -> Fraction | None:
    """The mean over all slots; None if one lacks it."""
    found = [reported[slot][column] for slot in slots if column in reported.get(slot, {})]
    return sum(found, Fraction(0)) / len(found) if found and len(found) == len(slots) else None


def _said(figure: Figure) -> str:
    unit = UNITS[figure.column]
    return f"{decimal(figure.canonical or Fraction(0))}{'' if unit == '%' else ' '}{unit}"
