"""Ask a checkpoint the benchmarks' questions, keep every answer, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Data, Json, OfflineFlag, Out, emit_json, emit_table, note, percent, progress
from edgelm.data.folder import DataFolder
from edgelm.evaluate.questions import Selection
from edgelm.evaluate.run import evaluate as run
from edgelm.plugins import parse
from edgelm.report import Report, read_answers


def evaluate(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    out: Out,
    task: Annotated[
        list[str], typer.Option("--task", "-t", help="Task spec, as often as wanted: see `edgelm ls tasks`.")
    ] = ["gsm8k", "commonsenseqa", "chid"],  # noqa: B006 (typer copies it)
    engine: Annotated[str, typer.Option(help="Engine spec, such as hf:batch=16.")] = "hf",
    data: Data = None,
    offline: OfflineFlag = False,
    limit: Annotated[int | None, typer.Option(help="Only the first rows of each task.")] = None,
    sample: Annotated[int | None, typer.Option(help="Only so many rows of each task, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of --sample.")] = 0,
    prompting: Annotated[
        Prompting | None, typer.Option(help="How to ask; by default as the checkpoint's card or tokenizer says.")
    ] = None,
    json: Json = False,
) -> None:
    """Ask a checkpoint the benchmarks' questions, keep every answer, and score them.

    A killed run goes on where it stopped when the same command is given again.
    """
    folder = DataFolder(data, offline=offline)
    tasks = [(parse("tasks", spec), folder) for spec in task]
    selection = Selection(limit, sample, seed)
    checkpoint = Checkpoint(model)
    with progress() as bar:
        report = run(
            checkpoint, tasks, parse("engines", engine), out,
            prompting=prompting, selection=selection, progress=bar,
        )  # fmt: skip
    context = checkpoint.config.get("max_position_embeddings")
    if isinstance(context, int):
        for asked, _ in tasks:
            warn_of_context(out, asked.label, context)
    if json:
        emit_json(report.model_dump(mode="json"))
    else:
        show_scores(report)


def warn_of_context(out: Path, label: str, context: int) -> None:
    """Say how many questions or answers went beyond what the model was made for."""
    answers = read_answers(out, label)
    cut = sum(answer.prompt_tokens >= context for answer in answers)
    beyond = sum(answer.prompt_tokens + answer.tokens > context for answer in answers)
    if beyond:
        note(f"{label}: of {len(answers)} answers {beyond} ran past the model's context of {context} tokens, and {cut} "
             "questions filled it and may have lost their beginning")  # fmt: skip


def show_scores(report: Report) -> None:
    """The table of scores."""
    rows = [
        (label, percent(score.score), score.samples, score.of, score.prompting, score.protocol)
        for label, score in report.tasks.items()
    ]
    emit_table(("task", ">score %", ">answered", ">of", "asked as", "protocol"), rows)
