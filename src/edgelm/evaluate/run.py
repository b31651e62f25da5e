"""`edgelm evaluate`: ask a checkpoint every task's questions, keep each answer as it comes, and report the scores.

Answers go to an append-only log under a key that names all they depend on: weights and tokenizer, engine and its
settings, the prompt's text, the cap. A run that was killed therefore goes on where it stopped, and a changed model or
prompt asks again only what changed. Marks are made from the kept answers each time, so scoring is never stale.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgelm import __version__
from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.engines.base import Engine, Reply, Request, Session
from edgelm.errors import BadOption
from edgelm.evaluate.questions import Questions, Selection, questions
from edgelm.files import JsonLog, write_bytes
from edgelm.report import REPORT, Answer, Report, SubsetScore, TaskScore, answers_log, mean_percent
from edgelm.tasks.base import Task, protocol

Progress = Callable[[str, int, int], object]  # task label, answers kept, answers wanted


def evaluate(
    checkpoint: Checkpoint,
    tasks: Sequence[tuple[Task, DataFolder]],
    engine: Engine,
    out: Path,
    *,
    prompting: Prompting | None = None,
    selection: Selection | None = None,
    progress: Progress = lambda label, done, wanted: None,
) -> Report:
    """Scores of a checkpoint as a report folder; joins an earlier report of the same checkpoint in `out`.

    Args:
        checkpoint: what is asked.
        tasks: each with the data that its rows come from.
        engine: what runs the checkpoint.
        out: the report folder.
        prompting: how to ask; as the checkpoint's card or tokenizer says if not given.
        selection: which rows; all if not given.
        progress: told of every group of answers.

    Raises:
        BadOption: `out` holds a report of another checkpoint, or something that is no report.
        InputError: as tasks, data and engine raise; answers kept so far stay.
    """
    earlier = _earlier(out, checkpoint)
    parameters = checkpoint.parameters  # reads the headers: damaged files are named before anything is asked
    prompting = prompting or checkpoint.prompting
    selection = selection or Selection()
    settings = {"checkpoint": checkpoint.digest, "engine": engine.identity, "prompting": prompting}
    asked = [questions(task, data, selection, settings) for task, data in tasks]
    kept = _ask(checkpoint, engine, prompting, asked, out, progress)
    if earlier:  # a report never stands beside answers that are not its own, even if this run is killed here
        labels = {each.task.label for each in asked}
        earlier = earlier.model_copy(update={"tasks": {k: v for k, v in earlier.tasks.items() if k not in labels}})
        earlier.save(out)
    scores = {}
    for each in asked:
        answers = _marked(each, kept)
        scores[each.task.label] = _score(each, answers, prompting, engine)
        _write_answers(out, each.task.label, answers)
    report = Report(
        checkpoint=checkpoint.digest, name=checkpoint.path.resolve().name, parameters=parameters,
        bytes=checkpoint.bytes, dtypes=checkpoint.dtypes, tasks=scores, made_by=f"edgelm {__version__}",
    )  # fmt: skip
    report = earlier | report if earlier else report
    report.save(out)
    return report


def _earlier(out: Path, checkpoint: Checkpoint) -> Report | None:
    if not (out / REPORT).is_file():
        if out.exists() and not ((out / "log").is_dir() or (out.is_dir() and not any(out.iterdir()))):
            raise BadOption(f"{out} exists and is no report folder", mend="choose another -o")
        return None
    report = Report.load(out)
    if report.checkpoint != checkpoint.digest:
        raise BadOption(
            f"{out} holds the report of another checkpoint ({report.name})",
            why="weights, tokenizer or configuration differ", mend="choose another -o, or remove it first",
        )  # fmt: skip
    return report


def _ask(
    checkpoint: Checkpoint,
    engine: Engine,
    prompting: Prompting,
    asked: Sequence[Questions],
    out: Path,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """All answers by key: those kept from earlier runs, and the missing ones, asked now. No model for nothing."""
    logs = {each.task.label: JsonLog(out / "log" / f"{each.task.label}.jsonl") for each in asked}
    kept = {row["key"]: row for log in logs.values() for row in log.read()}
    if all(request.key in kept for each in asked for request in each.requests):
        return kept
    with engine.open(checkpoint, prompting) as session:
        for each in asked:
            label = each.task.label
            missing = [request for request in each.requests if request.key not in kept]
            done = len(each.rows) - len(missing)
            progress(label, done, len(each.rows))
            with logs[label] as log:
                for replies in answer(session, missing):
                    rows = [vars(reply) for reply in replies]
                    log.append(rows)
                    kept.update((row["key"], row) for row in rows)
                    done += len(rows)
                    progress(label, done, len(each.rows))
    return kept


def answer(session: Session, requests: Sequence[Request]) -> Iterator[list[Reply]]:
    """Free answers, and for requests with choices the JSON list of their log-likelihoods."""
    free = [request for request in requests if not request.choices]
    if free:
        yield from session.answer(free)
    for request in requests:
        if request.choices:
            context = session.text(request.prompt)
            logs = session.loglikelihood([(context, choice) for choice in request.choices])
            yield [Reply(request.key, json.dumps(logs), 0, 0, "stop")]


def _marked(asked: Questions, kept: dict[str, dict[str, Any]]) -> list[Answer]:
    rows = [(sample, kept[request.key]) for sample, request in asked.rows]
    marks = asked.task.score_all([(sample, reply["text"]) for sample, reply in rows])
    return [
        Answer(**reply, sample=sample.id, subset=sample.subset, mark=mark)
        for (sample, reply), mark in zip(rows, marks, strict=True)
    ]


def _score(asked: Questions, answers: Sequence[Answer], prompting: Prompting, engine: Engine) -> TaskScore:
    marks: dict[str | None, list[int]] = defaultdict(list)
    for each in answers:
        if each.mark is not None:
            marks[each.subset].append(each.mark)
    rows = [(sample, each.text) for (sample, _), each in zip(asked.rows, answers, strict=True)]
    return TaskScore(
        protocol=protocol(asked.task, asked.data), score=asked.task.aggregate(marks), samples=len(answers),
        of=asked.total, prompting=prompting, engine=engine.identity,
        subsets={name: SubsetScore(score=mean_percent(own), samples=len(own))
                 for name, own in marks.items() if name is not None},
        figures=asked.task.figures(rows), conditions=asked.task.conditions(),
    )  # fmt: skip


def _write_answers(out: Path, label: str, answers: Sequence[Answer]) -> None:
    """The finished answers in file order, all at once."""
    rows = (each.model_dump(mode="json", exclude_none=True) for each in answers)
    write_bytes(answers_log(out, label).path, b"".join(map(JsonLog.line, rows)))
