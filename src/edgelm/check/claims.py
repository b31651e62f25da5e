"""Claim checks: the results file in its canonical form, against itself and against the reports."""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model, Package
from edgelm.errors import BadFile, InputError
from edgelm.files import read_bytes
from edgelm.kit import MIB, figure
from edgelm.submission import COLUMNS, HEADER, MEMORY, RESULTS, THROUGHPUT

LARGEST = 1 << 20  # bytes of a results file
NUMBER = re.compile(r"[+-]?(\d{1,30})(\.\d{0,30})?")
NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
Row = dict[str, str]  # cell by column


def _rows(package: Package) -> list[Row]:
    """The rows of the results file.

    Raises:
        MissingInput, BadFile: it is absent, too large or no table.
    """
    path = package.path / _name(package)
    data = read_bytes(path, LARGEST)
    try:
        lines = [line for line in csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{path} is no table in UTF-8 with commas", why=str(error)) from None
    if len(lines) < 2:
        raise BadFile(f"{path} has no row of figures")
    header = [name.strip() for name in lines[0]]
    return [dict(zip(header, (cell.strip() for cell in line), strict=False)) for line in lines[1:]]


def _name(package: Package) -> str:
    try:
        return package.submission.manifest.claims
    except InputError:
        return RESULTS


def columns(package: Package) -> Findings:
    """CLM-01 (raised on the way), CLM-05: every task of the table has a column."""
    header = _rows(package)[0]
    for task, column in COLUMNS.items():
        if column not in header and task in package.rules.tasks:
            yield finding("CLM-05", _name(package), f"no column {column}")


def figures(package: Package) -> Findings:
    """CLM-06, CLM-08: rows of zeros alone, and cells that cannot be a figure."""
    for number, row in enumerate(_rows(package), start=2):
        values = {column: _value(row.get(column, "")) for column in HEADER[1:]}
        known = [value for value in values.values() if value is not None]
        if known and not any(known):
            yield finding("CLM-06", _name(package), f"line {number}: every value is zero")
        for column, value in values.items():
            cell, percent = row.get(column, ""), column in COLUMNS.values()
            if NO_NUMBER.fullmatch(cell) or (value is not None and (value < 0 or (percent and value > 100))):
                yield finding("CLM-08", _name(package), f"line {number}, {column}: {cell[:40]}")


def agreement(model: Model) -> Findings:
    """CLM-10: each cell against the model's report; half a unit of the last decimal written is rounding."""
    rows = {row.get("Model", ""): row for row in _rows(model.package)}
    if model.slot not in rows or not model.has_report:
        return
    for column, exact in _reported(model).items():
        cell = rows[model.slot].get(column, "")
        value = _value(cell)
        if value is not None and abs(value - exact) > _half_unit(cell):
            what = f"{model.slot}, {column}: {cell[:40]} here, {float(exact):.4f} in report.json"
            yield finding("CLM-10", _name(model.package), what)


def _reported(model: Model) -> dict[str, Fraction]:
    """The figures of a report by column."""
    report, meter = model.report, model.rules.memory_meter
    found = {COLUMNS[task]: figure(task, score) for task, score in report.tasks.items() if task in COLUMNS}
    if report.speed:
        found[THROUGHPUT] = report.speed.throughput
    if meter in report.memory:
        found[MEMORY] = Fraction(report.memory[meter], MIB)
    return found


def _value(cell: str) -> Fraction | None:
    """The number in a cell; None if it is empty or no plain decimal number."""
    return Fraction(cell) if NUMBER.fullmatch(cell) else None


def _half_unit(cell: str) -> Fraction:
    return Fraction(1, 2 * 10 ** len(cell.partition(".")[2]))


CHECKS = (Check("CLM-01", columns), Check("CLM-01", figures))
MODEL_CHECKS = (Check("CLM-01", agreement),)
