"""Stage 2 as rows: who is invited, what has come of it, whose turn is next. Rule R10 of the rule set.

What may follow on what, and who is invited next, is decided by `score.stage2` alone; here it is kept, told and logged.
Beside those whose turn it is, one more finalist may be drawn by lot: it is examined alike, holds no seat and gets no
award unless its turn comes, too; what it has reached by then counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.files import sha256_bytes
from edgelm.rules.base import Rules
from edgelm.rules.phases import shown
from edgelm.score import stage2
from edgelm.score.stage2 import MOVES, OPEN, Award, Candidate, Stage2
from edgelm.server import audit, boards, handing_in, notices, phases, reproduction
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.clock import moment
from edgelm.server.handing_in import Package
from edgelm.server.refusals import Conflict, NotThere, Refused
from edgelm.server.reproduction import Condition, Figures
from edgelm.server.state import Server
from edgelm.server.tables import Examination, Submission, Upload

Event = Literal["received", "running", "passed", "failed", "withdrawn", "timed-out", "disqualified"]
_MEANS = {
    "received": "Your material has been received.",
    "running": "Your result is being reproduced.",
    "passed": "Your result was reproduced.",
    "failed": "Your result was not reproduced.",
    "withdrawn": "Your team has withdrawn from stage 2.",
    "timed-out": "Nothing came in time.",
    "disqualified": "Your team is out of competition.",
}


def candidates(session: Session, track: str) -> list[Examination]:
    """All candidates of a track in the frozen order; none before stage 2 has begun."""
    of = select(Examination).filter_by(track=track).order_by(Examination.rank, Examination.submission_id)
    return list(session.scalars(of))


def of_team(session: Session, team_id: str) -> list[Examination]:
    """What of a team is examined or was, in whatever tracks; waiting candidates are left out."""
    of = select(Examination).filter_by(team_id=team_id).where(Examination.state != "waiting")
    return list(session.scalars(of.order_by(Examination.track, Examination.rank, Examination.submission_id)))


def begin(session: Session, server: Server, actor: Actor, track: str, reason: str, now: int) -> list[Examination]:
    """Begin stage 2 from the final board, with whole rank groups invited.

    Raises:
        NotThere: the board is not open.
        Unsupported: it is not final.
        Conflict: stage 2 has begun.
    """
    row, standings = boards.revision(session, server, track)
    first = stage2.begin(boards.rules_of(session, server, standings), standings)
    if candidates(session, track):
        raise Conflict(f"stage 2 of {track} has begun before")
    for each in first.candidates:
        team = session.get_one(Submission, each.submission).team_id
        session.add(Examination(track=track, team_id=team, submission_id=each.submission, rank=each.rank,
                                state="waiting", changed=now))  # fmt: skip
    session.flush()
    audit.record(session, actor, "stage2.begin", track, now, after={"standings": row.standings}, reason=reason)
    _invite(session, server, track, now)
    return candidates(session, track)


def move(
    session: Session, server: Server, actor: Actor, track: str, team_id: str, event: Event, reason: str, now: int
) -> Examination:
    """Bring a team's candidate further, and invite whose turn it is then.

    Raises:
        NotThere: the team is no candidate.
        Conflict: the event does not follow, or the team cannot pass yet.
    """
    row = candidate(session, track, team_id)
    if event not in MOVES[row.state]:  # type: ignore[index]
        onward = ", ".join(MOVES[row.state]) or "nothing"  # type: ignore[index]
        raise Conflict(f"the team is {row.state}, not {event}", mend=f"what may follow: {onward}")
    if event == "passed":
        _require_met(conditions(session, server, row))
    _set(session, server, actor, row, event, reason, now)
    _invite(session, server, track, now)
    return row


def hand_in(
    session: Session, server: Server, actor: Actor, track: str, upload: Upload, package: Package, received: int
) -> Submission:
    """Take a team's material: a package with its code and data, in the phase of stage 2.

    Raises:
        Conflict: no such phase is open (SUB-02), the team is not invited, or as `handing_in.hand_in`.
        NotThere: the team is no candidate.
        Refused: the package is for another track.
    """
    phase = phases.require(session, "stage-2", received, "SUB-02")
    row = candidate(session, track, upload.team_id)
    if row.state != "invited" and not _lost(session, row):
        raise Conflict(f"the team is {row.state}", why="material is taken from those that are invited, once")
    if upload.track != track:
        raise Refused(f"the package is for {upload.track}", mend=f"pack it for {track}")
    made = handing_in.hand_in(session, server.storage, server.rules, actor, upload, package, received, phase)
    if made.state != "refused":
        row.material_id = made.id
        if row.state == "invited":
            _set(session, server, actor, row, "received", "the package was handed in", received)
    return made


def enter(
    session: Session, server: Server, actor: Actor, track: str, team_id: str, figures: Figures, now: int
) -> list[Condition]:
    """Keep what was found when a result was reproduced; every condition of passing, met or not.

    Raises:
        NotThere: the team is no candidate.
        Conflict: its result is not being reproduced.
    """
    row = candidate(session, track, team_id)
    if row.state != "running":
        raise Conflict(f"the team is {row.state}", why="figures come from a result that is being reproduced")
    before, row.figures, row.changed = row.figures, figures.model_dump(mode="json"), now
    found = conditions(session, server, row)
    audit.record(session, actor, "stage2.figures", row.submission_id, now, before=before, after=row.figures)
    return found


def conditions(session: Session, server: Server, row: Examination) -> list[Condition]:
    """Every condition of passing, as far as figures were entered."""
    if row.figures is None:
        return []
    rules = _rules(session, server, row.track)
    before = reproduction.reached(session, server, rules, row.track, row.submission_id)
    return reproduction.conditions(rules, rules.track(row.track), before, Figures.model_validate(row.figures))


def draw(
    session: Session, server: Server, actor: Actor, track: str, seed: str, reason: str, now: int
) -> Examination:  # fmt: skip
    """Have one more finalist examined, drawn by a public seed from those on the board that are not invited. M-13.

    Anybody can draw again: the number of the one that is taken, from 0 in the frozen order, is the sha256 of the
    standings' digest, a line feed and the seed, modulo how many there are.

    Raises:
        Conflict: one was drawn before, or all are invited.
    """
    rows = candidates(session, track)
    if any(row.drawn for row in rows):
        raise Conflict(f"a finalist of {track} was drawn before")
    shown = _rules(session, server, track).board_ranks if rows else 0
    waiting = [row for row in rows if row.state == "waiting" and row.rank <= shown]
    if not waiting:
        raise Conflict(f"nobody of {track} waits", mend="draw after stage 2 has begun, while some are not invited")
    standings = boards.revision(session, server, track).row.standings
    number = int(sha256_bytes(f"{standings}\n{seed}".encode()), 16) % len(waiting)
    row = waiting[number]
    row.drawn = True
    audit.record(session, actor, "stage2.draw", row.submission_id, now, reason=reason,
                 after={"seed": seed, "of": len(waiting), "number": number})  # fmt: skip
    _set(session, server, actor, row, "invited", f"drawn by lot with the seed '{seed}'", now)
    return row


def awards(session: Session, server: Server, track: str) -> list[Award]:
    """The places of those that passed in their turn, by the names of their teams."""
    rows = candidates(session, track)
    return stage2.awards(_stage(_rules(session, server, track), rows)) if rows else []


def candidate(session: Session, track: str, team_id: str) -> Examination:
    """The candidate of a team that its events are about: the one that is examined, was, or will be.

    Raises:
        NotThere: it has none.
    """
    own = [row for row in candidates(session, track) if row.team_id == team_id]
    if not own:
        raise NotThere("the team is no candidate of stage 2", why="or stage 2 has not begun")
    return min(own, key=lambda row: (row.state not in OPEN, row.state == "waiting", row.rank))


def _lost(session: Session, row: Examination) -> bool:
    """Whether the material of a team came to nothing: a worker's check refused it, or it was taken back."""
    if row.state != "received" or row.material_id is None:
        return False
    return session.get_one(Submission, row.material_id).state in ("refused", "failed", "withdrawn", "cancelled")


