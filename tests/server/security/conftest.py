"""A competition in which all is there that a call can be about, and everybody who may ask."""

from __future__ import annotations

import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from fastapi.testclient import TestClient

from edgelm.server import accounts, competition
from edgelm.server.access import FRESH, SCOPES
from edgelm.server.audit import SYSTEM
from edgelm.server.database import Database
from edgelm.server.keys import TOKEN, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Member, Team, Token, User

from ..boards.conftest import DAY, RULES, START, TRACK, Competition
from .things import DEPUTY, MARK, SECOND, add_hold_outs, add_things

PASSWORD = "correct horse battery"
PEOPLE = {  # by name, role and team
    "alone": ("participant", ""), "outsider": ("participant", "blue"), "member": ("participant", "red"),
    "captain": ("participant", "red"), "reviewer": ("reviewer", ""), "organiser": ("organiser", ""),
    "admin": ("admin", ""), "stale": ("admin", ""), SECOND: ("participant", "red"), DEPUTY: ("organiser", ""),
}  # fmt: skip
# Who asks. `outsider` is captain of another team; `stale` is an administrator whose password was given some time ago;
# the last four are tokens of one scope each: the captain's, but `organise`, which is an organiser's.
ASKERS = ("visitor", "alone", "outsider", "member", "captain", "reviewer", "organiser", "admin", "stale", "worker",
          "read", "submit", "team", "organise")  # fmt: skip
SCORE = Fraction(1618033, 31337)  # percent, of the hold-out: figures that stand for nothing else


@dataclass
class World:
    """A server, the names of what is in it, and the headers by which it knows each of those who ask."""

    server: Server
    client: TestClient
    names: dict[str, str]  # by what stands for them in paths
    known: dict[str, dict[str, str]]
    saved: Path  # the database as it was

    def ask(self, asker: str, method: str, path: str, body: Any = None, **names: str) -> Any:
        """Send a request as somebody: dicts as JSON, tuples of pairs as forms, bytes as parts of files."""
        headers, more = dict(self.known[asker]), {}
        if path.startswith(("/tus", "/blobs")):
            headers |= {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Upload-Length": "6",
                        "Upload-Metadata": f"sha256 {b64encode(self.names['wanted'].encode()).decode()}"}  # fmt: skip
        if isinstance(body, bytes):
            kind = "application/octet-stream" if path.startswith("/jobs") else "application/offset+octet-stream"
            headers, more = {**headers, "Content-Type": kind}, {"content": body}
        elif body is not None:
            more = {"data": dict(body)} if isinstance(body, tuple) else {"json": body}
        self.client.cookies.clear()
        where = path.format_map({**self.names, **names})
        return self.client.request(method, where, headers=headers, follow_redirects=False, **more)

    def restore(self) -> None:
        """Put the database back to what it was."""
        place = Path(self.server.settings.database_url.removeprefix("sqlite:///"))
        self.server.database.close()
        for ending in ("-wal", "-shm"):
            Path(f"{place}{ending}").unlink(missing_ok=True)
        shutil.copy(self.saved, place)


class _Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)


MakeWorld = Callable[[str], World]
STATES = ("live", "frozen", "provisional", "final")


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: Path) -> Iterator[MakeWorld]:
    """`make_world("live")`: a world whose board is in that state, made once: restore what you change."""
    made: dict[str, World] = {}

    def make(state: str) -> World:
        if state not in made:
            made[state] = _made(tmp_path_factory.mktemp(state), empty_sqlite, state)
        return made[state]

    yield make
    for world in made.values():
        world.server.database.close()


@pytest.fixture(scope="session")
def world(make_world: MakeWorld) -> World:
    """One whose board is live: packages are handed in and evaluated."""
    return make_world("live")


def _made(folder: Path, empty: Path, state: str) -> World:
    path = folder / "edgelm.db"
    shutil.copy(empty, path)
    clock = _Clock()
    settings = Settings(folder=folder, rules=RULES, password_memory=8, login_tries=10**6, changes=10**6,
                        smtp_host="mail.example.org")  # fmt: skip
    server = Server(settings, Database(settings.database_url), clock)
    held = Competition(server, clock)
    scored = held.scored("red", (1, 1, 0), (1, 1, 0), 1, SCORE)  # type: ignore[arg-type]
    held.scored("blue", (1, 0, 0), (1, 0, 0), 2, 53)
    with server.database.write() as session:
        competition.publish_rules(session, SYSTEM, server.rules, "as announced", START)
        add_hold_outs(session, server, scored)
    _bring(held, state)
    known: dict[str, dict[str, str]] = {"visitor": {}, "worker": {"Authorization": "Bearer edgelm_w_x"}}
    with server.database.write() as session:
        known |= _people(session, server)
        names = add_things(session, server, scored, clock() + DAY)
    server.database.close()
    saved = folder / "saved.db"
    shutil.copy(path, saved)
    return World(server, TestClient(held.app, raise_server_exceptions=False), names, known, saved)


def _bring(held: Competition, state: str) -> None:
    """Bring the board into a state, as two organisers do."""
    held.follow()
    if state == "live":
        return
    held.close()
    first, other = held.browser("first", "organiser"), held.browser("other", "organiser")
    for each in ("provisional", "final"):
        if state != "frozen":
            answer = held.decide("publish", {"track": TRACK, "state": each}, first, other)
            assert answer.status_code == 200, answer.text
        if state in (each, "frozen"):
            return
        held.clock.pass_seconds(8 * 86_400)


def _people(session: Any, server: Server) -> dict[str, dict[str, str]]:
    """Everybody, and the headers by which they are known; all they call themselves and their teams is marked."""
    password, now, known = server.passwords.digest(PASSWORD), server.clock(), {}
    session.get_one(Team, "red").name = f"red{MARK}"
    for name, (role, team) in PEOPLE.items():
        session.add(User(id=name, email=f"{name}@e.org", name=f"{name}{MARK}", password=password, role=role,
                         created=now))  # fmt: skip
        session.flush()
        if team:
            session.add(Member(user_id=name, team_id=team, captain=name in ("captain", "outsider"), joined=now))
        cookie, login = accounts.log_in(session, name, now - FRESH if name == "stale" else now, 12)
        session.get_one(User, name).second_step = int(role != "participant")
        known[name] = {"Cookie": f"edgelm={cookie}", "X-CSRF-Token": login.csrf}
    for scope in SCOPES:
        user = "organiser" if scope == "organise" else "captain"
        session.add(Token(sha256=digest(TOKEN + scope), user_id=user, name=scope, scopes=[scope], created=now,
                          expires=now + DAY))  # fmt: skip
        known[scope] = {"Authorization": f"Bearer {TOKEN}{scope}"}
    return known
