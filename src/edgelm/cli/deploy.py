"""Compile a checkpoint into a bundle that runs elsewhere, such as one GGUF file for llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.bundle import BUNDLE_LIST
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Json, Out, emit_json, emit_table, progress
from edgelm.deploy.base import deploy as run
from edgelm.files import read_json
from edgelm.plugins import parse
from edgelm.score.text import size


def deploy(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    target: Annotated[str, typer.Argument(help="Target spec, such as gguf or gguf:dtype=F32: see `edgelm ls deploy`.")],
    out: Out,
    json: Json = False,
) -> None:
    """Compile a checkpoint into a bundle, the folder that goes onto the device."""
    with progress() as bar:
        run(Checkpoint(model), parse("deploy", target), out, bar)
    bundle = read_json(out / BUNDLE_LIST)
    if json:
        emit_json(bundle)
    else:
        files = [(name, size(file["size"]), file["sha256"][:16]) for name, file in bundle["files"].items()]
        emit_table(("file", ">size", "sha256"), files)
