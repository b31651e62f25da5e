"""`edgelm evaluate`: ask a checkpoint every task's questions, keep each answer as it comes, and report the scores.

Answers go to an append-only log under a key that names all they depend on: weights and tokenizer, engine and its
settings, the prompt's text, the cap. A run that was killed therefore goes on where it stopped, and a changed model or
prompt asks again only what changed. Marks are made from the kept answers each time, so scoring is never stale.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgelm import __version__
from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.devices.host import machine
from edgelm.engines.base import Engine
from edgelm.errors import BadFile, BadOption, EdgelmError
from edgelm.evaluate.answers import Answers
from edgelm.evaluate.keep import LOGS, Kept
from edgelm.evaluate.questions import Questions, Selection, Shard, questions
from edgelm.evaluate.scoring import marked, score, write_answers
from edgelm.evaluate.times import Times
from edgelm.evaluate.workers import Workers
from edgelm.report import REPORT, Report
from edgelm.tasks.base import Task

Progress = Callable[[str, int, int], object]  # task label, answers kept, answers wanted
Say = Callable[[str], object]  # a line about the work, for a person


def evaluate(
    checkpoint: Checkpoint,
    tasks: Sequence[tuple[Task, DataFolder]],
    engine: Engine,
    out: Path,
    *,
    prompting: Prompting | None = None,
    selection: Selection | None = None,
    shard: Shard | None = None,
    workers: Workers | None = None,
    progress: Progress = lambda label, done, wanted: None,
    say: Say = lambda text: None,
) -> Report:
    """Scores of a checkpoint as a report folder; joins an earlier report of the same checkpoint in `out`.

    With a shard, the report has scores, and is written, only if the answers of all other shards are there.

    Args:
        checkpoint: what is asked.
        tasks: each with the data that its rows come from.
        engine: what runs the checkpoint.
        out: the report folder.
        prompting: how to ask; as the checkpoint's card or tokenizer says if not given.
        selection: which rows; all if not given.
        shard: which part of these rows to ask in this run; all if not given.
        workers: who asks; this process if not given.
        progress: told of every group of answers.
        say: told what a person should know.

    Raises:
        BadOption: `out` holds a report of another checkpoint, a complete score that a partial one would replace, or
            something that is no report; `out` lies in the checkpoint's folder; or another run is writing to it.
        InputError: as tasks, data and engine raise; answers kept so far stay.
    """
    _earlier(out, checkpoint)
    blank = Report(  # reads the headers: damaged files are named before anything is asked
        checkpoint=checkpoint.digest, name=checkpoint.path.resolve().name, parameters=checkpoint.parameters,
        bytes=checkpoint.bytes, dtypes=checkpoint.dtypes, context=checkpoint.context, made_by=f"edgelm {__version__}",
    )  # fmt: skip
    prompting = prompting or checkpoint.prompting
    settings = {"checkpoint": checkpoint.digest, "engine": engine.identity, "prompting": prompting}
    asked = [questions(task, data, selection or Selection(), settings) for task, data in tasks]
    _require_ready(asked, shard)
    with Kept(out, shard, say) as kept:
        earlier = _earlier(out, checkpoint)
        asked = [_no_less(each, kept.rows, earlier, settings, say) for each in asked]
        source = Answers(checkpoint, engine, prompting, shard, workers, say)
        _keep(source, asked, kept, out, progress, say)
        if shard:
            kept.read()  # what the other shards have answered meanwhile
        if wanting := _wanting(asked, kept.rows):
            if not shard:
                raise EdgelmError(f"the engine left questions without an answer: {wanting}")
            say(f"answers of other shards are still missing: {wanting}. Run those into the same folder, or copy their "
                f"logs into its {LOGS}/ and give this command again")  # fmt: skip
            return blank
        return _report(out, blank, earlier, asked, kept.rows, prompting, engine.identity)


def _earlier(out: Path, checkpoint: Checkpoint) -> Report | None:
    if out.resolve().is_relative_to(checkpoint.path.resolve()):
        raise BadOption(f"{out} lies in the checkpoint's own folder", mend="choose an -o outside of it")
    if not (out / REPORT).is_file():
        if out.exists() and not ((out / LOGS).is_dir() or (out.is_dir() and not any(out.iterdir()))):
            raise BadOption(f"{out} exists and is no report folder", mend="choose another -o")
        return None
    try:
        report = Report.load(out)
    except BadFile as error:
        if (out / LOGS).is_dir():
            error.mend = f"remove {REPORT} and give the command again; the answers in {LOGS}/ are kept"
        raise
    if report.checkpoint != checkpoint.digest:
        raise BadOption(
            f"{out} holds the report of another checkpoint ({report.name})",
            why="weights, tokenizer or configuration differ", mend="choose another -o, or remove it first",
        )  # fmt: skip
    return report


def _require_ready(asked: Sequence[Questions], shard: Shard | None) -> None:
    """Refuse, before anything is asked, what could not be reported: two tasks of one name, or no sandbox to mark in."""
    for label, number in Counter(each.task.label for each in asked).items():
        if number > 1:
            raise BadOption(f"{number} tasks are called '{label}'", mend="ask them in runs of their own")
    if not shard:  # another machine may mark
        for each in asked:
            each.task.conditions()


def _no_less(
    asked: Questions, kept: Mapping[str, object], earlier: Report | None, settings: Mapping[str, Any], say: Say
) -> Questions:
    """What is asked of a task; all of it if a few rows are wanted but every answer is there already.

    Raises:
        BadOption: a complete score would be replaced by that of a few rows asked otherwise.
    """
    label = asked.task.label
    if len(asked.rows) == asked.total:
        return asked
    if all(request.key in kept for request in asked.requests):
        whole = questions(asked.task, asked.data, Selection(), settings)
        if all(request.key in kept for request in whole.requests):
            say(f"{label}: all {asked.total} answers are kept, so the score is that of all rows")
            return whole
    if earlier and label in earlier.tasks and earlier.tasks[label].complete:
        raise BadOption(f"a complete score of {label} would be replaced by one of {len(asked.rows)} rows",
                        why="the kept answers come from another engine, prompting or data",
                        mend="choose another -o, or ask all rows")  # fmt: skip
    return asked


def _keep(source: Answers, asked: Sequence[Questions], kept: Kept, out: Path, progress: Progress, say: Say) -> None:
    """Ask what is missing, and keep every answer as it comes. No model for nothing."""
    missing = [source.share(each) for each in _missing(asked, kept.rows)]
    label_of = {request.key: each.task.label for each in missing for request in each.requests}
    done = {each.task.label: sum(request.key in kept.rows for request in each.requests) for each in asked}
    wanted = {each.task.label: done[each.task.label] + len(each.rows) for each in missing}
    times = Times()
    try:
        with contextlib.closing(source.to(missing)) as groups:
            for replies, cpu_seconds in groups:
                if not replies:
                    times.loaded()
                    continue
                kept.add(replies)
                label = label_of[replies[0].key]
                times.add(label, replies, cpu_seconds)
                done[label] += len(replies)
                progress(label, done[label], wanted[label])
                if done[label] == wanted[label]:
                    kept.sync()
    except (KeyboardInterrupt, SystemExit):
        say(
            f"{sum(done.values()):,} of {sum(wanted.values()):,} answers are kept; give the same command again to go on"
        )
        raise
    finally:
        if summary := times.summary():
            times.write(out, source.engine.identity, source.by, machine())
            say(summary)


def _missing(asked: Sequence[Questions], kept: Mapping[str, object]) -> list[Questions]:
    """The questions without an answer, each key once: two tasks may ask the same, or two rows."""
    seen = set(kept)
    missing = []
    for each in asked:
        rows = []
        for sample, request in each.rows:
            if request.key not in seen:
                seen.add(request.key)
                rows.append((sample, request))
        missing.append(replace(each, rows=rows))
    return missing


def _wanting(asked: Sequence[Questions], kept: Mapping[str, object]) -> str:
    """How many answers are not there, by task."""
    counts = ((each, sum(request.key not in kept for request in each.requests)) for each in asked)
    return ", ".join(f"{each.task.label} {missing} of {len(each.rows)}" for each, missing in counts if missing)


def _report(
    out: Path,
    blank: Report,
    earlier: Report | None,
    asked: Sequence[Questions],
    kept: Mapping[str, Mapping[str, Any]],
    prompting: Prompting,
    engine: Mapping[str, Any],
) -> Report:
    """Mark the answers, and write them and the scores."""
    if earlier:  # a report never stands beside answers that are not its own, even if this run is killed here
        labels = {each.task.label for each in asked}
        earlier = earlier.model_copy(update={"tasks": {k: v for k, v in earlier.tasks.items() if k not in labels}})
        earlier.save(out)
    scores = {}
    for each in asked:
        answers = marked(each, kept)
        scores[each.task.label] = score(each, answers, prompting, engine)
        write_answers(out, each.task.label, answers)
    report = blank.model_copy(update={"tasks": scores})
    report = earlier | report if earlier else report
    report.save(out)
    return report
