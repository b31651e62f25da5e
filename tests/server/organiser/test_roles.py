"""Who may do what: every call of operations, reviews, audit log and stage 2, by every kind of asker, in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edgelm.rules.miniature import Miniature
from edgelm.score.standings import standings
from edgelm.server import accounts
from edgelm.server.access import FRESH
from edgelm.server.app import create_app
from edgelm.server.database import Database
from edgelm.server.keys import digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Examination, Finding, Job, Member, Phase, Revision, Submission, Team, User, Worker

NOW = 1_735_689_600_000_000
ASKERS = ("visitor", "member", "captain", "reviewer", "organiser", "admin", "stale", "worker")
# `stale` is an administrator whose password was given some time ago.
ALL = "2" * 8
WHY = {"reason": "x"}
ON_TRACK = {"track": "compression", **WHY}
RULES = json.loads(Miniature(places=9).to_bytes())
FINAL = standings(Miniature(), Miniature().track("compression"), [], state="final").to_bytes()
FIGURES = {"checkpoints": {}, "agreement": "1", "self_agreement": "1", "tasks": {}, "throughput": None, "peaks": {},
           "runs_on_phone": True}  # fmt: skip
# The answers' statuses by asker: 2 done, 1 log in, 3 forbidden, 4 there is no such thing, 9 conflict, 0 malformed.
TABLE: dict[str, tuple[str, Any]] = {
    #                                                  v m c r o a s w
    "GET /admin/queue":                              ("13332223", None),
    "POST /admin/queue/pause":                       ("13332223", WHY),
    "POST /admin/queue/resume":                      ("13332223", WHY),
    "POST /admin/jobs/{job}/requeue":                ("13332223", WHY),
    "POST /admin/jobs/{waiting}/priority":           ("13332223", {"priority": 1, **WHY}),
    "POST /admin/submissions/{scored}/rerun":        ("13332223", WHY),
    "POST /admin/submissions/{scored}/rescore":      ("13332223", WHY),
    "POST /admin/submissions/{queued}/cancel":       ("13332223", WHY),
    "POST /admin/rules":                             ("13332213", {"rules": RULES, **WHY}),
    "GET /admin/audit":                              ("13332223", None),
    "POST /admin/audit/verify":                      ("13332223", None),
    "GET /audit/heads":                              (ALL, None),
    "GET /admin/export":                             ("13332223", None),
    "GET /admin/reviews":                            ("13322223", None),
    "GET /admin/reviews/duplicates":                 ("13322223", None),
    "POST /admin/reviews/{scored}/clear":            ("13322223", WHY),
    "POST /admin/reviews/{scored}/confirm":          ("13322213", {"offence": "quantised", "evidence": "y", **WHY}),
    "GET /stage2/{track}":                           (ALL, None),
    "GET /teams/{team}/stage2":                       ("12222224", None),
    "POST /stage2/{track}/material":                 ("14433331", {"upload": "0" * 16}),
    "GET /admin/stage2/{track}":                     ("13332223", None),
    "POST /admin/stage2":                            ("13339993", ON_TRACK),  # it has begun
    "POST /admin/stage2/draw":                       ("13339993", {"seed": "x", **ON_TRACK}),  # nobody waits
    "PUT /admin/stage2/{team}/figures":              ("13339993", {"track": "compression", "figures": FIGURES}),
    "POST /admin/stage2/{team}/withdrawn":           ("13332223", ON_TRACK),
}  # fmt: skip
STATUS = {"2": (200, 201), "1": (401,), "3": (403,), "4": (404,), "9": (409,), "0": (400,)}
PATHS = {"job": "failed", "waiting": "waiting", "scored": "scored", "queued": "queued", "track": "compression",
         "team": "red"}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> tuple[Path, dict[str, dict[str, str]]]:
    """A database with all askers and something of each kind in it, and the headers by which each is known."""
    path = tmp_path_factory.mktemp("organisers") / "organisers.db"
    shutil.copy(empty_sqlite, path)
    database = Database(f"sqlite:///{path}")
    known: dict[str, dict[str, str]] = {"visitor": {}, "worker": {"Authorization": "Bearer edgelm_w_x"}}
    with database.write() as session:
        session.add(Phase(name="main", kind="scored", opens=NOW - 1, closes=NOW + 1))
        session.add(Phase(name="second", kind="stage-2", opens=NOW - 1, closes=NOW + 1))
        session.add(Team(id="red", name="red", key="red", tracks=["compression"], created=NOW))
        session.add(Worker(name="gpu-1", sha256=digest("edgelm_w_x"), tags=[], created=NOW))
        for name in ASKERS[1:-1]:
            role = {"member": "participant", "captain": "participant", "stale": "admin"}.get(name, name)
            user = User(id=name, email=f"{name}@e.org", name=name, password="", role=role, created=NOW)
            session.add(user)
            session.flush()
            if role == "participant":
                session.add(Member(user_id=name, team_id="red", captain=name == "captain", joined=NOW))
            cookie, login = accounts.log_in(session, name, NOW - FRESH if name == "stale" else NOW, 12)
            user.second_step = int(role != "participant")
            known[name] = {"Cookie": f"edgelm={cookie}", "X-CSRF-Token": login.csrf}
        for state, job in (("scored", "done"), ("failed", "failed"), ("queued", "waiting")):
            session.add(Submission(id=state, team_id="red", user_id="captain", track="compression", phase="main",
                                   manifest=state, title="", received=NOW, state=state, changed=NOW))  # fmt: skip
            session.flush()
            session.add(Job(id=job, key=job, submission_id=state, kind="evaluate", tags=[], state=job, created=NOW))
        session.add(Finding(submission_id="scored", number=1, body={"severity": "R", "code": "QNT-05"}))
        session.get_one(Submission, "scored").review = "open"
        session.add(Revision(track="compression", number=1, state="final", standings=digest(FINAL.decode()), entries="",
                             decisions="", created=NOW, reason=""))  # fmt: skip
        session.add(Examination(submission_id="scored", track="compression", team_id="red", rank=1, state="invited",
                                due=True, changed=NOW))  # fmt: skip
    database.close()
    return path, known


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Database, TestClient]:
    """One application, whose database is put back before each call."""
    folder = tmp_path_factory.mktemp("running")
    settings = Settings(folder=folder, rules="miniature", password_memory=8, changes=10**6)
    database = Database(settings.database_url)
    server = Server(settings, database, lambda: NOW)
    server.storage.put(FINAL)
    app = create_app(server)
    return folder / "edgelm.db", database, TestClient(app, raise_server_exceptions=False)


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
        answer = client.request(method, path.format_map(PATHS), json=body, headers=known[asker])
        found[asker] = next((sign for sign, codes in STATUS.items() if answer.status_code in codes), answer.text)
        if answer.status_code >= 400:
            assert answer.json().keys() == {"code", "what", "why", "mend"}
    assert found == dict(zip(ASKERS, expected, strict=True))


def test_every_call_stands_in_the_table(running: Any) -> None:
    kinds = {"operations", "audit", "reviews", "stage2"}
    ours = {
        f"{method.upper()} {path}"
        for path, calls in running[2].app.openapi()["paths"].items() for method, call in calls.items()
        if kinds & set(call.get("tags", ()))
    }  # fmt: skip
    names = {"{waiting}": "{job}", "{scored}": "{submission}", "{queued}": "{submission}", "withdrawn": "{event}"}
    assert {_named(endpoint, names) for endpoint in TABLE} - {"POST /admin/rules"} == ours


def _named(endpoint: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        endpoint = endpoint.replace(ours, theirs)
    return endpoint
