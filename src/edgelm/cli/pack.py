"""Pack checkpoints with their reports and bundles into one submission, every file named by its digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from edgelm.bundle import BUNDLE_LIST
from edgelm.cli.console import Json, Out, emit_json, note, progress
from edgelm.errors import BadOption
from edgelm.pack import Entry
from edgelm.pack import pack as run
from edgelm.plugins import parse


def pack(
    models: Annotated[
        list[str], typer.Argument(help="SLOT=CHECKPOINT[,REPORT…][,BUNDLE], one for each model of the track.")
    ],
    out: Out,
    team: Annotated[str, typer.Option(help="The team's name.")],
    track: Annotated[str, typer.Option(help="Track of the rules.")] = "compression",
    rules: Annotated[str, typer.Option(help="Rule set: see `edgelm ls rules`.")] = "neurips-2024",
    source: Annotated[
        Path | None, typer.Option(help="Folder of runnable source with a README.md; else written from the recipes.")
    ] = None,
    proof: Annotated[
        list[str] | None, typer.Option(help="SLOT=FOLDER with a screenshot of the running app, or error.txt.")
    ] = None,
    omit: Annotated[list[str] | None, typer.Option(help="SLOT=REASON for a model that is not brought.")] = None,
    title: Annotated[str, typer.Option(help="Title of the submission.")] = "",
    method: Annotated[str, typer.Option(help="One paragraph on the method.")] = "",
    contact: Annotated[str, typer.Option(help="Mail address.")] = "",
    json: Json = False,
) -> None:
    """Pack checkpoints with their reports and bundles into one submission: a folder, or a zip if -o ends in .zip."""
    proofs = {slot: Path(folder) for slot, folder in map(_pair, proof or [])}
    entries = {slot: _entry(rest)._replace(proof=proofs.get(slot)) for slot, rest in map(_pair, models)}
    with progress() as bar:
        submission = run(
            entries, team=team, track=track, rules=parse("rules", rules), out=out, source=source, title=title,
            method=method, contact=contact, omitted=dict(map(_pair, omit or [])), progress=_counter(entries, bar),
        )  # fmt: skip
    manifest = submission.manifest
    if json:
        emit_json({"digest": submission.digest, **manifest.model_dump(mode="json")})
    else:
        note(f"packed {len(manifest.files)} files as {out} (digest {submission.digest[:16]}…)")
        note(f"next: edgelm check {out} --rules {rules}")
    submission.close()


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
