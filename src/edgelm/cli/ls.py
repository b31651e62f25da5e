"""List what there is: tasks, steps, engines, targets, devices, rule sets."""

from __future__ import annotations

from typing import Annotated

import typer

from edgelm.cli.console import Json, emit_json, emit_table
from edgelm.errors import UnknownName
from edgelm.plugins import KINDS, available


def ls(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(KINDS)}.")] = None,
    json: Json = False,
) -> None:
    """List what there is, read from the files' first lines without importing anything."""
    if kind is not None and kind not in KINDS:
        raise UnknownName("kind of plug-in", kind, KINDS)
    kinds = [kind] if kind else [name for name in KINDS if name != "cli"]
    plugins = [plugin for name in kinds for plugin in available(name).values()]
    if json:
        emit_json([{"kind": plugin.kind, "name": plugin.name, "summary": plugin.summary} for plugin in plugins])
    else:
        emit_table(("kind", "name", "what it is"), [(plugin.kind, plugin.name, plugin.summary) for plugin in plugins])
