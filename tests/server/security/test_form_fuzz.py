"""Forms with whatever their fields may hold, and much that they may not: refused or taken, and no fault.

Each form is sent by each role a hundredth of EDGELM_FUZZ times, at the least three.
"""

from __future__ import annotations

import os
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import World
from .page_calls import PAGES
from .things import ID

EXAMPLES = max(3, int(os.environ.get("EDGELM_FUZZ", "0")) // 100)
_NAMES = ("name", "email", "password", "reason", "track", "task", "tracks", "scopes", "once", "csrf", "next", "team",
          "secret", "user", "rules", "kind", "opens", "closes", "priority", "event", "offence", "state", "seed", "url",
          "days", "code", "only_team", "figures", "checkpoints.base", "tasks.gsm8k.score", "archive")  # fmt: skip
_ODD = ("", "x", "-1", "1/0", "nan", "1e999", "9" * 400, "\0", "\ud800", "\u202e", "{}", "[]", "true", "'", ID,
        "compression", "é" * 3000, "2025-01-01 AoE", "9999-12-31T23:59:59+00:00", "http://[",
        "https://x:y@z:0/")  # fmt: skip
_TEXT = st.one_of(st.sampled_from(_ODD), st.text(max_size=40))
_FIELDS = st.lists(st.tuples(st.one_of(st.sampled_from(_NAMES), st.text(max_size=8)), _TEXT), max_size=12)
_IDS = st.one_of(st.none(), st.sampled_from(("x", "%00", "%ff", "..", "ü", "a" * 3000, ID)))


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("POST ")])
def test_no_form_is_a_fault_of_the_server(name: str, world: World) -> None:
    path, row = name.split()[1], PAGES[name]
    usual = {key: str(value) for key, value in (row.body or {}).items() if not isinstance(value, list | dict)}

    @given(fields=_FIELDS, kept=st.sets(st.sampled_from(sorted(usual) or ["none"])), odd_id=_IDS)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def hold(fields: list[tuple[str, str]], kept: set[str], odd_id: str | None) -> None:
        sent = [(key, usual[key]) for key in kept if key in usual] + fields
        names = {key: odd_id or value for key, value in world.names.items()}
        for asker in ("visitor", "captain", "reviewer", "admin"):
            world.client.cookies.clear()
            answer = world.client.post(
                path.format_map(names), content=urlencode(sent, errors="surrogatepass"), follow_redirects=False,
                headers={**world.known[asker], "Content-Type": "application/x-www-form-urlencoded",
                         "Accept": "text/html"},
            )  # fmt: skip
            assert answer.status_code < 500, (asker, sent, answer.text)

    hold()
    world.restore()
