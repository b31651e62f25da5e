"""Train a small model from scratch: tokenizer, corpus, pretraining, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from edgelm.cli.console import Data, Json, Out, count, emit_json, emit_table, note, progress
from edgelm.plugins import parse


def train(
    out: Out,
    steps: Annotated[
        list[str] | None, typer.Argument(help="Steps that differ from their defaults, such as pretrain:steps=500.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Train a small model from scratch; without --data on the miniature suite, in about two minutes on two cores.

    The data folder holds the training text: alpaca/*.json and c4/*.jsonl, also gzipped.
    """
    from edgelm.data.miniature import write
    from edgelm.train.run import train as run  # loads torch

    parsed = [parse("train", spec) for spec in steps or []]
    with tempfile.TemporaryDirectory(prefix="edgelm-miniature-") as scratch, progress() as bar:
        if data is None:
            note("no --data: training on the miniature suite")
            data = Path(scratch) / "suite"
            write(data)
        result = run(parsed, data, out, bar)
    card = result.card
    if json:
        emit_json(card.model_dump(mode="json"))
    else:
        emit_table(("", ""), [("checkpoint", out), ("parameters", count(result.parameters)),
                              ("recipe", " ".join(card.recipe))])  # fmt: skip
