"""OpenCompass's own summary as a results file: a row for each metric of each data set, a column for each model."""

from __future__ import annotations

from fractions import Fraction

from edgelm.results.base import TASKS, Expected, Figure, Note, shown
from edgelm.results.cells import read_cell
from edgelm.results.columns import column
from edgelm.results.quantities import quantities
from edgelm.results.rows import Rows
from edgelm.results.slots import assign
from edgelm.results.table import LONG_FORM, Cell, Table
from edgelm.results.units import Place
from edgelm.submission import COLUMNS

_METRICS = {"truthfulqa": "bleu_acc"}  # of the task with several metrics the one that counts
_MISSING = "-"  # as OpenCompass writes it


def read_summary(found: Table, expected: Expected) -> Rows:
    """The scores that count, and as details all others: subsets, other metrics, other data sets."""
    models = [cell.text for cell in found.header[len(LONG_FORM) :]]
    slots, notes = assign(models, expected.slots)
    rows: list[list[Figure]] = [[] for _ in models]
    details: list[Figure] = []
    seen: set[str] = set()
    for line in found.rows:
        dataset, version, metric = (_text(line, number) for number in range(3))
        task = TASKS.get(column(dataset).name, "")
        counts = bool(task) and task not in seen and metric == _METRICS.get(task, metric)
        for number, (model, slot) in enumerate(zip(models, slots, strict=True)):
            text = _text(line, len(LONG_FORM) + number)
            if text in ("", _MISSING):
                continue
            where = f"line {line[0].line}, {shown(dataset)}"
            if not counts:
                details.append(_detail(f"{dataset} {metric}", slot, model, text, where))
                continue
            place = Place(COLUMNS[task], where, slot, expected=expected)
            figures, said = read_cell(text, place, model, decimal_comma=found.decimal_comma)
            rows[number] += figures
            notes += said
        if counts:
            seen.add(task)
            notes += _version(task, version, expected, line[0].line)
    notes += [Note("CLM-05", f"no row {COLUMNS[task]}") for task in expected.tasks if task in COLUMNS.keys() - seen]
    return Rows(rows, details, notes)


def _text(line: list[Cell], number: int) -> str:
    return line[number].text if number < len(line) else ""


def _detail(name: str, slot: str | None, model: str, text: str, where: str) -> Figure:
    numbers = quantities(text)
    value, half = (numbers[0].value, numbers[0].half) if len(numbers) == 1 else (None, Fraction(0))
    return Figure(shown(name), slot, model, value, "", half, text, where)


def _version(task: str, version: str, expected: Expected, line: int) -> list[Note]:
    """RPT-03: another version of the prompts than the rules pin. Groups of data sets have none."""
    pinned = expected.versions.get(task)
    if version in ("", _MISSING) or pinned in (None, version):
        return []
    return [Note("RPT-03", f"line {line}: {COLUMNS[task]} by version {shown(version)}, the rules pin {pinned}")]
