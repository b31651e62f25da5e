"""Roles and scopes as such, and odd values in calls about people. Who may do what with each call: `security`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgelm.server.access import Viewer
from edgelm.server.audit import Actor
from edgelm.server.refusals import Forbidden, NotLoggedIn, NotThere
from edgelm.server.tables import User, Worker

from ..security.calls import CALLS


def viewer(role: Any, team: str | None = None, **more: Any) -> Viewer:
    user = None if role in ("visitor", "worker") else User(id="u", role=role)
    worker = Worker(name="w") if role == "worker" else None
    return Viewer(user, worker, team, role, **more)


@pytest.mark.parametrize(("role", "passes"), [
    ("visitor", ""), ("participant", "participant"), ("reviewer", "participant reviewer"),
    ("organiser", "participant reviewer organiser"), ("admin", "participant reviewer organiser admin"),
    ("worker", "worker"),
])  # fmt: skip
def test_a_role_may_do_what_lower_ones_may(role: str, passes: str) -> None:
    for wanted in ("participant", "reviewer", "organiser", "admin", "worker"):
        if wanted in passes.split():
            viewer(role).require(wanted)  # type: ignore[arg-type]
        else:
            with pytest.raises(NotLoggedIn if role == "visitor" else Forbidden):
                viewer(role).require(wanted)  # type: ignore[arg-type]


def test_another_teams_things_are_not_there() -> None:
    viewer("participant", "red").require_member("red")
    for asker in (viewer("participant", "blue"), viewer("participant"), viewer("admin"), viewer("worker")):
        with pytest.raises(NotThere):
            asker.require_member("red")
    with pytest.raises(NotLoggedIn):
        viewer("visitor").require_member("red")
    viewer("reviewer").require_sight("red")
    with pytest.raises(NotThere):
        viewer("worker").require_sight("red")


def test_a_login_has_all_scopes_and_a_token_its_own() -> None:
    viewer("participant").require_scope("submit")
    viewer("participant", scopes=frozenset({"submit"})).require_scope("submit")
    with pytest.raises(Forbidden, match="submit"):
        viewer("participant", scopes=frozenset({"read"})).require_scope("submit")


def test_who_the_log_names() -> None:
    assert viewer("participant").actor == Actor("u", "participant")
    assert viewer("worker").actor == Actor("worker:w", "worker")
    assert viewer("visitor").actor == Actor("visitor", "visitor")


_ABOUT_PEOPLE = ("/register", "/first-admin", "/log", "/me", "/forgotten", "/reset", "/tokens", "/admin/users",
                 "/admin/workers", "/admin/phases", "/admin/announcements", "/admin/rules", "/admin/webhooks",
                 "/teams")  # fmt: skip
_NAMES = ("name", "token_id", "user_id", "team_id", "team", "invitation_id", "webhook_id", "digest")
ODD = (None, True, -1, 10**400, "", "x", "a@b.c", "\ud800", "\0", "\u202e", "é" * 300, [], {}, [None], ["compression"],
       "0001-01-01T00:00:00+23:59", "2025-03-01 AoE", "admin")  # fmt: skip
ODD_IDS = ("x", "%00", "%ff", "%0a", "%2e%2e", "ü", "'", "a" * 3000)


@pytest.mark.parametrize("role", ["admin", "participant"])
def test_odd_values_are_refused_or_taken_but_no_fault(site: Any, role: str) -> None:
    """Each field of each body, and each id of a path, of calls about people is each odd value in turn."""
    browser: Any = site.user("asker", role)
    founding = {"name": "Red", "tracks": ["compression"], "only_team": True, "student": False}
    team = browser.post("/teams", json=founding).json().get("id", "x")
    names = dict.fromkeys(_NAMES, "x") | {"user_id": browser.id, "team_id": team}
    faults = []
    for endpoint, row in CALLS.items():
        method, path = endpoint.split()
        if not path.startswith(_ABOUT_PEOPLE):
            continue
        body = row.body if isinstance(row.body, dict) else None
        wrong = [{**body, key: odd} for key in body for odd in ODD] + [{**body, "\ud800": 1}] if body else [None]
        paths = [path.format_map(dict.fromkeys(_NAMES, odd)) for odd in ODD_IDS] if "{" in path else []
        tried = [(path.format_map(names), each) for each in wrong]
        for where, each in (*tried, *((where, body) for where in paths)):
            sent = None if each is None else json.dumps(each)
            answer = browser.request(method, where, content=sent, headers={"Content-Type": "application/json"})
            if answer.status_code == 401:  # it logged itself out, or took its own role
                with site.server.database.write() as session:
                    user = session.get(User, browser.id)
                    user.role, user.disabled, user.second_step = role, False, int(role != "participant")
                browser = site.again(browser.id)
            if answer.status_code >= 500 or (answer.status_code >= 400 and "what" not in answer.json()):
                faults.append((method, where[:80], each, answer.status_code, answer.text[:200]))
    assert not faults
