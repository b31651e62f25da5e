"""Pack checkpoints with their reports and bundles into one submission, every file named by its digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelm.bridges.opencompass import opencompass_files
from edgelm.bundle import BUNDLE_LIST
from edgelm.check.fetch import HOSTS, address_problem
from edgelm.cli.console import Json, RuleSet, emit_json, emit_table, note, progress
from edgelm.errors import EXIT_FINDINGS, BadOption
from edgelm.pack import Entry
from edgelm.pack import pack as run
from edgelm.pack.kit import Kit, held, read_kit
from edgelm.pack.lacks import Lack, lacking
from edgelm.results.canonical import proposal
from edgelm.rules.stored import read_rules
from edgelm.submission import SOURCE, Submission


def pack(
    models: Annotated[
        list[str] | None, typer.Argument(help="SLOT=CHECKPOINT[,REPORT…][,BUNDLE], one for each model of the track.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write, or a .zip.")] = None,
    team: Annotated[str, typer.Option(help="The team's name.")] = "",
    track: Annotated[str, typer.Option(help="Track of the rules.")] = "compression",
    rules: RuleSet = "neurips-2024",
    source: Annotated[
        Path | None, typer.Option(help="Folder of runnable source with a README.md; else written from the recipes.")
    ] = None,
    from_kit: Annotated[
        Path | None, typer.Option(help="Folder in the starting kit's shape: what it lacks is said, or it is packed.")
    ] = None,
    proof: Annotated[
        list[str] | None, typer.Option(help="SLOT=FOLDER with a screenshot of the running app, or error.txt.")
    ] = None,
    omit: Annotated[list[str] | None, typer.Option(help="SLOT=REASON for a model that is not brought.")] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="PATH=URL of a file that lies elsewhere, by its place in the package.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the submission.")] = "",
    method: Annotated[str, typer.Option(help="One paragraph on the method.")] = "",
    contact: Annotated[str, typer.Option(help="Mail address.")] = "",
    json: Json = False,
) -> None:
    """Pack checkpoints with their reports and bundles into one submission: a folder, or a zip if -o ends in .zip.

    With --from-kit all that is missing is said at once, with the command for each; exit code 1 if it is needed.
    """
    proofs = {slot: Path(folder) for slot, folder in map(_pair, proof or [])}
    entries = {slot: _entry(rest)._replace(proof=proofs.get(slot)) for slot, rest in map(_pair, models or [])}
    omitted, links, ruled = dict(map(_pair, omit or [])), _links(link or []), read_rules(rules)
    asked = ruled.track(track)
    parts: dict[str, Any] = {"source": source}
    if from_kit is not None:
        kit = read_kit(from_kit, held(entries, ruled, [slot for slot in asked.slots if slot not in omitted]))
        lacks = lacking(kit, entries, omitted, asked, rules, source=source is not None)
        _say(kit, [*_unsaid(team, out), *lacks], json)
        parts["source"] = source or kit.source
        if kit.claims and kit.claims.values and not any(entry.reports for entry in entries.values()):
            parts["claims"] = proposal(kit.claims)
    if not team or out is None:
        raise BadOption("pack needs a team and a package to write", mend="add --team NAME and -o FOLDER")
    with progress() as bar:
        submission = run(
            entries, team=team, track=track, rules=ruled, out=out, title=title, method=method, contact=contact,
            omitted=omitted, links=links, wrapper=opencompass_files, progress=_counter(entries, bar), note=note,
            **parts,
        )  # fmt: skip
    _show(submission, out, json)


def _show(submission: Submission, out: Path, json: bool) -> None:
    manifest = submission.manifest
    if json:
        emit_json({"digest": submission.digest, **manifest.model_dump(mode="json")})
    else:
        note(f"packed {len(manifest.files)} files as {out} (digest {submission.digest[:16]}…)")


def _unsaid(team: str, out: Path | None) -> list[Lack]:
    """What the command line itself still lacks."""
    said = (("the team's name", "--team NAME", bool(team)), ("a place for the package", "-o FOLDER", out is not None))
    return [Lack(what, f"add {mend}", needed=True) for what, mend, there in said if not there]


def _say(kit: Kit, lacks: list[Lack], json: bool) -> None:
    """What the kit's folder holds otherwise than it should, and all that is missing; the end, if it is needed."""
    needed = any(lack.needed for lack in lacks)
    if json and needed:
        emit_json({"missing": [lack._asdict() for lack in lacks]})
    elif lacks and not json:
        rows = [("needed" if lack.needed else "advised", lack.what, lack.mend) for lack in lacks]
        emit_table(("", "missing", "mend"), rows)
    for name in kit.absent:
        note(f"the kit's {name} is not there")
    for name in kit.respelled:
        note(f"{name} is spelled otherwise in the kit, and read all the same")
    for one in kit.claims.notes if kit.claims else ():
        note(f"{kit.claims.name if kit.claims else ''}: {one.code} {one.what}")
    if needed:
        note("nothing is packed: what is needed comes first")
        raise typer.Exit(EXIT_FINDINGS)


def _links(given: list[str]) -> dict[str, str]:
    """Addresses by the names of the files that lie there.

    Raises:
        BadOption: malformed, given twice, or an address that no checker would fetch.
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, url = text.partition("=")
        if not (name and equals) or name in found:
            raise BadOption(f"--link {text}", why="each names one file once", mend="write --link PATH=URL")
        if problem := address_problem(url):
            raise BadOption(f"{name} cannot be linked", why=problem,
                            mend=f"give an https address at one of {', '.join(HOSTS)}, or pack the file")  # fmt: skip
        if name.startswith(f"{SOURCE}/"):
            raise BadOption(f"{name} cannot be linked", why="source is read in the package", mend="leave out its link")
        found[name] = url
    return found


def _counter(entries: Mapping[str, Entry], bar: Callable[[str, int, int], None]) -> Callable[[int], object]:
    """Turn "so many bytes more" into "so many bytes of all"."""
    folders = [folder for entry in entries.values() for folder in (entry.checkpoint, entry.bundle) if folder]
    total = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    read = 0

    def advance(more: int) -> None:
        nonlocal read
        read += more
        bar("digest", min(read, total), total)

    return advance


def _pair(text: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    if not equals or not rest:
        raise BadOption(f"'{text}' is no SLOT=…", mend="write the slot, '=', and what belongs to it")
    return name, rest


def _entry(text: str) -> Entry:
    """A checkpoint, then reports and at most one bundle, told apart by what the folders hold."""
    checkpoint, *others = map(Path, text.split(","))
    bundles = [folder for folder in others if (folder / BUNDLE_LIST).is_file()]
    if len(bundles) > 1:
        raise BadOption(f"two bundles are given: {bundles[0]} and {bundles[1]}", mend="give one")
    reports = tuple(folder for folder in others if folder not in bundles)
    return Entry(checkpoint, reports, bundles[0] if bundles else None)
