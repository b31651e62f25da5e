"""Which fields of what submissions reached a viewer may see, in which state of the board: the one table of it.

What the table does not name is seen by nobody. Boards hold hold-outs only in states that show them (`score` leaves them
out before); this table is about single submissions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from edgelm.score.states import STATES, State
from edgelm.server.access import Viewer

Watcher = Literal["everyone", "team", "reviewer"]  # a reviewer is who may review: organisers, too

ALWAYS: State = "draft"
# By field, who sees it from which state of the board on.
SIGHT: Mapping[str, Mapping[Watcher, State]] = {
    # what it reached on public tasks: scores, standard errors, subsets, speed and its parts, memory, size
    "scores": {"everyone": "provisional", "team": ALWAYS, "reviewer": ALWAYS},
    # all that hold-outs have a part in; organisers see it with all others, once two have published it
    "holdouts": {"everyone": "provisional"},
    # its places and points, of what the board's state shows
    "standing": {"everyone": "provisional", "team": ALWAYS, "reviewer": ALWAYS},
    # why it is out of competition, as the board says, too
    "reasons": {"everyone": "live", "team": ALWAYS, "reviewer": ALWAYS},
    # what the team has claimed, beside what was found
    "claims": {"everyone": "provisional", "team": ALWAYS, "reviewer": ALWAYS},
    # what the checker has flagged, and how it was resolved
    "flags": {"everyone": "provisional", "team": ALWAYS, "reviewer": ALWAYS},
    # what a reviewer decides on
    "evidence": {"reviewer": ALWAYS},
    # why scores are missing
    "notes": {"everyone": "provisional", "team": ALWAYS, "reviewer": ALWAYS},
    # answers to public tasks, with their marks; marks are in the bundle of a final board
    "answers": {"team": ALWAYS, "reviewer": ALWAYS},
    "marks": {"everyone": "final", "reviewer": ALWAYS},
    # answers to hold-outs are nobody's
    "holdout_answers": {},
    # log lines, cut and redacted
    "log": {"team": ALWAYS, "reviewer": ALWAYS},
    # where its code lies
    "code": {"everyone": "final", "team": ALWAYS, "reviewer": ALWAYS},
}


def sees(viewer: Viewer, field: str, state: State, team_id: str) -> bool:
    """Whether a viewer may see a field of a team's submission while the board is in a state."""
    return any(_is(viewer, watcher, team_id) and STATES.index(state) >= STATES.index(first)
               for watcher, first in SIGHT.get(field, {}).items())  # fmt: skip


def shown(viewer: Viewer, fields: Mapping[str, Any], state: State, team_id: str) -> dict[str, Any]:
    """Those of the fields that a viewer may see."""
    return {name: value for name, value in fields.items() if sees(viewer, name, state, team_id)}


def findings(viewer: Viewer, found: Iterable[Mapping[str, Any]], team_id: str) -> list[dict[str, Any]]:
    """What the checker found in a team's submission, without the evidence for what a reviewer decides from others."""
    every = sees(viewer, "evidence", ALWAYS, team_id)
    return [{key: value for key, value in each.items() if every or key != "evidence" or each["severity"] != "R"}
            for each in found]  # fmt: skip


def _is(viewer: Viewer, watcher: Watcher, team_id: str) -> bool:
    if watcher == "team":
        return viewer.team_id is not None and viewer.team_id == team_id
    return watcher == "everyone" or viewer.may("reviewer")
