"""Report checks: of which checkpoint, by which protocol, how complete, and whether the marks give the scores.

What is missing is for the team to add (W); what was supplied and is damaged or does not fit is for a reviewer (R).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from itertools import chain
from typing import Any

from edgelm import plugins
from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model, Supplied
from edgelm.data.pinned_rows import pinned_rows
from edgelm.errors import InputError
from edgelm.report import FULL_MARK, REPORT, TaskScore, mean_percent
from edgelm.rules.base import HOLDOUT


def belongs(model: Model) -> Findings:
    """RPT-01: the report is of this checkpoint. RPT-02, when there is none at all."""
    if not model.has_report:
        mend = "edgelm evaluate and edgelm measure, then edgelm pack with both reports"
        yield finding("RPT-02", model.at("report"), "there is no report", mend=mend)
    elif model.report.checkpoint != model.digest:
        what = f"made from {model.report.checkpoint[:12]}…, the checkpoint is {model.digest[:12]}…"
        yield finding("RPT-01", model.at(f"report/{REPORT}"), what)


def parts(model: Model) -> Findings:
    """RPT-02: what the rules ask for and the report has nothing of."""
    if not model.has_report:
        return
    rules, report, where = model.rules, model.report, model.at(f"report/{REPORT}")
    asked = [task for task in rules.tasks if task not in (HOLDOUT, *rules.holdouts)]
    if missing := [task for task in asked if task not in report.tasks]:
        what = "no task was evaluated" if missing == asked else f"not evaluated: {', '.join(missing)}"
        yield finding("RPT-02", where, what, mend="edgelm evaluate, then edgelm pack with that report, too")
    has_memory = any(meter in report.memory for meter in rules.meters)
    if not report.speed or not has_memory:
        lacking = ["speed"] * (not report.speed) + ["memory"] * (not has_memory)
        by = f" by {rules.memory_meter}" if report.memory and not has_memory else ""
        counts = "throughput" if has_memory else "score"  # scores count where memory is known
        what = f"no {' or '.join(lacking)} was measured{by}, so that no {counts} counts"
        yield finding("RPT-02", where, what, mend="edgelm measure, then edgelm pack with that report, too")


def complete(model: Model) -> Findings:
    """RPT-02: questions without an answer, answers that were not supplied, and a data set of another size than ours.

    RPT-04: answers that are damaged.
    """
    for task, score in model.report.tasks.items() if model.has_report else ():
        if not score.complete:
            what = f"{task}: {score.samples:,} of {score.of:,} were asked"
            yield finding("RPT-02", model.at(f"report/{REPORT}"), what)
        if rows := _other_rows(model, task, score):
            what = f"{task}: the data is said to have {score.of:,} rows, it has {rows:,}"
            mend = "evaluate on the pinned data"
            yield finding("RPT-02", model.at(f"report/{REPORT}"), what, severity="R", mend=mend)
        try:
            supplied = len(model.answers(task))
        except InputError as error:
            yield finding("RPT-04", _log(model, task), model.package.cause(error))
            continue
        if supplied != score.samples:
            yield finding("RPT-02", _log(model, task), f"{supplied:,} of {score.samples:,} answers are supplied")


def _other_rows(model: Model, task: str, score: TaskScore) -> int:
    """How many rows the pinned data of a task has, where that is known and the report says otherwise; else 0."""
    rows = pinned_rows(task, f"{model.rules.suite}/{task}") if model.counts(task) else None
    return rows if rows and rows != score.of else 0


def protocols(model: Model) -> Findings:
    """RPT-03: the rules' suite; and for the official rows, the task's version here, the only one that can be scored.

    A hold-out that is secret, or of which the rules pin no version, is none of a submission's tasks.
    """
    for task, score in model.report.tasks.items() if model.has_report else ():
        suite, _, version = score.protocol.partition("/")
        known = _task(task)
        official = model.rules.suite.startswith("opencompass-")
        if suite == HOLDOUT or (task in model.rules.holdouts and model.rules.protocol(task) is None):
            what = f"{task}: {score.protocol}, which only the organiser may ask"
        elif not model.counts(task):
            continue
        elif suite != model.rules.suite and score.protocol != model.rules.protocol(task):
            what = f"{task}: {score.protocol}, the rules ask for {model.rules.suite}"
        elif known is None:
            what = f"{task}: {score.protocol} is not known here"
        elif official and suite == model.rules.suite and version != known.version:
            what = f"{task}: {score.protocol}, this version has {suite}/{known.version}"
        else:
            continue
        yield finding("RPT-03", model.at(f"report/{REPORT}"), what)


def additional(model: Model) -> Findings:
    """RPT-05: scores that do not count, such as a fixed scorer's, of a part of a task, or by likelihoods."""
    for task, score in model.report.tasks.items() if model.has_report else ():
        if not model.counts(task) and not score.protocol.startswith(f"{HOLDOUT}/"):
            yield finding("RPT-05", model.at(f"report/{REPORT}"), f"{task}: {score.protocol} is an additional score")


def marks(model: Model) -> Findings:
    """RPT-04: one answer a sample, and the scores that count made again from the marks of the supplied answers."""
    for task, score in model.report.tasks.items() if model.has_report else ():
        if not model.counts(task):
            continue
        try:
            answers = model.answers(task)
        except InputError:
            continue  # which `complete` says
        if repeated := [sample for sample, times in Counter(answer.sample for answer in answers).items() if times > 1]:
            what = f"{len(repeated):,} samples are answered more than once: {repeated[0][:80]}"
            yield finding("RPT-04", _log(model, task), what)
        wrong = [answer.sample for answer in answers if answer.mark is None or not 0 <= answer.mark <= FULL_MARK]
        if wrong:
            yield finding(
                "RPT-04", _log(model, task), f"{len(wrong):,} marks absent or outside 0 to 1: {wrong[0][:80]}"
            )
        elif answers and (found := _score(task, answers)) != score.score:
            what = f"the marks give {float(found):.4f}, report.json has {float(score.score):.4f}"
            yield finding("RPT-04", _log(model, task), what)


def _score(task: str, answers: list[Supplied]) -> Fraction:
    """The task's score from the marks; the plain mean for a task that is not known here."""
    by_subset: dict[str | None, list[int]] = defaultdict(list)
    for answer in answers:
        by_subset[answer.subset].append(answer.mark or 0)
    known = _task(task)
    return known.aggregate(by_subset) if known else mean_percent(chain.from_iterable(by_subset.values()))


def _task(name: str) -> Any:
    """The plug-in of that name, through the registry: this floor lies beside the tasks' own. None if unknown."""
    try:
        return plugins.parse("tasks", name) if name in plugins.available("tasks") else None
    except InputError:
        return None


def _log(model: Model, task: str) -> str:
    return model.at(f"report/answers/{task}.jsonl")


MODEL_CHECKS = (
    Check("PKG-04", belongs),
    Check("RPT-02", parts),
    Check("RPT-02", complete),
    Check("RPT-03", protocols),
    Check("RPT-04", marks),
    Check("RPT-05", additional),
)
