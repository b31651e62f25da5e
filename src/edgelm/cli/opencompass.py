"""Write the model file and configuration by which OpenCompass runs a checkpoint on the competition's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.bridges.opencompass import CONFIGURATION, write_opencompass
from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Out, note


def opencompass(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Out,
    path: Annotated[
        str | None, typer.Option(help="Folder or Hugging Face name where OpenCompass finds it; by default this folder.")
    ] = None,
    prompting: Annotated[
        Prompting | None, typer.Option(help="How to ask; by default as the checkpoint's card or tokenizer says.")
    ] = None,
) -> None:
    """Write the model file and configuration by which OpenCompass runs a checkpoint on the competition's tasks.

    Both belong to a submission in the starting kit's form.
    """
    write_opencompass(Checkpoint(model), out, path or str(model.resolve()), prompting)
    note(f"in {out}, where OpenCompass 0.3.1 is installed: PYTHONPATH=. opencompass {CONFIGURATION}")
