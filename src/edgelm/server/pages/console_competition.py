"""The competition: dates, rules, slots that are granted, announcements."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response

from edgelm.errors import BadFile
from edgelm.files import parse_json
from edgelm.server import phases
from edgelm.server.api import audit, boards, competition, operations, slots
from edgelm.server.fields import Prose
from edgelm.server.pages.frame.organising import Organising
from edgelm.server.pages.frame.visit import Visit

router = APIRouter(prefix="/console/competition", include_in_schema=False)
_COMPETITION = "/console/competition"


class TypedRules(operations.Why):
    """A rule set as it is typed: JSON with all of its fields."""

    rules: Prose


@router.get("")
def show(at: Organising) -> Response:
    """What the competition is at."""
    return _show(at)


@router.post("/phase")
def set_phase(at: Organising) -> Response:
    """Make a phase, or give one other dates."""
    return at.take(
        lambda _: competition.set_phase(at.read(competition.NewPhase), at.call), _show, _COMPETITION, "dates"
    )


@router.post("/phase/{name}/remove")
def remove_phase(name: str, at: Organising) -> Response:
    """Remove a phase that nothing was handed in to."""
    return at.take(
        lambda _: competition.remove_phase(name, at.server, at.viewer, at.read(operations.Why).reason), _show,
        _COMPETITION, "dates",
    )  # fmt: skip


@router.post("/rules")
def publish_rules(at: Organising) -> Response:
    """Put other rules in force."""
    return at.take(lambda _: competition.publish_rules(_rules(at), at.call), _show, _COMPETITION, "rules")


@router.post("/slot")
def grant(at: Organising) -> Response:
    """Give a team one slot more."""
    return at.take(lambda _: slots.grant(at.read(slots.Grant), at.call), _show, _COMPETITION, "granted")


@router.post("/announcement")
def announce(at: Organising) -> Response:
    """Say something to all."""
    return at.take(
        lambda _: competition.announce(at.read(competition.NewAnnouncement), at.call), _show, _COMPETITION, "announced"
    )


def _rules(at: Visit) -> competition.NewRules:
    typed = at.read(TypedRules)
    found = parse_json(typed.rules, "what was typed")
    if not isinstance(found, dict):
        raise BadFile("what was typed is no rule set", why="that is a JSON object", mend="begin with those in force")
    return competition.NewRules(rules=found, reason=typed.reason)


def _show(at: Visit) -> Response:
    rules = competition.rule_sets(at.server)
    return at.page(
        "console/competition", phases=competition.dates(at.server), kinds=phases.KINDS, rules=rules,
        in_force=json.dumps(rules[0].rules, indent=1, ensure_ascii=False),
        announcements=competition.announcements(at.server), boards=boards.all_boards(at.server),
        granted=audit.entries(at.server, at.viewer, action="slot.grant").entries,
    )  # fmt: skip
