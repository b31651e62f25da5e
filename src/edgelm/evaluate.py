"""`edgelm evaluate`: ask a checkpoint every task's questions, keep each answer as it comes, and report the scores.

Answers go to an append-only log under a key that names all they depend on: weights and tokenizer, engine and its
settings, the prompt's text, the cap. A run that was killed therefore goes on where it stopped, and a changed model or
prompt asks again only what changed. Marks are made from the kept answers each time, so scoring is never stale.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm import __version__
from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.engines.base import Engine, Request
from edgelm.errors import BadOption
from edgelm.files import JsonLog, canonical_json, sha256_bytes, write_bytes
from edgelm.report import REPORT, Answer, Report, TaskScore, answers_log
from edgelm.tasks.base import Sample, Task, protocol

Progress = Callable[[str, int, int], object]  # task label, answers kept, answers wanted


@dataclass(frozen=True)
class Selection:
    """Which rows to ask: the first `limit`, or `sample` drawn by `seed`; all of them by default."""

    limit: int | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("--limit", self.limit), ("--sample", self.sample)):
            if value is not None and value < 1:
                raise BadOption(f"{name} {value} asks nothing", mend="give 1 or more")
        if self.limit is not None and self.sample is not None:
            raise BadOption("--limit and --sample are two ways to choose", mend="give one of them")

    def of(self, samples: Sequence[Sample]) -> list[Sample]:
        """The chosen rows, in file order."""
        if self.sample is not None:
            drawn = random.Random(self.seed).sample(range(len(samples)), min(self.sample, len(samples)))
            return [samples[index] for index in sorted(drawn)]
        return list(samples[: self.limit])


@dataclass(frozen=True)
class _Questions:
    """A task made ready: its chosen rows, each with the request that asks it, and how many rows there are in all."""

    task: Task
    rows: list[tuple[Sample, Request]]
    total: int


def evaluate(
    checkpoint: Checkpoint,
    tasks: Sequence[Task],
    engine: Engine,
    data: DataFolder,
    out: Path,
    *,
    prompting: Prompting | None = None,
    selection: Selection | None = None,
    progress: Progress = lambda label, done, wanted: None,
) -> Report:
    """Scores of a checkpoint as a report folder; joins an earlier report of the same checkpoint in `out`.

    Raises:
        BadOption: `out` holds a report of another checkpoint, or something that is no report.
        InputError: as tasks, data and engine raise; answers kept so far stay.
    """
    earlier = _earlier(out, checkpoint)
    parameters = checkpoint.parameters  # reads the headers: damaged files are named before anything is asked
    prompting = prompting or checkpoint.prompting
    selection = selection or Selection()
    settings = {"checkpoint": checkpoint.digest, "engine": engine.identity, "prompting": prompting}
    questions = [_questions(task, data, selection, settings) for task in tasks]
    kept = _ask(checkpoint, engine, prompting, questions, out, progress)
    if earlier:  # a report never stands beside answers that are not its own, even if this run is killed here
        labels = {asked.task.label for asked in questions}
        earlier = earlier.model_copy(update={"tasks": {k: v for k, v in earlier.tasks.items() if k not in labels}})
        earlier.save(out)
    scores = {}
    for asked in questions:
        answers = [_marked(asked.task, sample, kept[request.key]) for sample, request in asked.rows]
        scores[asked.task.label] = TaskScore(
            protocol=protocol(asked.task, data), score=_score(asked.task, answers), samples=len(answers),
            of=asked.total, prompting=prompting, engine=engine.identity,
        )  # fmt: skip
        _write_answers(out, asked.task.label, answers)
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


def _questions(task: Task, data: DataFolder, selection: Selection, settings: Mapping[str, Any]) -> _Questions:
    samples = task.samples(data)
    rows = []
    for sample in selection.of(samples):
        prompt = sample.prompt
        turns = [[turn.role, turn.text] for turn in prompt.turns]
        asked = {"turns": turns, "base_start": prompt.base_start, "max_tokens": task.max_tokens, "stop": task.stop}
        key = sha256_bytes(canonical_json({**settings, **asked}))
        rows.append((sample, Request(key, sample.index, sample.prompt, task.max_tokens, task.stop)))
    return _Questions(task, rows, len(samples))


def _ask(
    checkpoint: Checkpoint,
    engine: Engine,
    prompting: Prompting,
    questions: Sequence[_Questions],
    out: Path,
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """All answers by key: those kept from earlier runs, and the missing ones, asked now. No model for nothing."""
    logs = {asked.task.label: JsonLog(out / "log" / f"{asked.task.label}.jsonl") for asked in questions}
    kept = {row["key"]: row for log in logs.values() for row in log.read()}
    if all(request.key in kept for asked in questions for _, request in asked.rows):
        return kept
    with engine.open(checkpoint, prompting) as session:
        for asked in questions:
            label = asked.task.label
            missing = [request for _, request in asked.rows if request.key not in kept]
            done = len(asked.rows) - len(missing)
            progress(label, done, len(asked.rows))
            with logs[label] as log:
                for replies in session.answer(missing):
                    rows = [vars(reply) for reply in replies]
                    log.append(rows)
                    kept.update((row["key"], row) for row in rows)
                    done += len(rows)
                    progress(label, done, len(asked.rows))
    return kept


def _marked(task: Task, sample: Sample, reply: Mapping[str, Any]) -> Answer:
    mark = task.score(sample, reply["text"])
    return Answer(**reply, sample=sample.id, subset=sample.subset, mark=mark)


def _score(task: Task, answers: Sequence[Answer]) -> Any:
    marks: dict[str | None, list[int]] = defaultdict(list)
    for answer in answers:
        marks[answer.subset].append(answer.mark)
    return task.aggregate(marks)


def _write_answers(out: Path, label: str, answers: Sequence[Answer]) -> None:
    """The finished answers in file order, all at once."""
    rows = (answer.model_dump(mode="json", exclude_none=True) for answer in answers)
    write_bytes(answers_log(out, label).path, b"".join(map(JsonLog.line, rows)))
