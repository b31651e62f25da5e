"""Check a submission against the rules: every finding with its place, what was seen and the mend."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from edgelm.check.base import worst
from edgelm.check.fetch import HOSTS, Fetcher
from edgelm.check.fingerprint import fingerprint as fingerprint_of
from edgelm.check.fix import fix as mend
from edgelm.check.look import MAX_PACKAGE
from edgelm.check.run import as_json, exit_code
from edgelm.check.run import check as run
from edgelm.check.sarif import as_sarif
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Json, RuleSet, emit_json, emit_table, note
from edgelm.cli.named import by_name
from edgelm.errors import BadOption
from edgelm.rules.stored import read_rules

GIB = 2**30


VERDICTS = {
    None: "accepted: no findings", "I": "accepted", "W": "accepted, with warnings (W)",
    "R": "accepted; a reviewer decides what is marked R", "E": "refused: what is marked E has to be mended",
}  # fmt: skip


def check(
    submission: Annotated[Path, typer.Argument(help="Submission: a folder, .zip, .tar or .tar.zst.")],
    rules: RuleSet = "neurips-2024",
    track: Annotated[str | None, typer.Option(help="The track it is meant for, if not as its manifest says.")] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Also read the weights: NaN, infinities, traces of quantisation.")
    ] = False,
    links: Annotated[bool, typer.Option("--links", help="Also fetch what links.json names, and compare it.")] = False,
    link_host: Annotated[
        list[str] | None, typer.Option(help="Another host that links may name, as the organiser says; repeatable.")
    ] = None,
    base: Annotated[
        list[str] | None, typer.Option(help="Known model as NAME=PATH, its folder or fingerprint; repeatable.")
    ] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another submission, for equal weights or answers; repeatable.")
    ] = None,
    max_gib: Annotated[float, typer.Option(help="Largest package that is taken, in GiB.")] = MAX_PACKAGE / GIB,
    fix: Annotated[bool, typer.Option("--fix", help="Mend names, dtypes, counts and the results file first.")] = False,
    fingerprint: Annotated[
        Path | None, typer.Option(help="File for the fingerprint of a known model; SUBMISSION is its checkpoint.")
    ] = None,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0 for editors and code hosts.")] = False,
    json: Json = False,
) -> None:
    """Check a submission against the rules, without running anything of it. Exit code 1 if it would be refused.

    --json also has the rule behind each finding, and the evidence for a reviewer.
    """
    if sarif and json:
        raise BadOption("--json and --sarif are given together", why="each is a form of its own", mend="give one")
    if not 0 < max_gib < math.inf:
        raise BadOption(f"--max-gib {max_gib:g}", why="no package is that large", mend="give a number above 0")
    if fingerprint is not None:
        fingerprint_of(Checkpoint(submission)).save(fingerprint)
        raise typer.Exit
    ruled = read_rules(rules)
    for line in mend(submission, ruled) if fix else ():
        note(line)
    hosts = (*HOSTS, *(link_host or ()))
    known = by_name("--base", base or [], "NAME=PATH")
    findings = run(
        submission, ruled, track=track, values=values, fetch=Fetcher(hosts=tuple(hosts)) if links else None,
        bases={name: Path(place) for name, place in known.items()},
        beside=beside or (), max_bytes=int(max_gib * GIB), hosts=hosts,
    )  # fmt: skip
    if sarif or json:
        emit_json(as_sarif(findings) if sarif else as_json(findings))
    else:
        if findings:
            rows = [(one.severity, one.code, one.path, one.what, one.mend) for one in findings]
            emit_table(("", "code", "where", "what", "mend"), rows)
        note(VERDICTS[worst(findings)])
    raise typer.Exit(exit_code(findings))
