"""See, fetch or generate the data: every file from upstream by its sha256, or the miniature suite."""

from __future__ import annotations

from itertools import groupby, zip_longest
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from edgelm.cli.console import Data, Json, OfflineFlag, Out, count, emit_json, emit_table, note
from edgelm.data.fetch import free_bytes, upstream
from edgelm.data.folder import DataFolder, cache_folder
from edgelm.data.pull import lengths, missing
from edgelm.data.pull import pull as fetch_all
from edgelm.data.sources import Source, sources
from edgelm.errors import InputError, Offline, UnknownName
from edgelm.files import tree_files

data = typer.Typer(no_args_is_help=True)


@data.command("ls")
def list_sources(
    names: Annotated[list[str] | None, typer.Argument(help="Sets whose files to list one by one.")] = None,
    folder: Data = None,
    json: Json = False,
) -> None:
    """List the data sets, or the files of some: whether they are here, licence, upstream location.

    Of a folder with a suite.json, the sets and files of that suite.
    """
    here = DataFolder(folder, offline=True)
    known = list(sources().values()) if here.upstream else _own_files(here)
    absent = missing(here, known)
    rows: list[tuple[str, ...]]
    if names or json:
        rows = [(source.name, "no" if source in absent else "yes", source.licence, source.sha256, source.url)
                for source in _chosen(names, known)]  # fmt: skip
        columns: tuple[str, ...] = ("file", "here", "licence", "sha256", "upstream")
    else:
        rows = []
        for name, group in groupby(known, key=lambda source: source.set):
            files = list(group)
            found = sum(source not in absent for source in files)
            rows.append((name, f"{found} of {len(files)}", files[0].licence, files[0].publisher))
        columns = ("set", "files here", "licence", "upstream")
    if json:
        emit_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        emit_table(columns, rows)


def _own_files(folder: DataFolder) -> list[Source]:
    """What a suite of its own consists of; that suite is all its upstream."""
    return [Source(name, None, "", folder.sha256(name), folder.suite) for name in sorted(folder.names)]


def _chosen(names: list[str] | None, known: list[Source]) -> list[Source]:
    """The sources of some sets or names; all if none are named."""
    sets = {source.set for source in known}
    for name in names or []:
        if name not in sets | {source.name for source in known}:
            raise UnknownName("data set or source", name, sets)
    return [source for source in known if not names or {source.set, source.name} & set(names)]


@data.command()
def pull(
    sets: Annotated[
        list[str] | None, typer.Argument(help="Sets (gsm8k) or files (gsm8k/test.jsonl); all if none.")
    ] = None,
    folder: Data = None,
    offline: OfflineFlag = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be fetched.")] = False,
) -> None:
    """Fetch sources that are not here yet into the cache, each held against its sha256.

    Without names that is everything, training text and MMLU included. A download that broke off goes on where it
    stopped when the same command is given again.
    """
    wanted, here = _chosen(sets, list(sources().values())), DataFolder(folder, offline=True)
    absent = missing(here, wanted)
    if dry_run or (absent and offline):
        _list_missing(absent, [] if offline else lengths(absent))
        if not dry_run:
            raise Offline(
                f"{len(absent)} of {len(wanted)} files are not here, and the network is off",
                mend=f"place each at its name below {cache_folder() / 'data'}, or below a folder that --data names",
            )
        return
    if absent and not sets:
        note(f"no names are given, so all that is missing is fetched, {_files(len(absent))}; names choose from "
             f"{', '.join(dict.fromkeys(source.set for source in absent))}")  # fmt: skip
    failed = _fetch(absent)
    for source in wanted:
        if source not in absent:
            try:
                here.read(source.name)  # held against its sha256
            except InputError as error:
                failed[source.name] = error
    for reason in list(failed.values())[1:]:
        note(str(reason))
    note(f"{len(wanted) - len(failed)} of {len(wanted)} sources are here (cache: {cache_folder() / 'data'})")
    if failed:
        raise next(iter(failed.values()))  # which says itself what it is


def _list_missing(absent: list[Source], sizes: list[int | None]) -> None:
    """What is not here: where it belongs, and where it comes from."""
    known = [size for size in sizes if size is not None]
    for source, size in zip_longest(absent, sizes):  # whole lines rather than a table: addresses are there to be copied
        typer.echo(source.name + ("" if size is None else f"  {count(size)} bytes"))
        typer.echo(f"  from {upstream(source)}\n  sha256 {source.sha256}")
    all_of = "" if len(known) == len(absent) else "at least "
    size = f"{all_of}{count(sum(known))} bytes" if known else "of unknown size"
    note(f"{_files(len(absent))}, {size}; {count(free_bytes(cache_folder()))} bytes are free in the cache")


def _files(number: int) -> str:
    return f"{count(number)} file{'' if number == 1 else 's'}"


def _fetch(absent: list[Source]) -> dict[str, InputError]:
    """Fetch with a bar in bytes for each file under way, and one for all."""
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(),
        TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    with bars:
        whole = bars.add_task(_files(len(absent)), total=None)

        def told(name: str, done: int, of: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=of)
            bars.update(tasks[name], completed=done, total=of, visible=done != of)
            known = [task for task in bars.tasks if task.id != whole]
            all_known = len(known) == len(absent) and None not in [task.total for task in known]
            total = sum(task.total or 0 for task in known) if all_known else None
            bars.update(whole, completed=sum(task.completed for task in known), total=total)

        return fetch_all(absent, told)


@data.command()
def miniature(
    out: Out,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 0,
    rows: Annotated[int, typer.Option(help="Test rows of each task.")] = 100,
) -> None:
    """Generate the miniature suite: seven small benchmarks in the upstream formats, and text to train on."""
    from edgelm.data.miniature import write

    write(out, seed=seed, rows=rows)
    note(f"wrote {_files(len(tree_files(out)))} to {out}")
