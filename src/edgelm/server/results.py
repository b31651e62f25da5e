"""What one submission reached, as a viewer may see it: scores, standard errors, subsets, speed, its place."""

from __future__ import annotations

import math
from fractions import Fraction

from sqlalchemy.orm import Session

from edgelm.report import Exact, TaskScore
from edgelm.rules.base import Rules
from edgelm.score.entries import Beside, Entry, Score, SlotModel, Whole, ineligibility, without_holdouts
from edgelm.score.exact import decimals
from edgelm.score.standings import Standings, TaskResult
from edgelm.score.states import STATES, State
from edgelm.server import boards, claims, entries, sight, sources
from edgelm.server.access import Viewer
from edgelm.server.entries import ModelResult
from edgelm.server.fields import Body
from edgelm.server.refusals import NotThere
from edgelm.server.sources import SourceFile
from edgelm.server.state import Server
from edgelm.server.tables import Job, Revision, Submission

_PLACES = 4  # decimals of a standard error, which is a root


class TaskReached(Body):
    """A model's score on a task, in percent."""

    score: Exact
    protocol: str
    standard_error: str | None  # percent points, rounded; None without marks
    subsets: dict[str, Exact]


class ModelReached(Body):
    """What one model reached. Memory and sizes are bytes, throughput tokens a second."""

    name: str
    tasks: dict[str, TaskReached]
    throughput: Score
    repeats_ns: list[int]
    beside: Beside  # parts of its speed, and memory by every meter; never ranked
    peak_memory: Whole | None
    meter: str
    parameters: int
    bytes: int
    notes: list[str]  # why scores are missing, and what is in doubt of its speed


class Standing(Body):
    """Its place: in the company in which its value was found, and on the board if it stands for its team."""

    rank: int | None
    represents: bool
    why: str  # it stands for its team
    value: Exact
    tasks: dict[str, TaskResult]


class ResultView(Body):
    """A submission's result; what a viewer may not see is None."""

    submission: str
    team: str
    title: str
    track: str
    state: str  # of the board; at most frozen where that has not published this result
    revision: int
    review: str | None
    reasons: list[str] | None  # why it is out of competition; in it if empty
    standing: Standing | None
    models: dict[str, ModelReached] | None
    claims: dict[str, dict[str, Exact]] | None  # of the team, by slot and task, beside what `models` has
    code: list[SourceFile] | None


def result(session: Session, server: Server, viewer: Viewer, submission_id: str) -> ResultView:
    """The result of a submission that is on a board, as the viewer may see it.

    Raises:
        NotThere: there is none, or none that the viewer may know of.
    """
    one = session.get(Submission, submission_id)
    row = boards.latest(session, one.track) if one else None
    entry, state = _entry(session, server, one, row) if one else (None, sight.ALWAYS)
    if one is None or entry is None or not sight.sees(viewer, "scores", state, one.team_id):
        raise NotThere("there is no such result", why="or none that you may see yet")
    open_ = sight.sees(viewer, "holdouts", state, one.team_id)
    standings = boards.standings_of(server.storage, row.standings) if row else None
    rules = boards.rules_of(session, server, standings) if standings else server.rules
    seen_models = (entry if open_ else without_holdouts(rules, entry)).models
    fields = {
        "flags": one.review,
        "reasons": _reasons(rules, entry, standings),
        "standing": _standing(entry, standings),
        "claims": claims.claimed(session, server.storage, rules, one, () if open_ else rules.holdouts),
        "code": sources.files(session, one),
        "scores": _models(server, seen_models, entries.evaluation_of(session, server, entry)),
    }
    seen = sight.shown(viewer, fields, state, one.team_id)
    return ResultView(
        submission=one.id, team=entry.team, title=entry.title, track=one.track, state=state,
        revision=row.number if row else 0, review=seen.get("flags"), reasons=seen.get("reasons"),
        standing=seen.get("standing"), models=seen.get("scores"), claims=seen.get("claims"),
        code=seen.get("code"),
    )  # fmt: skip


