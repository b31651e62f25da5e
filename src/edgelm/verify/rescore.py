"""`edgelm rescore`: every score of a submission made anew from its own answers, by our scorers over our data.

No model runs, and the submission is only read. A submission that claims what its answers do not give is found for the
price of marking them; whether its models give these answers is another question (`edgelm verify`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edgelm import __version__
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption, InputError, MissingInput
from edgelm.evaluate.benchmarks import by_label
from edgelm.evaluate.order import in_order
from edgelm.evaluate.questions import Selection, questions
from edgelm.evaluate.scoring import marked, score, write_answers
from edgelm.files import write_json
from edgelm.folders import new_folder
from edgelm.report import Answer, Report, TaskScore
from edgelm.results.base import Figure, shown
from edgelm.rules import Rules
from edgelm.submission import Submission
from edgelm.tasks.base import Task, protocol
from edgelm.verify.claims import claimed_scores
from edgelm.verify.rescored import Rescored, Rescoring, Status
from edgelm.verify.stored import said, sort_out

RESCORED = "rescore.json"
NO_SLOT = "the rules {} have no such slot: give those that it was packed under, --rules NAME"
NO_SCORES = "its report has no scores: edgelm evaluate, then edgelm pack with that report"


def rescore(submission: Submission, rules: Rules, data: DataFolder, out: Path) -> Rescoring:
    """Every score of a submission anew; `out` becomes a folder of a report a slot, and `rescore.json`.

    Args:
        submission: what is read, a folder or an archive.
        rules: which slots there are, and which tasks count.
        data: where our rows come from.
        out: a new folder.

    Raises:
        MissingInput, BadFile: there is no submission, it brings no model, or its manifest cannot be read.
        BadOption: `out` exists already, or lies in the submission.
    """
    require_outside(out, submission)
    with new_folder(out) as folder:
        found = recompute(submission, rules, data)
        if not found.rows:
            raise MissingInput("the submission brings no model", why="its manifest declares all of them omitted",
                               mend="see edgelm check")  # fmt: skip
        write(found, folder)
    return found


def write(found: Rescoring, folder: Path) -> None:
    """Put a report of each slot's model, and what was found of the claims, into a folder."""
    for slot, report in found.reports.items():
        report.save(folder / slot)
        for row in found.rows:
            if row.slot == slot and row.score:
                write_answers(folder / slot, row.task, row.answers)
    write_json(folder / RESCORED, found.as_json())


def require_outside(out: Path, submission: Submission) -> None:
    """Refuse to write into what is only to be read.

    Raises:
        BadOption: `out` lies in the submission's folder.
    """
    if out.resolve().is_relative_to(submission.origin.resolve()):
        raise BadOption(f"{out} lies in the submission", why="a submission is never changed",
                        mend="choose an -o outside of it")  # fmt: skip


def recompute(submission: Submission, rules: Rules, data: DataFolder) -> Rescoring:
    """The same, without writing anything."""
    figures = claimed_scores(submission, rules)
    known = {slot for track in rules.tracks for slot in track.slots}
    rows: list[Rescored] = []
    reports: dict[str, Report] = {}
    for slot in submission.slots:
        try:
            report = submission.report(slot)
        except InputError as error:
            rows.append(_unusable(shown(slot), "", error, submission))
            continue
        if slot not in known:  # a name from outside, which no folder is called by
            rows.append(Rescored(shown(slot), "", "unusable", notes=(NO_SLOT.format(rules.name),)))
            continue
        own = [_task(submission, slot, task, report, rules, data, figures.get(slot, {}).get(task))
               for task in in_order(report.tasks)]  # fmt: skip
        rows += own or [Rescored(slot, "", "unusable", notes=(NO_SCORES,))]
        reports[slot] = Report(
            checkpoint=report.checkpoint, name=shown(report.name), parameters=report.parameters, bytes=report.bytes,
            dtypes=report.dtypes, context=report.context, made_by=f"edgelm {__version__}",
            tasks={row.task: row.score for row in own if row.score},
        )  # fmt: skip
    return Rescoring(submission.digest, tuple(rows), reports)


def _task(submission: Submission, slot: str, name: str, report: Report, rules: Rules, data: DataFolder,
          figure: Figure | None) -> Rescored:  # fmt: skip
    """One task anew, or why it cannot be."""
    task, claimed = by_label().get(name), report.tasks[name]
    if task is None:
        status: Status = "unusable" if name in (*rules.tasks, *rules.holdouts) else "left"
        return Rescored(slot, shown(name), status, claimed, figure, notes=("its questions are not known here",))
    try:
        return _marked(task, submission.answers(slot, name), slot, report, claimed, data, figure)
    except InputError as error:
        return _unusable(slot, name, error, submission, claimed, figure)
    except (ValueError, ArithmeticError, RecursionError) as error:  # a scorer met what no model says
        what = InputError(f"the answers cannot be marked: {type(error).__name__}")
        return _unusable(slot, name, what, submission, claimed, figure)


def _marked(task: Task, answers: Iterable[Answer], slot: str, report: Report, claimed: TaskScore, data: DataFolder,
            figure: Figure | None) -> Rescored:  # fmt: skip
    """A task's score from those of its answers that can be marked, beside the claim.

    Raises:
        InputError: our data or sandbox are not here, or none of the answers can be marked.
    """
    task.conditions()  # a sandbox that cannot be had is said before anything is read
    settings = {"checkpoint": report.checkpoint, "engine": claimed.engine, "prompting": claimed.prompting}
    asked = questions(task, data, Selection(), settings)
    stored = sort_out(answers, asked)
    if not stored.usable:
        raise InputError(f"none of the answers is to a question of {task.label} as it is asked here",
                         why=f"claimed by {shown(claimed.protocol)}, here it is {protocol(task, data)}")  # fmt: skip
    usable, kept = stored.of(asked)
    made = marked(usable, kept)
    found = score(usable, made, claimed.prompting, claimed.engine)
    differing = tuple(each.sample for each in made if each.mark != stored.usable[each.sample].mark)
    notes = (*said(stored), *_disagreements(found, claimed, figure))
    status: Status = "different" if notes or differing else "equal"
    return Rescored(slot, task.label, status, claimed, figure, found, tuple(made), differing, notes)


def _disagreements(found: TaskScore, claimed: TaskScore, figure: Figure | None) -> Iterator[str]:
    """What differs between a claim and what was found, beside the marks."""
    if found.samples != claimed.samples:
        yield f"{found.samples:,} answers can be marked, {claimed.samples:,} are claimed"
    if found.of != claimed.of:
        yield f"the task has {found.of:,} rows here, {claimed.of:,} are claimed"
    if found.protocol != claimed.protocol:
        yield f"claimed by {shown(claimed.protocol)}"
    if found.score != claimed.score:
        yield "report.json claims another score"
    if figure and figure.canonical is not None and abs(figure.canonical - found.score) > figure.half:
        yield "the results file claims another score"


def _unusable(slot: str, task: str, error: InputError, submission: Submission, claimed: TaskScore | None = None,
              figure: Figure | None = None) -> Rescored:  # fmt: skip
    text = ": ".join(part for part in (error.what, error.why) if part).replace(f"{submission.origin}/", "")
    return Rescored(slot, task, "unusable", claimed, figure, notes=(text,))
