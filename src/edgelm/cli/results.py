"""Write the results file from reports, or read any other with its units, doubts and the file it should have been."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.check.base import Finding, finding
from edgelm.check.run import as_json, exit_code
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Json, RuleSet, emit_json, emit_table, note
from edgelm.errors import BadOption, UnknownName
from edgelm.files import write_bytes
from edgelm.folders import require_fresh
from edgelm.report import Report
from edgelm.results.agreement import between
from edgelm.results.base import Claims, Expected, Figure, Note, shown
from edgelm.results.canonical import proposal, results_file
from edgelm.results.held import expected
from edgelm.results.read import read_file
from edgelm.results.slots import slot_of
from edgelm.results.units import decimal
from edgelm.rules import Track
from edgelm.rules.stored import read_rules


def results(
    reports: Annotated[
        list[str] | None,
        typer.Argument(help="Reports as [SLOT=]FOLDER: what is written, or what the files read are held against."),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--read", help="Results file, OpenCompass summary or README to read; of several, compared."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="[SLOT=]FOLDER of a checkpoint, by whose size memory is read; repeatable.")
    ] = None,
    rules: RuleSet = "neurips-2024",
    track: Annotated[str, typer.Option(help="Track of the rules.")] = "compression",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write in the canonical form; standard output otherwise.")
    ] = None,
    json: Json = False,
) -> None:
    """Write results.csv from reports, or read one in any form. Exit code 1 if a file read would be refused."""
    if out is not None:
        require_fresh(out)
    ruled = read_rules(rules)
    asked = ruled.track(track)
    known = _reports(reports or [], asked)
    if files:
        sizes = {slot: Checkpoint(folder).bytes for slot, folder in _by_slot(checkpoint or [], asked)}
        held = expected(ruled, asked.slots, sizes=sizes, reports=known)
        raise typer.Exit(_reading(files, held, out, json))
    if checkpoint:
        raise BadOption("--checkpoint is given without --read", mend="a report says by itself what memory was read")
    if not known:
        raise BadOption("there is nothing to write", mend="give reports, or --read a results file")
    text = results_file({slot: known[slot] for slot in asked.slots if slot in known}, ruled)
    if json:
        emit_json({"file": text})
    _hand_over(text, out, shown_already=json)


def _reading(files: list[Path], held: Expected, out: Path | None, json: bool) -> int:
    """Show what the files say, and the canonical form of the first."""
    claims = [read_file(path, held) for path in files]
    findings = [_finding(path, one) for path, read_as in zip(files, claims, strict=True) for one in read_as.notes]
    findings += [_finding(files[0], one) for other in claims[1:] for one in between(claims[0], other)]
    findings.sort(key=lambda one: one.key)
    text = proposal(claims[0])
    if json:
        said = [{"file": path, "figures": [figure.as_json() for figure in one.figures],
                 "details": [figure.as_json() for figure in one.details]}
                for path, one in zip(files, claims, strict=True)]  # fmt: skip
        emit_json({**as_json(findings), "read": said, "proposal": text})
    else:
        _show(claims, findings)
    if claims[0].values:
        _hand_over(text, out, shown_already=json)
    else:
        note(f"{files[0]} holds no figure that the canonical form has a place for: nothing is written")
    return exit_code(findings)


def _show(claims: list[Claims], findings: list[Finding]) -> None:
    """The figures file by file, then the findings."""
    for one in claims:
        if one.figures:
            rows = [(figure.slot or "–", shown(figure.row), figure.column, *_value(figure), figure.cell, figure.assumed)
                    for figure in one.figures]  # fmt: skip
            emit_table(("slot", "row", "column", ">figure", "unit", "read from", "assumed"), rows, title=one.name)
        if one.details:
            note(f"{one.name}: {len(one.details)} more figures beside the columns, see --json")
    if findings:
        emit_table(("", "code", "where", "what", "mend"),
                   [(one.severity, one.code, one.path, one.what, one.mend) for one in findings])  # fmt: skip
    note("a claim: shown beside what the organiser measures, and never ranked")


def _value(figure: Figure) -> tuple[str, str]:
    if figure.value is None:
        return shown(figure.text), f"text{f', {figure.unit}' if figure.unit else ''}"
    return decimal(figure.value, 3), figure.unit


def _finding(path: Path, one: Note) -> Finding:
    return finding(one.code, str(path), one.what, mend=one.mend)


def _hand_over(text: str, out: Path | None, *, shown_already: bool) -> None:
    """Write the canonical file, or print it."""
    if out is not None:
        write_bytes(out, text.encode())
        note(f"the canonical form: {out}")
    elif not shown_already:
        print(text, end="")


def _by_slot(given: list[str], track: Track) -> list[tuple[str, Path]]:
    """Folders with the slots they are named for; a slot may be left out where there is one."""
    found = []
    for text in given:
        slot, equals, folder = text.partition("=")
        if not equals and len(track.slots) == 1:
            slot, folder = track.slots[0], text
        elif not equals:
            raise BadOption(f"{text} names no slot", mend=f"write SLOT={text}, of {', '.join(track.slots)}")
        elif slot not in track.slots:
            raise UnknownName("slot", slot, track.slots)
        found.append((slot, Path(folder)))
    return found


def _reports(given: list[str], track: Track) -> dict[str, Report]:
    """Reports by slot, told by the model's name where none is given; several of one slot are joined."""
    found: dict[str, Report] = {}
    for text in given:
        report = Report.load(Path(text)) if "=" not in text else None
        slot = slot_of(report.name, track.slots) if report else None
        if report is None or slot is None:
            ((slot, folder),) = _by_slot([text], track)
            report = report or Report.load(folder)
        found[slot] = found[slot] | report if slot in found else report
    return found
