"""Reviews: what was flagged with its evidence, and what reviewers decide on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Response

from edgelm.errors import InputError
from edgelm.server.api import decisions, reviews, submissions
from edgelm.server.api.submissions import Id
from edgelm.server.pages.frame.deciding import effect
from edgelm.server.pages.frame.organising import Reviewing
from edgelm.server.pages.frame.visit import Visit
from edgelm.server.refusals import NotThere
from edgelm.server.reviews import CONFIRM

router = APIRouter(prefix="/console/reviews", include_in_schema=False)


@router.get("")
def listed(at: Reviewing, state: Literal["open", "cleared", "confirmed"] = "open") -> Response:
    """The reviews in a state, and which submissions are alike."""
    return at.page(
        "console/reviews", state=state, reviews=reviews.show(at.server, at.viewer, state),
        groups=reviews.alike(at.server, at.viewer),
    )  # fmt: skip


@router.get("/{submission}")
def review(submission: Id, at: Reviewing) -> Response:
    """One review."""
    return _review(at, submission)


@router.post("/{submission}/clear")
def clear(submission: Id, at: Reviewing) -> Response:
    """Find that the flags are no offence."""
    return at.take(
        lambda _: reviews.clear(submission, at.read(reviews.Why), at.call), lambda again: _review(again, submission),
        f"/console/reviews/{submission}", "cleared",
    )  # fmt: skip


@router.post("/{submission}/preview")
def preview(submission: Id, at: Reviewing) -> Response:
    """Whom confirming the flags would put out; nothing is done."""
    try:
        typed = at.read(reviews.Confirming)
        charge = {"submission": submission, "offence": typed.offence, "evidence": typed.evidence}
        proposal = decisions.Proposal(kind=CONFIRM, body=charge, reason=typed.reason)
        shown = decisions.preview(proposal, at.server, at.viewer)
    except InputError as error:
        return _review(at.refused(error), submission)
    return _review(at, submission, shown)


@router.post("/{submission}/confirm")
def confirm(submission: Id, at: Reviewing) -> Response:
    """Propose that they are one."""
    return at.take(
        lambda _: reviews.confirm(submission, at.read(reviews.Confirming), at.call),
        lambda again: _review(again, submission), f"/console/reviews/{submission}", "proposed",
    )  # fmt: skip


@router.post("/{submission}/second/{decision}")
def second(submission: Id, decision: Id, at: Reviewing) -> Response:
    """Agree to what another has proposed."""
    return at.take(
        lambda _: decisions.second(decision, at.call), lambda again: _review(again, submission),
        f"/console/reviews/{submission}", "seconded",
    )  # fmt: skip


def _review(at: Visit, submission: str, preview: decisions.Preview | None = None) -> Response:
    """The page of a review, with what confirming it would change once that was asked for."""
    one, here = submissions.show(submission, at.request, at.viewer), f"/console/reviews/{submission}"
    if not one.review:
        raise NotThere("this submission was not flagged", mend="see the reviews")
    typed = at.typed if "offence" in at.typed else {}  # of this form, and not of another on the page
    for each in reviews.show(at.server, at.viewer, one.review):  # type: ignore[arg-type]  # one of the three
        if each.submission == submission:
            return at.page(
                "console/review", review=each, one=one, preview=preview,
                form=replace(at.form(f"{here}/preview"), typed=typed), send=at.form(f"{here}/confirm"),
                effects={made.id: effect(at, made) for made in each.decisions},
                alike=[group for group in reviews.alike(at.server, at.viewer)
                       if submission in {each.id for each in group.submissions}],
            )  # fmt: skip
    raise NotThere("there are too many reviews in this state to show this one", mend="decide the oldest first")
