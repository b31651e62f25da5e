"""The canonical results file: one row a slot model, percent, tokens a second and MiB, as plain decimal numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from fractions import Fraction

from edgelm.kit import whole
from edgelm.report import Report
from edgelm.results.agreement import figures_of, is_reported
from edgelm.results.base import MEAN, Claims, Expected, Figure, shown
from edgelm.results.units import decimal
from edgelm.rules import Rules
from edgelm.submission import COLUMNS, HEADER, MEMORY, THROUGHPUT

_DECIMALS = 2


def results_file(reports: Mapping[str, Report | None], rules: Rules) -> str:
    """The file from the reports of slot models.

    Scores count if they are complete and of the rules' suite, memory if it was read by the rules' meter. Anything else
    was not tested and stays empty, never 0.
    """
    return _written((slot, _from_report(report, rules) if report else {}) for slot, report in reports.items())


def _from_report(report: Report, rules: Rules) -> dict[str, str]:
    """The cells of one row by column."""
    counting = {COLUMNS[task] for task in COLUMNS if whole(report, task, rules.suite)} | {THROUGHPUT, MEMORY}
    figures = figures_of(report, rules.memory_meter)
    return {column: _rounded(value) for column, value in figures.items() if column in counting}


def proposal(claims: Claims) -> str:
    """The file that says what claims say, as far as the canonical form can.

    A row that stands for all models stays one: nobody but the team can say what each of them reached.
    """
    rows = [MEAN] if MEAN in claims.values else list(claims.slots)
    return _written((slot, {name: _as_claimed(figure) for name, figure in claims.values.get(slot, {}).items()})
                    for slot in rows)  # fmt: skip


def undecided(claims: Claims, expected: Expected) -> list[str]:
    """What `proposal` leaves out, or writes in a unit that is taken for granted and that no report confirms.

    Only the team can say what these cells mean.
    """
    sure = {figure for row in claims.values.values() for figure in row.values()
            if not figure.assumed or is_reported(figure, expected.reported, expected.slots)}  # fmt: skip
    unread = (figure for figure in claims.details if figure.value is None)
    cells = [f"{figure.cell}: {shown(figure.text)}" for figure in (*claims.figures, *unread) if figure not in sure]
    return list(dict.fromkeys([*cells, *(note.what for note in claims.notes if note.code == "CLM-08")]))


def _written(rows: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([slot, *(cells.get(column, "") for column in HEADER[1:])] for slot, cells in rows)
    return text.getvalue()


def _as_claimed(figure: Figure) -> str:
    """A claimed value with the decimals that it was claimed with, so that no precision is added or lost."""
    value, half = figure.canonical or Fraction(0), figure.half
    places = 0
    while places < 6 and Fraction(1, 2 * 10**places) > half:
        places += 1
    return _rounded(value, places) if half else decimal(value)


def _rounded(value: Fraction, places: int = _DECIMALS) -> str:
    text = f"{round(value * 10**places):0{places + 1}d}"
    return f"{text[:-places]}.{text[-places:]}" if places else text
