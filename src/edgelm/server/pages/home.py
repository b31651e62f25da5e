"""The first page, the dates and the rules: what all may read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from edgelm.server.api import competition
from edgelm.server.pages.frame.visit import Visiting

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(at: Visiting) -> Response:
    """What the competition is, what comes next, and how to begin."""
    phases = competition.dates(at.server)
    return at.page(
        "home", phases=phases, tracks=competition.tracks(at.server), coming=_next(phases, at.now),
        announcements=competition.announcements(at.server),
    )  # fmt: skip


@router.get("/dates")
def dates(at: Visiting) -> Response:
    """The one table of dates."""
    phases = competition.dates(at.server)
    return at.page("dates", phases=phases, coming=_next(phases, at.now))


@router.get("/rule-set")
def rules(at: Visiting) -> Response:
    """The rules in force, what they say, and those before them."""
    published = competition.rule_sets(at.server)
    changes = [_changes(new, old) for new, old in zip(published, [*published[1:], None], strict=True)]
    return at.page("rules", rules=at.server.rules, published=list(zip(published, changes, strict=True)))


def _next(phases: list[competition.PhaseView], now: int) -> tuple[str, competition.PhaseView, int] | None:
    """What happens next: `opens` or `closes`, of which phase, and when."""
    coming = [(phase.closes, "closes", phase) for phase in phases if phase.open]
    coming += [(phase.opens, "opens", phase) for phase in phases if phase.opens > now]
    if not coming:
        return None
    time, what, phase = min(coming, key=lambda each: each[0])
    return what, phase, time


def _changes(new: competition.RuleSetView, old: competition.RuleSetView | None) -> list[tuple[str, Any, Any]]:
    """The fields that differ from the rule set before, with what they were and are."""
    before = old.rules if old else new.rules
    return [(name, before.get(name), value) for name, value in new.rules.items() if value != before.get(name)]
