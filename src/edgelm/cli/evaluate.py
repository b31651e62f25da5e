"""Ask a checkpoint the benchmarks' questions, keep every answer, and score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import ProgressColumn
from rich.progress import Task as Bar
from rich.text import Text

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.cli.console import Data, Json, OfflineFlag, Out, emit_json, emit_table, note, percent, progress
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption
from edgelm.evaluate.benchmarks import TASKS, Asked, at_hand, questions_of, reported
from edgelm.evaluate.blind import blind
from edgelm.evaluate.effort import Effort, efforts
from edgelm.evaluate.order import in_order
from edgelm.evaluate.questions import Selection, Shard
from edgelm.plugins import parse
from edgelm.report import Report, read_answers
from edgelm.tasks.base import Sample, Task

Questions = Mapping[str, Sequence[Sample]]  # by task


def evaluate(
    out: Out,
    model: Annotated[Path | None, typer.Argument(help="Checkpoint folder; not needed to --rescore.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", "-t", help="Task spec, as often as wanted: see `edgelm ls tasks`.", show_default=", ".join(TASKS)
        ),
    ] = None,
    holdout: Annotated[
        Path | None, typer.Option(help="Folder of hold-out tasks; asked alone if no --task is given.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine spec, such as local:batch=32; hf is the plain one.")] = "local",
    data: Data = None,
    offline: OfflineFlag = False,
    limit: Annotated[
        int | None, typer.Option(help="Only the first rows of each task, in turn from its subsets.")
    ] = None,
    sample: Annotated[int | None, typer.Option(help="Only so many rows of each task, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of --sample.")] = 0,
    prompting: Annotated[
        Prompting | None, typer.Option(help="How to ask; by default as the checkpoint's card or tokenizer says.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            help="Processes on this host (4), each on a GPU of its own; or Ray actors (ray:4). On a CPU one is fastest."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="Ask one part of the rows, such as 2/8; other runs ask the other parts.")
    ] = None,
    rescore: Annotated[bool, typer.Option("--rescore", help="Score the answers of a report anew; no model.")] = False,
    json: Json = False,
) -> None:
    """Ask a checkpoint the benchmarks' questions, keep every answer, and score them.

    A killed run goes on where it stopped when the same command is given again.
    """
    folder, selection = DataFolder(data, offline=offline), Selection(limit, sample, seed)
    checkpoint = Checkpoint(model) if model else None
    if rescore:
        _refuse_beside_rescore(limit, sample, workers, shard)
    elif not checkpoint:
        raise BadOption("no checkpoint is given", mend="give its folder, or --rescore a finished report")
    if task or holdout:
        public: Asked = _named(task or [], folder)
    else:
        public = reported(Report.load(out), folder, note) if rescore else at_hand(folder, note, marked=not shard)
    tasks = public + _holdout_tasks(holdout)
    if rescore or not checkpoint:
        from edgelm.evaluate.rescore import rescore as score_anew

        report = score_anew(out, tasks, checkpoint)
    else:
        report = _ask(checkpoint, tasks, engine, out, selection, prompting, workers, shard)
    samples = questions_of(Report.load(out), public, folder) if report.tasks else {}
    asked = [each for each, _ in public]
    written = _write_views(out, samples, asked) if report.tasks else None
    if json:
        emit_json(report.model_dump(mode="json"))
    elif report.tasks:
        show_scores(report, out, samples, asked)
    for line in noted(report):
        note(line)
    if written:
        note(written)


def _named(specs: Sequence[str], data: DataFolder) -> Asked:
    for spec in specs:
        if "," in spec.partition(":")[0]:
            raise BadOption(f"--task {spec} names several tasks", mend="give --task once for each")
        if specs.count(spec) > 1:
            raise BadOption(f"--task {spec} is named twice", mend="name it once")
    return [(parse("tasks", spec), data) for spec in specs]


def _holdout_tasks(folder: Path | None) -> Asked:
    from edgelm.tasks.holdout.load import holdout_tasks

    return holdout_tasks(folder) if folder else []


def _refuse_beside_rescore(*options: object) -> None:
    if any(option is not None for option in options):
        raise BadOption("--rescore asks nothing, so there is nothing to choose or to share",
                        mend="leave --limit, --sample, --workers and --shard away")  # fmt: skip


def _ask(
    checkpoint: Checkpoint,
    tasks: Asked,
    engine: str,
    out: Path,
    selection: Selection,
    prompting: Prompting | None,
    workers: str | None,
    shard: str | None,
) -> Report:
    from edgelm.evaluate.run import evaluate as run
    from edgelm.evaluate.workers import Workers

    with progress(Rate()) as bar:
        report = run(
            checkpoint, tasks, parse("engines", engine), out, prompting=prompting, selection=selection,
            shard=Shard.parse(shard) if shard else None, workers=Workers.parse(workers) if workers else None,
            progress=bar, say=note,
        )  # fmt: skip
    if checkpoint.context:
        answers = {task.label: read_answers(out, task.label) for task, _ in tasks if task.label in report.tasks}
        if warning := beyond_context(efforts(answers, {}, checkpoint.context), checkpoint.context):
            note(warning)
    return report


def _write_views(out: Path, samples: Questions, asked: Sequence[Task]) -> str:
    """The tables and the page, and a line on where they are. Questions of hold-outs stay out of them."""
    from edgelm.evaluate.views import PAGE, write_views

    complaints = write_views(out, samples, asked)
    for line in complaints:
        note(line)
    return f"report: {out}" if complaints else f"page: {out / PAGE}"


class Rate(ProgressColumn):
    """Answers a second."""

    def render(self, bar: Bar) -> Text:
        """The rate of the last half minute."""
        return Text(f"{bar.speed:.2f}/s" if bar.speed else "")


def beyond_context(took: Sequence[Effort], context: int) -> str:
    """A line on the tasks whose answers or questions went beyond what the model was made for; empty if none did."""
    parts = {
        "answers that ran past it": [(each, each.beyond) for each in took],
        "questions that filled it and may have lost their beginning": [(each, each.filled) for each in took],
    }
    said = [f"{what}: " + ", ".join(f"{each.task} {number:,} of {each.answers:,}" for each, number in counts if number)
            for what, counts in parts.items() if any(number for _, number in counts)]  # fmt: skip
    return f"the model's context is {context:,} tokens; {'; '.join(said)}" if said else ""


def noted(report: Report) -> list[str]:
    """What must be known of some answers, a line each."""
    return [f"{label}: {number:,} of {report.tasks[label].samples:,} answers: {text}"
            for label in in_order(report.tasks) for text, number in report.tasks[label].notes.items()]  # fmt: skip


def show_scores(report: Report, out: Path, samples: Questions, asked: Sequence[Task]) -> None:
    """The table of scores, with their 95 % intervals, what blind answers earn, and how many have their form and end."""
    from edgelm.evaluate.form import in_form
    from edgelm.evaluate.intervals import interval

    answers = {label: read_answers(out, label) for label in report.tasks}
    formed, rows = in_form(answers, samples, asked), []
    for label in in_order(report.tasks):
        score, own, against = report.tasks[label], answers[label], blind(label, report.tasks[label])
        within, ended = interval(score, own), sum(each.finish == "stop" for each in own)
        rows.append((
            label, percent(score.score), f"{within.low:.1f} – {within.high:.1f}" if within else "",
            f"{against.chance:.1f}, {against.constant:.1f}" if against else "",
            f"{float(formed[label]):.1f}" if label in formed else "", f"{100 * ended / len(own):.1f}" if own else "",
            score.samples, score.of, score.prompting, score.protocol,
        ))  # fmt: skip
    emit_table(("task", ">score %", ">95 %", ">blind %", ">in form %", ">ended %", ">answered", ">of",
                "asked as", "protocol"), rows)  # fmt: skip