def _invite(session: Session, server: Server, track: str, now: int) -> None:
    """Invite whose turn it is."""
    rows = {row.submission_id: row for row in candidates(session, track)}
    rules = _rules(session, server, track)
    stage = stage2.invited(rules.seats, _stage(rules, list(rows.values())).candidates)
    for each in stage.among("invited"):
        row = rows[each.submission]
        if not row.due:
            row.due = True
            if row.state == "waiting":
                _set(session, server, SYSTEM, row, "invited", "it is the team's turn", now)


def _rules(session: Session, server: Server, track: str) -> Rules:
    """The rules of the final board, whatever has come after it."""
    return boards.rules_of(session, server, boards.revision(session, server, track).standings)


def _stage(rules: Rules, rows: Sequence[Examination]) -> Stage2:
    """The rows as the state machine has them: who was drawn by lot waits for its turn until that comes."""
    return Stage2(seats=rules.seats, candidates=tuple(
        Candidate.model_validate({
            "team": row.team.name, "submission": row.submission_id, "rank": row.rank,
            "progress": "waiting" if not row.due and row.state in (*OPEN, "passed") else row.state,
        }) for row in rows
    ))  # fmt: skip


def _set(
    session: Session, server: Server, actor: Actor, row: Examination, state: str, reason: str, now: int
) -> None:  # fmt: skip
    before, row.state, row.reason, row.changed = row.state, state, reason, now
    audit.record(session, actor, f"stage2.{state}", row.submission_id, now, before=before, after=state, reason=reason)
    told = [*notices.members(session, row.team_id), *(notices.organisers(session) if state == "invited" else ())]
    means = _invitation(session, server.settings.public_url, now) if state == "invited" else _MEANS[state]
    notices.tell(session, told, f"{row.team.name}, stage 2 of {row.track}: {state}", f"{means}\nReason: {reason}", now,
                 f"stage2/{row.submission_id}/{state}")  # fmt: skip


def _invitation(session: Session, url: str, now: int) -> str:
    """What an invited team is to do, until when, and how."""
    phase = phases.coming(session, "stage-2", now)
    if phase is None:
        when = f"once the organisers have published the dates of stage 2: {url}/dates"
    else:
        opens = "now" if phase.opens <= now else f"from {shown(moment(phase.opens))}"
        when = f"{opens} until before {shown(moment(phase.closes))}"
    return (
        "Your team is invited to prove its result. Hand in a package with your code and data\n"
        f"{when}.\nWith the command line: edgelm submit PACKAGE --material --to {url} --token-file token\n"
        f"With a browser: {url}/submit\nHow it goes on: {url}/team#stage-2"
    )


def _require_met(found: Sequence[Condition]) -> None:
    if not found:
        raise Conflict("the team cannot pass yet", why="no figures were entered", mend="enter what was found")
    if short := [each.said for each in found if not each.met]:
        raise Conflict("the team cannot pass", why="; ".join(short), mend="it has failed, or the figures are wrong")
