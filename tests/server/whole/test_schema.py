"""The calls as their own description has them, with whatever the description allows and much that it does not, by role.

Each call is tried by each role a hundredth of EDGELM_FUZZ times, at the least three.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from edgelm.server import accounts, api
from edgelm.server.app import create_app
from edgelm.server.database import Database
from edgelm.server.keys import digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Job, Member, Phase, Submission, Team, User, Worker

from ..conftest import ON_SLOW_POSTGRESQL

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
NOW = 1_735_689_600_000_000
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
ID = "0123456789abcdef"
ASKERS = ("visitor", "captain", "organiser", "admin", "worker")
EXAMPLES = max(3, int(os.environ.get("EDGELM_FUZZ", "0")) // 100)
Known = tuple[Any, dict[str, dict[str, str]]]
_KNOWN = {  # what stands for any parameter of that name, so that calls get beyond `there is no such thing`
    "submission": ID, "team": "red", "team_id": "red", "user_id": "second", "job_id": ID, "name": "gpu-1",
    "track": "compression", "upload": ID, "sha256": digest("x"),
}  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", ON_SLOW_POSTGRESQL])
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    """The application of a competition under way, and the headers by which it knows each of those who ask."""
    url = request.getfixturevalue("made_postgresql")("schema") if request.param == "postgresql" else ""
    made = Settings(database=url, folder=tmp_path_factory.mktemp("server"), rules="miniature", password_memory=8,
                    login_tries=10**6, changes=10**6)  # fmt: skip
    database = Database(made.database_url)
    database.migrate()
    headers: dict[str, dict[str, str]] = {"visitor": {}, "worker": {"Authorization": "Bearer edgelm_w_x"}}
    with database.write() as session:
        session.add(Phase(name="main", kind="scored", opens=NOW - 1, closes=NOW + 10**12))
        session.add(Team(id="red", name="red", key="red", tracks=["compression"], created=NOW))
        session.add(Worker(name="gpu-1", sha256=digest("edgelm_w_x"), tags=[], created=NOW))
        for name, role in (("captain", "participant"), ("second", "participant"), ("organiser", "organiser"),
                           ("admin", "admin")):  # fmt: skip
            session.add(User(id=name, email=f"{name}@e.org", name=name, password="", role=role, created=NOW))
            session.flush()
            if role == "participant":
                session.add(Member(user_id=name, team_id="red", captain=name == "captain", joined=NOW))
            cookie, login = accounts.log_in(session, name, NOW, 12)
            headers[name] = {"Cookie": f"edgelm={cookie}", "X-CSRF-Token": login.csrf}
            session.get_one(User, name).second_step = int(role != "participant")
        session.add(Submission(id=ID, team_id="red", user_id="captain", track="compression", phase="main",
                               manifest=digest("x"), title="", received=NOW, state="running", changed=NOW))  # fmt: skip
        session.flush()
        session.add(Job(id=ID, key="evaluate", submission_id=ID, kind="evaluate", tags=[], state="leased",
                        worker="gpu-1", fence=1, attempt=1, lease_ends=NOW + 10**12, created=NOW))  # fmt: skip
    yield create_app(Server(made, database, lambda: NOW)), headers
    database.close()


@pytest.fixture(scope="module")
def described(known: Any) -> Any:
    """The application's own description of its calls."""
    return schemathesis.openapi.from_asgi("/openapi.json", known[0])


def _calls() -> Iterator[tuple[str, str]]:
    """All calls but the stream, which does not end by itself, and the one after which nobody is known any more."""
    for module in pkgutil.iter_modules(api.__path__):
        for route in import_module(f"{api.__name__}.{module.name}").router.routes:
            if not route.path.endswith("/events") and route.path != "/logout":
                yield from ((method, route.path) for method in sorted(route.methods))


@pytest.mark.parametrize(("method", "path"), list(_calls()))
def test_no_call_is_a_fault_of_the_server(method: str, path: str, known: Any, described: Any) -> None:
    @given(case=described[path][method].as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def hold(case: Any) -> None:
        for name in case.path_parameters or {}:
            if name in _KNOWN and len(str(case.path_parameters[name])) % 4:  # three in four
                case.path_parameters[name] = _KNOWN[name]
        for asker in ASKERS:
            answer = case.call(headers=known[1][asker])
            assert answer.status_code < 500, f"{asker}: {case.formatted_path} {case.body!r}: {answer.text}"
            if answer.status_code >= 400 and method != "HEAD":
                assert set(answer.json()) == {"code", "what", "why", "mend"}, answer.text

    hold()
