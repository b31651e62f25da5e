"""Appeals over HTTP: a team objects to how a submission ended, organisers decide."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from edgelm.server import appeals
from edgelm.server.api.submissions import Id, own, seen
from edgelm.server.app import server_of
from edgelm.server.calling import Asking, Calling
from edgelm.server.fields import Body, Prose
from edgelm.server.tables import Appeal

router = APIRouter(tags=["appeals"])


class Objection(Body):
    """Why a team objects."""

    text: Prose


class Decision(Body):
    """What was decided about an appeal, and why."""

    decision: appeals.Outcome
    reason: Prose


class AppealShown(Body):
    """An appeal; not decided yet while `decision` is empty."""

    id: str
    submission: str
    text: str
    created: int
    decision: Literal["", "granted", "dismissed"]
    reason: str
    decided: int | None


class Appeals(Body):
    """Appeals, oldest first, and until when they are taken; open-ended before the provisional board."""

    appeals: list[AppealShown]
    deadline: int | None = None


@router.post("/submissions/{submission}/appeals", status_code=201, response_model=AppealShown)
def appeal(submission: Id, body: Objection, at: Calling) -> JSONResponse:
    """Object to how a submission ended."""

    def work(session: Session) -> AppealShown:
        found = own(session, at.viewer, submission)
        return _shown(appeals.appeal(session, at.server.rules, at.viewer.actor, found, body.text, at.now))

    return at.once(work)


@router.get("/submissions/{submission}/appeals")
def appeals_of(submission: Id, request: Request, who: Asking) -> Appeals:
    """The appeals about a submission, and until when they are taken."""
    server = server_of(request)
    with server.database.read() as session:
        found = seen(session, who, submission)
        return Appeals(appeals=[_shown(each) for each in appeals.of(session, found)],
                       deadline=appeals.deadline(session, server.rules, found.track))  # fmt: skip


@router.get("/appeals")
def all_appeals(request: Request, who: Asking, undecided: bool = False) -> Appeals:
    """All appeals, to organisers."""
    who.require("organiser")
    with server_of(request).database.read() as session:
        return Appeals(appeals=[_shown(each) for each in appeals.of(session, undecided=undecided)])


@router.post("/appeals/{appeal}/decision", status_code=200, response_model=AppealShown)
def decide(appeal: str, body: Decision, at: Calling) -> JSONResponse:
    """Decide an appeal, as an organiser."""
    at.viewer.require("organiser")

    def work(session: Session) -> AppealShown:
        return _shown(appeals.decide(session, at.viewer.actor, appeal, body.decision, body.reason, at.now))

    return at.once(work, 200)


def _shown(one: Appeal) -> AppealShown:
    return AppealShown(id=one.id, submission=one.submission_id, text=one.text, created=one.created,
                       decision=one.decision, reason=one.reason, decided=one.decided)  # type: ignore[arg-type]  # fmt: skip
