"""What an open decision would change, as those see it who may second it."""

from __future__ import annotations

from edgelm.errors import InputError
from edgelm.server import board_decisions, reviews
from edgelm.server.api import decisions
from edgelm.server.api.decisions import DecisionView, Preview
from edgelm.server.pages.frame.visit import Visit

_SHOWN = (*board_decisions.KINDS, reviews.CONFIRM)


def effect(at: Visit, made: DecisionView) -> tuple[Preview | None, InputError | None]:
    """What it would change if it were seconded now, or why that could not be done; nothing of one that is not open."""
    if made.applied or made.withdrawn or made.kind not in _SHOWN:
        return None, None
    try:
        proposal = decisions.Proposal(kind=made.kind, body=made.body, reason=made.reason)
        return decisions.preview(proposal, at.server, at.viewer), None
    except InputError as error:
        return None, error
