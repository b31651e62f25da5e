"""See, fetch or generate the data: every file from upstream by its sha256, or the miniature suite."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer

from edgelm.cli.console import Data, Json, OfflineFlag, Out, emit_json, emit_table, note, progress
from edgelm.data.folder import DataFolder, cache_folder
from edgelm.data.sources import Source, sources
from edgelm.errors import InputError, UnknownName
from edgelm.files import tree_files

data = typer.Typer(no_args_is_help=True)


@data.command("ls")
def list_sources(
    names: Annotated[list[str] | None, typer.Argument(help="Sets whose files to list one by one.")] = None,
    folder: Data = None,
    json: Json = False,
) -> None:
    """List the data sets, or the files of some: whether they are here, licence, upstream location."""
    here = DataFolder(folder, offline=True)
    rows: list[tuple[str, ...]]
    if names or json:
        rows = [(source.name, _is_here(here, source.name), source.licence, source.sha256, source.url)
                for source in _chosen(names)]  # fmt: skip
        columns: tuple[str, ...] = ("file", "here", "licence", "sha256", "upstream")
    else:
        rows = []
        for name, group in groupby(sources().values(), key=lambda source: source.set):
            files = list(group)
            found = sum(_is_here(here, source.name) == "yes" for source in files)
            rows.append((name, f"{found} of {len(files)}", files[0].licence, files[0].publisher))
        columns = ("set", "files here", "licence", "upstream")
    if json:
        emit_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        emit_table(columns, rows)


def _chosen(names: list[str] | None) -> list[Source]:
    """The sources of some sets or names; all if none are named."""
    known = {source.set for source in sources().values()} | set(sources())
    for name in names or []:
        if name not in known:
            raise UnknownName("data set or source", name, {source.set for source in sources().values()})
    return [source for source in sources().values() if not names or {source.set, source.name} & set(names)]


def _is_here(folder: DataFolder, name: str) -> str:
    try:
        folder.path(name)
    except InputError:
        return "no"
    return "yes"


@data.command()
def pull(
    sets: Annotated[
        list[str] | None, typer.Argument(help="Sets (gsm8k) or files (gsm8k/test.jsonl); all if none.")
    ] = None,
    folder: Data = None,
    offline: OfflineFlag = False,
) -> None:
    """Fetch sources that are not here yet into the cache, each held against its sha256."""
    wanted = _chosen(sets)
    failed: list[InputError] = []
    with progress() as bar:
        for done, source in enumerate(wanted):
            bar("pull", done, len(wanted))
            try:
                DataFolder(folder, offline=offline).read(source.name)
            except InputError as error:
                failed.append(error)
                note(str(error))
    note(f"{len(wanted) - len(failed)} of {len(wanted)} sources are here (cache: {cache_folder() / 'data'})")
    if failed:
        raise failed[0]


@data.command()
def miniature(
    out: Out,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 0,
    rows: Annotated[int, typer.Option(help="Test rows of each task.")] = 100,
) -> None:
    """Generate the miniature suite: seven small benchmarks in the upstream formats, and text to train on."""
    from edgelm.data.miniature import write

    write(out, seed=seed, rows=rows)
    note(f"wrote {len(tree_files(out))} files to {out}")
