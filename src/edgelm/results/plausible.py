"""Whether the figures of a row can be what they claim to be: k of n right answers, and not all zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations

from edgelm.results.agreement import is_reported
from edgelm.results.base import MEAN, TASKS, Expected, Figure, Note, shown
from edgelm.results.units import FRACTION_IN, decimal

_PRINTED = Fraction(1, 200)  # half a unit of the two decimals that OpenCompass prints


def implausible(rows: Iterable[Sequence[Figure]], expected: Expected) -> list[Note]:
    """CLM-06 and CLM-09 of all rows."""
    notes = []
    for row in rows:
        numbers = [figure for figure in row if figure.value is not None]
        if numbers and not any(figure.value for figure in numbers):
            if all(is_reported(figure, expected.reported, expected.slots) for figure in numbers):
                continue  # a model that got everything wrong
            notes.append(Note("CLM-06", f"{_place(row[0])}: every value is zero"))
        else:
            notes += _counts(row, expected)
    return notes


def _place(figure: Figure) -> str:
    return figure.cell.partition(",")[0]


def _counts(row: Sequence[Figure], expected: Expected) -> list[Note]:
    """CLM-09: scores that no number of right answers gives, with the columns that seem to be exchanged."""
    scores = {figure.column: figure for figure in row if figure.canonical is not None and figure.column in TASKS}
    models = len(expected.slots) if row and row[0].slot == MEAN else 1
    samples = {column: models * expected.samples[TASKS[column]] for column in scores
               if TASKS[column] in expected.samples}  # fmt: skip
    wrong = [column for column in samples if not fits(scores[column], samples[column])]
    hints = _exchanges(wrong, scores, samples)
    notes = []
    for column in wrong:
        score, hint = scores[column], hints.get(column) or _as_fraction(scores[column], samples[column])
        notes.append(Note("CLM-09", f"{score.cell}: {shown(score.text)} is no k of {samples[column]:,}{hint}"))
    return notes


def fits(figure: Figure, samples: int) -> bool:
    """Whether some k of n in percent rounds to a score at the decimals it is written with.

    The mean of several models is some k of all their samples; its parts were rounded before.
    """
    value, half = figure.value, figure.half + (_PRINTED if figure.slot == MEAN else 0)
    if value is None:
        return True
    nearest = Fraction(round(value * samples / 100) * 100, samples)
    return abs(nearest - value) <= half


def _exchanges(wrong: Sequence[str], scores: Mapping[str, Figure], samples: Mapping[str, int]) -> dict[str, str]:
    """By column, with which other one it seems to be exchanged."""
    hints: dict[str, str] = {}
    for one, other in combinations(wrong, 2):
        if fits(scores[one], samples[other]) and fits(scores[other], samples[one]):
            hints.setdefault(one, f", but could be of {samples[other]:,}: exchanged with {other}?")
            hints.setdefault(other, f", but could be of {samples[one]:,}: exchanged with {one}?")
    truth = scores.get(FRACTION_IN)
    for column in wrong:
        value = scores[column].value
        if truth and truth.value and not truth.assumed and truth.value > 1 and value and value < 1:
            hints.setdefault(column, f", and looks like a fraction, as {FRACTION_IN} is printed, where {truth.text} "
                             f"stands: exchanged with {FRACTION_IN}?")  # fmt: skip
    return hints


def _as_fraction(figure: Figure, samples: int) -> str:
    """A hint where a score below 1 is k of n as a fraction."""
    if figure.value is None or not 0 < figure.value < 1:
        return ""
    right = round(figure.value * samples)
    if abs(Fraction(right, samples) - figure.value) > figure.half:
        return ""
    return f"; as a fraction it would be {decimal(figure.value * 100)} %: all tasks are given in percent"
