"""Train a small model from scratch: tokenizer, corpus, pretraining and fine-tuning, resumed where it was ended."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgelm.checkpoint import Card, Checkpoint
from edgelm.cli.console import Data, Json, OfflineFlag, count, emit_json, emit_table, note, progress
from edgelm.cli.live import Live
from edgelm.cli.together import run_together, started
from edgelm.errors import BadOption
from edgelm.plugins import parse
from edgelm.recipe import steps_of

MINIATURE = ("tiny", "mini")  # shapes that are trained on the miniature suite where no data is named


def train(
    steps: Annotated[
        list[str] | None,
        typer.Argument(help="Recipe files, and steps that change or add to them, such as pretrain:shape=5M,tokens=2M."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write, or to go on in.")] = None,
    data: Data = None,
    offline: OfflineFlag = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what it will take; nothing is read.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Only draw loss.html and loss.png of the run in --out.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="What to train on.")] = "auto",
    dist: Annotated[Literal["ddp", "fsdp"], typer.Option(help="How processes of torchrun share the model.")] = "ddp",
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that train together; without a GPU best one a core.")
    ] = 1,
    workers: Annotated[int, typer.Option(help="Processes that prepare text; 0: one a core.")] = 0,
    dtype: Annotated[Literal["fp16", "fp32"], typer.Option(help="Of the weights written.")] = "fp16",
    until: Annotated[
        Literal["tokenizer", "corpus", "pretrain"] | None, typer.Option(help="Stop after this step for now.")
    ] = None,
    gpus: Annotated[int, typer.Option(help="With --plan: how many GPUs.")] = 1,
    json: Json = False,
) -> None:
    """Train a small model from scratch; without a recipe and --data the miniature suite's, in about two minutes.

    The data folder holds the training text, in c4/ and alpaca/. A run that was ended goes on when the same command is
    given again. On several GPUs: --processes 8, or on several machines torchrun … -m edgelm train.
    """
    from edgelm.train.steps import complete

    if plot:
        _draw(_named(out))
        return
    recipe = complete([parse("train", spec) for spec in steps_of(steps or [], "train")])
    if plan:
        from edgelm.train.costs.plan import plan as planned

        rows = planned(recipe, gpus).rows()
        emit_json(dict(rows)) if json else emit_table(("", ""), rows)
        return
    out = _named(out)
    if processes > 1 and not started():
        raise typer.Exit(run_together(processes, sys.argv[1:]))
    from edgelm.train.run import train as run  # loads torch

    with _data(data, recipe[2].shape) as folder, progress() as bars:
        live = Live(bars, note)
        result = run(recipe, folder, out, live.progress, note=note, told=live.told, device=device, how=dist,
                     workers=workers or os.cpu_count() or 1, stored=dtype, offline=offline or None,
                     until=until)  # fmt: skip
    if os.environ.get("RANK", "0") != "0":
        return
    if result is None:
        note(f"stopped after {until}, as asked; the same command without --until goes on")
    else:
        _show(result, out, json)


def _named(out: Path | None) -> Path:
    if out is None:
        raise BadOption("train needs a folder to write", mend="add -o FOLDER, or --plan to write nothing")
    return out


@contextlib.contextmanager
def _data(data: Path | None, shape: str) -> Iterator[Path | None]:
    """The data folder; for a miniature the suite, generated anew: the same bytes each time."""
    if data is not None or shape not in MINIATURE:
        yield data
        return
    from edgelm.data.miniature import write

    note("no --data: training on the miniature suite")
    with tempfile.TemporaryDirectory(prefix="edgelm-miniature-") as scratch:
        write(Path(scratch) / "suite")
        yield Path(scratch) / "suite"


def _show(result: Checkpoint, out: Path, json: bool) -> None:
    card = result.card
    for warning in (card.model_extra or {}).get("warnings", []):
        note(f"warning: {warning}")
    if json:
        emit_json(card.model_dump(mode="json"))
        return
    rows = [("checkpoint", str(out)), ("parameters", count(result.parameters)), ("recipe", " ".join(card.recipe))]
    rows += [(f"{step['step']}, held out", _held(step)) for step in card.steps if "held" in step]
    rows.append(("page", str(out / "loss.html")))
    emit_table(("", ""), rows)


def _held(step: dict[str, Any]) -> str:
    """The loss on each source's held-out text, in words."""
    average = step.get("kept") == "average"
    parts = [
        f"{name} {found['loss']:.3f} nats a token" + (f", {found['bpb']:.3f} bits a byte" if "bpb" in found else "")
        for name, found in step["held_average" if average else "held"].items()
    ]
    return "; ".join(parts) + (" (averaged weights)" if average else "")


def _draw(out: Path) -> None:
    """Draw the page and the picture of a run, finished or not."""
    from edgelm.train.finish import STAGES, draw_page
    from edgelm.train.loop.loop import METRICS
    from edgelm.train.page.picture import draw

    stages = {name: out / "work" / name / METRICS for name in STAGES if (out / "work" / name / METRICS).is_file()}
    if not stages:
        raise BadOption(f"{out} holds no run of training", mend="give the -o of `edgelm train`")
    finished = (out / "card.json").is_file() and (out / "config.json").is_file()
    card = Checkpoint(out).card if finished else Card()
    draw_page(out, card, stages, note)
    draw(stages, out / "loss.png", out.resolve().name)
    note(f"drawn: {out / 'loss.html'}, {out / 'loss.png'}")
