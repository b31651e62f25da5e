"""What a queue of evaluations came to: the reports of the models, and the standings that follow from them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from edgelm.report import Report
from edgelm.score.entries import Entry, SlotModel
from edgelm.score.standings import Standings, standings
from edgelm.server.clock import moment
from edgelm.server.entries import report_of, result_of
from edgelm.server.state import Server
from edgelm.server.tables import Job, Submission

Evaluated = Mapping[str, Mapping[str, Report]]  # by submission and slot


def evaluated(made: Server) -> Evaluated:
    """The reports of all evaluations; each of them counts."""
    evaluations = select(Job.submission_id, Job.result).where(Job.kind == "evaluate", Job.result.is_not(None))
    with made.database.read() as session:
        results = {submission: result_of(made.storage, blob) for submission, blob in session.execute(evaluations)}
    assert all(result.eligible for result in results.values())
    return {submission: {slot: report_of(made.storage, model.report) for slot, model in result.models.items()}
            for submission, result in results.items()}  # fmt: skip


def ranked(made: Server, scores: Evaluated, measured: Evaluated | None = None) -> Standings:
    """The standings, by the pure functions of `score`.

    Args:
        made: the server that has the submissions.
        scores: of the models.
        measured: the reports that say how fast they are, if not these.
    """
    entries = []
    with made.database.read() as session:
        submissions = {each.id: (each, each.team.name) for each in session.scalars(select(Submission))}
    for name, reports in scores.items():
        models = {}
        for slot, report in reports.items():
            speed = (measured or scores)[name][slot].speed
            assert speed is not None
            models[slot] = SlotModel(
                name=report.name, scores={task: each.score for task, each in report.tasks.items()},
                protocols={task: each.protocol for task, each in report.tasks.items()}, peak_memory=1,
                repeats_ns=tuple(speed.repeats_ns),
            )  # fmt: skip
        found, team = submissions[name]
        entries.append(Entry(submission=name, team=team, title=found.title, received=moment(found.received),
                             models=models))  # fmt: skip
    return standings(made.rules, made.rules.track("compression"), entries)
