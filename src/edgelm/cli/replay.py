"""Compute a published board again from its own files, and say the first difference."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from edgelm.archives.unpack import unpack
from edgelm.cli.console import Json, emit_json, note
from edgelm.errors import EXIT_FINDINGS, BadFile
from edgelm.score.replay import counted
from edgelm.score.replay import replay as replayed

MOST = 20  # differences that are listed
LARGEST = 64 << 30  # bytes of an unpacked bundle


def replay(
    board: Annotated[Path, typer.Argument(help="Folder that `edgelm score` wrote, or a bundle as a server gives it.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key of the organisers; without it no signature counts.")
    ] = None,
    json: Json = False,
) -> None:
    """Compute a published board again from its own files. Exit code 1 if anything differs.

    Marks give scores, repeats give throughput, and both give places, points, totals, ranks and the sensitivity table;
    every file is held against its digest, and the list of digests against the signature.
    """
    with _folder(board) as folder:
        differences = _signature(folder, key) if key else []
        differences += islice(replayed(folder), MOST)
        marked, reported = (0, 0) if differences else counted(folder)
    if json:
        emit_json({"board": board, "signed": key is not None and not differences, "differences": differences})
    elif differences:
        print(differences[0])
        for further in differences[1:]:
            note(further)
    else:
        print("the same bytes")
        note(f"{marked} scores follow from published marks, {reported} are as reported")
        note("signed by this key" if key else "no signature was checked: give --key")
    raise typer.Exit(EXIT_FINDINGS if differences else 0)


@contextlib.contextmanager
def _folder(board: Path) -> Iterator[Path]:
    """The board's folder: given as one, or unpacked from an archive, which may have it within another.

    Raises:
        MissingInput: there is no such board.
        BadFile: a file is no archive, or one that is not safe to unpack.
    """
    if not board.is_file():
        yield board
        return
    with tempfile.TemporaryDirectory(prefix="edgelm-board-") as name:
        try:
            unpack(board, Path(name), max_bytes=LARGEST)
        except BadFile as error:
            raise BadFile(error.what, why=error.why, mend="take the bundle as it was published") from None
        inner = sorted(Path(name).iterdir())
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() else Path(name)


def _signature(board: Path, key: Path) -> list[str]:
    from edgelm.score.signature import against_signature, public_key

    found = against_signature(board, public_key(key))
    return [found] if found else []
