"""Check a submission against the rules: every finding with what was seen, why it matters and the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.check.run import as_json, exit_code
from edgelm.check.run import check as run
from edgelm.cli.console import Json, emit_json, emit_table, note
from edgelm.plugins import parse


def check(
    submission: Annotated[Path, typer.Argument(help="Submission folder or zip.")],
    rules: Annotated[str, typer.Option(help="Rule set: see `edgelm ls rules`.")] = "neurips-2024",
    track: Annotated[str | None, typer.Option(help="The track it is meant for, if not as its manifest says.")] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Also read the weights themselves (NaN, infinities).")
    ] = False,
    json: Json = False,
) -> None:
    """Check a submission against the rules, without running anything of it. Exit code 1 if it would be refused."""
    findings = run(submission, parse("rules", rules), track=track, values=values)
    if json:
        emit_json(as_json(findings))
    else:
        if findings:
            rows = [(one.severity, one.code, one.path, one.what, one.mend) for one in findings]
            emit_table(("", "code", "where", "what", "mend"), rows)
        note("E refused, R a reviewer decides, W and I for your information" if findings else "no findings")
    raise typer.Exit(exit_code(findings))
