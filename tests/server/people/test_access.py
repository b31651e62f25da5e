"""Who may do what: every call of accounts, teams and competition, by every kind of asker, against one written table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgelm.server import accounts
from edgelm.server.access import FRESH, Viewer
from edgelm.server.audit import Actor
from edgelm.server.database import Database
from edgelm.server.keys import digest
from edgelm.server.refusals import Forbidden, NotLoggedIn, NotThere
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Invitation, Member, Phase, Team, User, Worker

ASKERS = ("visitor", "alone", "outsider", "member", "captain", "reviewer", "organiser", "admin", "stale", "worker")
# `stale` is an administrator whose password was given some time ago; `outsider` is captain of another team.
ALL = "2" * 10
SAME = {"kind": "scored", "opens": "2025-01-01 AoE", "closes": "2025-02-01 AoE", "reason": "x"}
ACCOUNT = {"email": "new@example.org", "name": "new", "password": "correct horse battery"}
CERTIFIED = {"only_team": True, "student": False}
WHY = {"reason": "x"}
# The answers' statuses by asker: 2 done, 1 log in, 3 forbidden, 4 there is no such thing, 9 conflict, 0 malformed.
TABLE: dict[str, tuple[str, Any]] = {
    #                                          v a o m c r o a s w
    "GET /competitions":                      (ALL, None),
    "GET /tracks":                            (ALL, None),
    "GET /rules":                             (ALL, None),
    "GET /rules/{digest}":                    ("4444444444", None),
    "GET /phases":                            (ALL, None),
    "GET /announcements":                     (ALL, None),
    "GET /health":                            (ALL, None),
    "GET /ready":                             (ALL, None),
    "GET /metrics":                           ("1333332223", None),
    "POST /admin/phases":                     ("1333332223", {"name": "main", **SAME}),
    "DELETE /admin/phases/{name}":            ("1333332223", None),
    "POST /admin/announcements":              ("1333332223", {"title": "x", "body": "y"}),
    "POST /register":                         (ALL, ACCOUNT),
    "POST /first-admin":                      ("4444444444", {**ACCOUNT, "secret": "x"}),
    "POST /login":                            ("1111111111", {"email": "new@example.org", "password": "x"}),
    "POST /logout":                           ("1222222221", None),
    "POST /forgotten":                        (ALL, {"email": "ASKER@e.org"}),  # so many mails to one are limited
    "POST /reset":                            ("4444444444", {"secret": "x", "password": "correct horse battery"}),
    "GET /me/messages":                       ("1222222221", None),
    "GET /me":                                ("1222222221", None),
    "POST /me/password":                      ("1222222221", {"old": "correct horse battery", "new": "a long new one"}),
    "POST /me/second-factor":                 ("1222299911", None),
    "POST /me/second-factor/confirm":         ("1000000001", {"code": "x"}),
    "GET /tokens":                            ("1222222221", None),
    "POST /tokens":                           ("1222222221", {"name": "x", "scopes": ["read"]}),
    "DELETE /tokens/{token_id}":              ("1444444441", None),
    "GET /admin/users":                       ("1333333223", None),
    "POST /admin/users/{user_id}/role":       ("1333333913", {"role": "reviewer", **WHY}),
    "POST /admin/users/{user_id}/disable":    ("1333333213", WHY),
    "POST /admin/users/{user_id}/enable":     ("1333333213", WHY),
    "POST /admin/users/{user_id}/reset":      ("1333333213", WHY),
    "POST /admin/users/{user_id}/second-factor/reset": ("1333333213", WHY),
    "GET /admin/workers":                     ("1333332223", None),
    "POST /admin/workers":                    ("1333333213", {"name": "gpu-2"}),
    "DELETE /admin/workers/{name}":           ("1333333213", None),
    "GET /teams":                             ("1333322223", None),
    "POST /teams":                            ("1299933333", {"name": "New", "tracks": ["compression"], **CERTIFIED}),
    "GET /teams/{team_id}":                   ("1442222224", None),
    "PUT /teams/{team_id}/tracks":            ("1443244444", {"tracks": ["compression"]}),
    "POST /teams/{team_id}/invitations":      ("1443244444", {"email": "new@example.org"}),
    "DELETE /teams/{team_id}/invitations/{invitation_id}": ("1443244444", None),
    "POST /teams/{team_id}/members":          ("1299933333", {"secret": "come", **CERTIFIED}),
    "DELETE /teams/{team_id}/members/{user_id}": ("1443242224", None),
    "PUT /teams/{team_id}/captain":           ("1443242224", {"user": "second"}),
}  # fmt: skip
STATUS = {"2": (200, 201, 202), "1": (401,), "3": (403,), "4": (404,), "9": (409,), "0": (400,)}
PATHS = {"digest": "0" * 64, "name": "gpu-1", "token_id": "x", "user_id": "second", "team_id": "red",
         "invitation_id": digest("come")}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> tuple[Path, dict[str, dict[str, str]]]:
    """A database with all askers in it, and the headers by which each is known."""
    path = tmp_path_factory.mktemp("people") / "people.db"
    shutil.copy(empty_sqlite, path)
    database = Database(f"sqlite:///{path}")
    known: dict[str, dict[str, str]] = {"visitor": {}}
    now = 1_735_689_600_000_000
    password = Server(Settings(folder=path.parent, password_memory=8), database).passwords.digest(
        "correct horse battery"
    )
    with database.write() as session:
        session.add_all(
            [Team(id=key, name=key, key=key, tracks=["compression"], created=now) for key in ("red", "blue")]
        )
        session.add(Worker(name="gpu-1", sha256=digest("edgelm_w_x"), tags=[], created=now))
        session.add(Phase(name="gpu-1", kind="preliminary", opens=now, closes=now + 1))
        for name, role, team in (
            ("alone", "participant", ""), ("outsider", "participant", "blue"), ("captain", "participant", "red"),
            ("member", "participant", "red"), ("second", "participant", "red"), ("reviewer", "reviewer", ""),
            ("organiser", "organiser", ""), ("admin", "admin", ""), ("stale", "admin", ""),
        ):  # fmt: skip
            user = User(id=name, email=f"{name}@e.org", name=name, password=password, role=role, created=now)
            session.add(user)
            session.flush()
            if team:
                session.add(
                    Member(user_id=name, team_id=team, captain=name != "member" and name != "second", joined=now)
                )
            opened = now - FRESH if name == "stale" else now
            cookie, login = accounts.log_in(session, name, opened, 12)
            user.second_step = int(role != "participant")
            known[name] = {"Cookie": f"edgelm={cookie}", "X-CSRF-Token": login.csrf}
        session.add(Invitation(sha256=digest("come"), team_id="red", email="alone@e.org", created=now, expires=2 * now))
    database.close()
    known["worker"] = {"Authorization": "Bearer edgelm_w_x"}
    return path, known


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """One application, whose database is put back before each call."""
    from fastapi.testclient import TestClient

    from edgelm.server.app import create_app

    folder = tmp_path_factory.mktemp("running")
    settings = Settings(folder=folder, password_memory=8, login_tries=10**6, changes=10**6)
    database = Database(settings.database_url)
    server = Server(settings, database, lambda: 1_735_689_600_000_000)
    return folder / "edgelm.db", database, TestClient(create_app(server), raise_server_exceptions=False)


@pytest.mark.parametrize("endpoint", TABLE)
def test_each_asker_gets_what_the_table_says(endpoint: str, template: Any, running: Any) -> None:
    (saved, known), (place, database, client) = template, running
    expected, body = TABLE[endpoint]
    method, path = endpoint.split()
    found = {}
    for asker in ASKERS:
        database.close()
        for ending in ("-wal", "-shm"):
            Path(f"{place}{ending}").unlink(missing_ok=True)
        shutil.copy(saved, place)
        client.cookies.clear()
        own = json.loads(json.dumps(body).replace("ASKER", asker))
        answer = client.request(method, path.format_map(PATHS), json=own, headers=known[asker])
        found[asker] = next((sign for sign, codes in STATUS.items() if answer.status_code in codes), answer.text)
        if answer.status_code >= 400:
            assert answer.json().keys() == {"code", "what", "why", "mend"}
    assert found == dict(zip(ASKERS, expected, strict=True))


def test_every_call_stands_in_the_table(running: Any) -> None:
    ours = {
        f"{method.upper()} {path}"
        for path, calls in running[2].app.openapi()["paths"].items() for method, call in calls.items()
        if {"accounts", "teams", "competition"} & set(call.get("tags", ()))
    }  # fmt: skip
    assert ours == set(TABLE)


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


ODD = (None, True, -1, 10**400, "", "x", "a@b.c", "\ud800", "\0", "\u202e", "é" * 300, [], {}, [None], ["compression"],
       "0001-01-01T00:00:00+23:59", "2025-03-01 AoE", "admin")  # fmt: skip
ODD_IDS = ("x", "%00", "%ff", "%0a", "%2e%2e", "ü", "'", "a" * 3000)


@pytest.mark.parametrize("role", ["admin", "participant"])
def test_odd_values_are_refused_or_taken_but_no_fault(site: Any, role: str) -> None:
    """Each field of each body, and each id of a path, is each odd value in turn."""
    browser: Any = site.user("asker", role)
    team = browser.post("/teams", json={"name": "Red", "tracks": ["compression"], **CERTIFIED}).json().get("id", "x")
    faults = []
    for endpoint, (_, body) in TABLE.items():
        method, path = endpoint.split()
        wrong = [{**body, key: odd} for key in body for odd in ODD] + [{**body, "\ud800": 1}] if body else [None]
        paths = [path.format_map(dict.fromkeys(PATHS, odd)) for odd in ODD_IDS] if "{" in path else []
        tried = [(path.format_map({**PATHS, "team_id": team, "user_id": browser.id}), each) for each in wrong]
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
