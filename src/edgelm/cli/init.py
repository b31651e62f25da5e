"""Start a team's repository: recipes, source, and one script from the base models to a checked package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Json, emit_json, note
from edgelm.init.scaffold import SCRIPT, scaffold
from edgelm.plugins import parse


def init(
    track: Annotated[str, typer.Option(help="Track of the rules.")],
    folder: Annotated[
        Path | None, typer.Argument(help="New folder for it.", show_default="named after the track")
    ] = None,
    rules: Annotated[str, typer.Option(help="Rule set: see `edgelm ls rules`.")] = "neurips-2024",
    team: Annotated[str | None, typer.Option(help="The team's name.", show_default="the folder's")] = None,
    contact: Annotated[str, typer.Option(help="Mail address.")] = "",
    json: Json = False,
) -> None:
    """Start a team's repository: recipes, source, and one script from the base models to a checked package.

    By the miniature rules the script runs to a clean check within minutes, without a GPU and offline.
    """
    folder = folder or Path(track)
    made = scaffold(folder, track=track, rules=parse("rules", rules), spec=rules,
                    team=team or folder.resolve().name, contact=contact)  # fmt: skip
    if json:
        emit_json({"folder": str(folder), "files": made})
    else:
        note(f"{len(made)} files in {folder}: read its README.md, then ./{SCRIPT}")
