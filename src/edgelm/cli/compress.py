"""Turn a checkpoint into a smaller dense one: layers dropped, feed-forward narrowed, in stock format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Data, Json, OfflineFlag, count, emit_json, emit_table, note, progress
from edgelm.compress import recipe
from edgelm.compress.fallback import find_texts
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption
from edgelm.plugins import parse
from edgelm.score.text import size


def compress(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder: the base.")],
    steps: Annotated[list[str], typer.Argument(help="Steps in order, such as depth:drop=2 width:ffn=8192.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would be cut; no weight is read.")] = False,
    calib: Annotated[
        list[Path] | None, typer.Option(help="Calibration text (.txt, .jsonl, .json, also .gz), as often as wanted.")
    ] = None,
    data: Data = None,
    offline: OfflineFlag = False,
    calib_tokens: Annotated[int, typer.Option(help="Tokens to calibrate on.")] = 16_384,
    seq: Annotated[int, typer.Option(help="Longest calibration sequence, in tokens.")] = 1024,
    dtype: Annotated[Literal["float16", "float32", "keep"], typer.Option(help="Of the weights written.")] = "float16",
    seed: Annotated[int, typer.Option(help="Seed of the choice of text.")] = 0,
    json: Json = False,
) -> None:
    """Turn a checkpoint into a smaller dense one that plain transformers, and llama.cpp after `deploy`, run as it is.

    Calibration text is what --calib names, else the training text of the data folder, else a short built-in text.
    """
    base = Checkpoint(model)
    parsed = [parse("compress", spec) for spec in steps]
    rows = recipe.plan(base, parsed, dtype)
    if plan:
        _show(rows, {}, json)
        note(f"the run needs at least {size(recipe.need(base, dtype))} of memory, beside the libraries")
        return
    if out is None:
        raise BadOption("compress needs a folder to write", mend="add -o FOLDER, or --plan to write nothing")
    from edgelm.compress.run import compress as run  # loads torch

    texts = find_texts(calib or [], DataFolder(data, offline=offline))
    with progress() as bar:
        result = run(base, parsed, out, texts=texts, tokens=calib_tokens, sequence=seq, dtype=dtype, seed=seed,
                     progress=bar)  # fmt: skip
    found: dict[str, Any] = result.card.model_extra or {}
    for warning in found["warnings"]:
        note(f"warning: {warning}")
    _show(rows, found["quality"], json)


def _show(rows: list[Any], quality: dict[str, Any], json: bool) -> None:
    if json:
        facts = [{"step": row.step, "parameters": row.parameters, "bytes": row.bytes} for row in rows]
        emit_json({"steps": facts, "quality": quality})
        return
    first = rows[0]
    emit_table(
        ("step", ">layers", ">feed-forward", ">parameters", ">weights", ">of base"),
        [
            (row.step, row.shape.layers, count(row.shape.ffn), count(row.parameters), size(row.bytes),
             f"{row.parameters / first.parameters:.1%}")
            for row in rows
        ],
    )  # fmt: skip
    if quality:
        emit_table(("quality on held-out text", ">base", ">result"), [
            ("perplexity", f"{quality['perplexity_base']:.4g}", f"{quality['perplexity']:.4g}"),
            ("KL from the base, nats a token", "", f"{quality['kl']:.4g}"),
        ])  # fmt: skip
