"""Compute a published board again from its own files, and say the first difference."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Json, emit_json, note
from edgelm.errors import EXIT_FINDINGS
from edgelm.score.replay import counted
from edgelm.score.replay import replay as replayed

MOST = 20  # differences that are listed


def replay(
    board: Annotated[Path, typer.Argument(help="Folder that `edgelm score` wrote.")],
    key: Annotated[
        Path | None, typer.Option(help="Public key of the organisers; without it no signature counts.")
    ] = None,
    json: Json = False,
) -> None:
    """Compute a published board again from its own files. Exit code 1 if anything differs.

    Marks give scores, repeats give throughput, and both give places, points, totals, ranks and the sensitivity table;
    every file is held against its digest, and the list of digests against the signature.
    """
    differences = _signature(board, key) if key else []
    differences += islice(replayed(board), MOST)
    if json:
        emit_json({"board": board, "signed": key is not None and not differences, "differences": differences})
    elif differences:
        print(differences[0])
        for further in differences[1:]:
            note(further)
    else:
        marked, reported = counted(board)
        print("the same bytes")
        note(f"{marked} scores follow from published marks, {reported} are as reported")
        note("signed by this key" if key else "no signature was checked: give --key")
    raise typer.Exit(EXIT_FINDINGS if differences else 0)


def _signature(board: Path, key: Path) -> list[str]:
    from edgelm.score.signature import against_signature, public_key

    found = against_signature(board, public_key(key))
    return [found] if found else []
