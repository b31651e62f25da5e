"""What rows of the tables of calls are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edgelm.rules.neurips_2024 import Neurips2024

from .things import TRACK

# Statuses by asker: 2 done, 1 log in, 3 forbidden, 4 there is no such thing, 9 conflict, 0 cannot be taken as it is.
# The last two are of those who may, where what they ask for does not fit what is there.
STATUS = {"2": (200, 201, 202, 204, 303), "1": (401,), "3": (403,), "4": (404,), "9": (409,), "0": (400, 422)}


@dataclass(frozen=True)
class Row:
    """A call: how it is answered, asker by asker, when it is sent with a body about things that are there.

    Args:
        expected: a sign of `STATUS` for each of `ASKERS`.
        body: what is sent: a dict as JSON to a call and as a form to a page, or bytes; ASKER stands for who asks.
        names: what stands for parameters of the path, where it is not the usual.
    """

    expected: str
    body: Any
    names: dict[str, str]


def row(expected: str, body: Any = None, **names: str) -> Row:
    """A row, written shortly."""
    return Row(expected, body, names)


WHY = {"reason": "so"}
ABOUT = {"track": TRACK, **WHY}
TASK = {"task": "gsm8k", **WHY}
OFFENCE = {"offence": "quantised", "evidence": "values repeat", **WHY}
PHASE = {"name": "new", "kind": "smoke", "opens": "2025-01-01 AoE", "closes": "2025-02-01 AoE", **WHY}
RULES = {"rules": json.loads(Neurips2024(places=9).to_bytes()), **WHY}
SEED = {"seed": "1", **ABOUT}
ROLE = {"role": "reviewer", **WHY}
GRANT = {"team": "red", "phase": "main", **ABOUT}
DECISION = {"kind": "void", "body": {"track": TRACK, "task": "gsm8k"}, **WHY}
FIGURES = {"track": TRACK, "figures": {"checkpoints": {}, "agreement": "1", "self_agreement": "1", "tasks": {},
           "throughput": "1", "peaks": {}, "runs_on_phone": True}}  # fmt: skip
AGAIN = {"agreement": "1", "self_agreement": "1", "throughput": "1"}
PASSWORD = "correct horse battery"
ACCOUNT = {"email": "new@example.org", "name": "new", "password": PASSWORD}
TRIED = {"email": "ASKER@e.org", "password": "wrong"}  # so many tries for one account are limited, as are mails to one
INVITED = {"email": "for-ASKER@example.org"}
CHANGE = {"old": PASSWORD, "new": "a long new one"}
FORGOTTEN = {"secret": "x", "password": PASSWORD}
FOUNDING = {"name": "New", "tracks": [TRACK], "only_team": True, "student": False}
JOINING = {"secret": "come", "only_team": True, "student": False}
HOOK = {"url": "https://hooks.example.org/new"}
FENCE = {"fence": 1}