def _entry(session: Session, server: Server, one: Submission, row: Revision | None) -> tuple[Entry | None, State]:
    """Its entry as the board has it, and the board's state; if it ended after that was frozen, as it is, and frozen."""
    state = boards.board_of(server.storage, row).state
    for entry in boards.entries_of(server.storage, row.entries) if row else ():
        if entry.submission == one.id:
            return entry, state
    found = entries.gathered(session, server, one.track).entries
    unpublished = min(state, "frozen", key=STATES.index)
    return next((entry for entry in found if entry.submission == one.id), None), unpublished


def _reasons(rules: Rules, entry: Entry, standings: Standings | None) -> list[str]:
    out = {each.submission: each.reasons for each in standings.ineligible} if standings else {}
    return list(out.get(entry.submission, ineligibility(rules, entry)))


def _standing(entry: Entry, standings: Standings | None) -> Standing | None:
    if standings is None:
        return None
    row = next((each for each in standings.submissions if each.submission == entry.submission), None)
    line = next((each for each in standings.board if each.submission == entry.submission), None)
    if row is None:
        return None
    return Standing(rank=line.rank if line else None, represents=row.represents, why=line.why if line else "",
                    value=row.value, tasks=row.tasks)  # fmt: skip


def _models(server: Server, seen: dict[str, SlotModel], job: Job | None) -> dict[str, ModelReached]:
    """Models as they may be seen, with what their evaluation's reports and marks say of them beside."""
    if job is None or job.result is None or job.reached is None:
        return {slot: _model(model, {}, {}, []) for slot, model in seen.items()}
    named = entries.result_of(server.storage, job.result).models
    variances = entries.reading(server.storage, job.reached).variances
    return {
        slot: _model(model, _scored(server, named.get(slot)), variances, _doubts(server, named.get(slot)))
        for slot, model in seen.items()
    }  # fmt: skip


def _scored(server: Server, named: ModelResult | None) -> dict[str, TaskScore]:
    """A model's scores by task, as its reports have them."""
    reports = [named.report, *([named.holdout.report] if named.holdout else [])] if named else []
    return {
        task: score for report in reports for task, score in entries.report_of(server.storage, report).tasks.items()
    }


def _doubts(server: Server, named: ModelResult | None) -> list[str]:
    """What the tests of its measurement leave in doubt."""
    speed = entries.report_of(server.storage, named.report).speed if named else None
    tests = (speed.model_extra or {}).get("compliance", []) if speed else []
    return [f"{each['code']} {each['verdict']}: {each['what']}" for each in tests if each["verdict"] != "valid"]


def _model(
    model: SlotModel, scored: dict[str, TaskScore], variances: dict[str, Fraction], doubts: list[str]
) -> ModelReached:
    """A model with those of its tasks that count."""

    def task(name: str, score: Fraction) -> TaskReached:
        spread = variances.get(model.marks.get(name, ""))
        subsets = scored[name].subsets if name in scored else {}
        return TaskReached(
            score=score, protocol=model.protocols.get(name, ""),
            standard_error=None if spread is None else _root(spread),
            subsets={subset: each.score for subset, each in subsets.items()},
        )  # fmt: skip

    return ModelReached(
        name=model.name, tasks={name: task(name, score) for name, score in model.scores.items() if score is not None},
        throughput=model.throughput, repeats_ns=list(model.repeats_ns), beside=model.beside,
        peak_memory=model.peak_memory, meter=model.meter, parameters=model.parameters, bytes=model.bytes,
        notes=[*model.notes, *doubts],
    )  # fmt: skip


def _root(variance: Fraction) -> str:
    """The standard error of a variance, rounded half-even to so many decimals."""
    scale = 10 ** (2 * _PLACES + 2)
    return decimals(Fraction(math.isqrt(round(variance * scale**2)), scale), _PLACES)
