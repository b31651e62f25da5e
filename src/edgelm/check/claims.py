"""Claim checks: what the tolerant reader finds in the results file, against itself, the track and the reports."""

from __future__ import annotations

import contextlib

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model, Package
from edgelm.errors import EdgelmError, InputError
from edgelm.report import Report
from edgelm.results.base import Expected
from edgelm.results.held import expected
from edgelm.results.read import read_file
from edgelm.submission import RESULTS

ELSEWHERE = ("PKG-08", "PKG-09")  # names and empty files are found for all files of the package alike


def results_name(package: Package) -> str:
    """The results file as the manifest names it, or as it is spelled in the package."""
    try:
        name = package.submission.manifest.claims
    except InputError:
        name = RESULTS
    if not (package.path / name).exists():
        return next((other for other in package.files if other.casefold() == name.casefold()), name)
    return name


def results(package: Package) -> Findings:
    """CLM-01 to CLM-13, and RPT-03 of a summary: all that the reader says."""
    name = results_name(package)
    if not (package.path / name).exists():
        yield finding("CLM-01", name, "there is no such file")
        return
    expected = held(package)
    if not expected.slots:
        return  # no model is brought, and so no row is due
    for note in read_file(package.path / name, expected).notes:
        if note.code not in ELSEWHERE:
            yield finding(note.code, name, note.what, mend=note.mend)


def held(package: Package) -> Expected:
    """What is known of the package's models; what is damaged is found by the checks that own it."""
    track, sizes, reports = package.track, {}, {}
    for model in package.models:
        with contextlib.suppress(EdgelmError, OSError, ValueError):
            sizes[model.slot] = model.checkpoint.bytes
        if report := _report(model):
            reports[model.slot] = report
    try:
        brought = package.submission.slots
    except InputError:
        brought = [model.slot for model in package.models]
    slots = [slot for slot in track.slots if slot in brought] if track else brought
    return expected(package.rules, slots or brought, sizes=sizes, reports=reports)


def _report(model: Model) -> Report | None:
    try:
        return model.report if model.has_report else None
    except (EdgelmError, OSError, ValueError, TypeError):
        return None


CHECKS = (Check("CLM-01", results),)
MODEL_CHECKS: tuple[Check, ...] = ()
