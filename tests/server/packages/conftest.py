"""A competition with a team in its scored phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from edgelm.pack import pack
from edgelm.rules import Rules
from edgelm.rules.miniature import Miniature
from edgelm.server import room
from edgelm.server.app import create_app
from edgelm.server.database import Database
from edgelm.server.keys import TOKEN, digest, new_key
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.storage import DiskFull
from edgelm.server.tables import Member, Phase, Submission, Team, Token, User

DAY = 86_400 * 10**6
START = 1_735_689_600_000_000

MakeSubmission = Callable[..., str]


@pytest.fixture
def rules() -> Rules:
    return Miniature(objection_days=7)


@pytest.fixture
def team(database: Database) -> str:
    """The id of a team with a captain and a member, in a competition whose scored phase is open."""
    with database.write() as session:
        session.add_all([
            Phase(name="preliminary", kind="preliminary", opens=START - 9 * DAY, closes=START - 2 * DAY),
            Phase(name="scored", kind="scored", opens=START - DAY, closes=START + 9 * DAY),
        ])  # fmt: skip
    return _add_team(database, "red")


@pytest.fixture
def add_team(database: Database) -> Callable[[str], str]:
    """`add_team("blue")`: another team with two members, registered for both tracks; its id is its name."""
    return lambda name: _add_team(database, name)


def _add_team(database: Database, name: str) -> str:
    with database.write() as session:
        session.add(Team(id=name, name=name, key=name, tracks=["compression", "from-scratch"], created=0))
        for number, who in enumerate(("captain", "member")):
            user = f"{name}-{who}"
            session.add(User(id=user, email=f"{user}@example.org", name=user, password="", role="participant",
                             created=0))  # fmt: skip
            session.flush()
            session.add(Member(user_id=user, team_id=name, captain=number == 0, joined=number))
    return name


@pytest.fixture
def handed_in(database: Database, team: str) -> MakeSubmission:
    """`handed_in("a")`: a submission of that manifest, without a slot; its id."""

    def make(manifest: str, state: str = "checking") -> str:
        with database.write() as session:
            session.add(Submission(
                id=manifest, team_id=team, user_id=f"{team}-captain", track="compression", phase="scored",
                manifest=manifest, title="", received=START, state=state, changed=START,
            ))  # fmt: skip
        return manifest

    return make


@pytest.fixture
def server(url: str, database: Database, clock: Callable[[], int], tmp_path: Path) -> Server:
    """A server under the small rules, whose parts of uploads are small."""
    settings = Settings(folder=tmp_path / "server", database=url, rules="miniature:objection_days=7", part=10_000)
    return Server(settings, database, clock)


@pytest.fixture
def app(server: Server) -> Iterator[TestClient]:
    with TestClient(create_app(server)) as client:
        yield client


Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def bearer(database: Database) -> Bearer:
    """`bearer("red-captain")`: the headers of a user's token."""

    def make(user: str, *scopes: str) -> dict[str, str]:
        key = new_key(TOKEN)
        with database.write() as session:
            session.add(Token(sha256=digest(key), user_id=user, name="", scopes=list(scopes or ("read", "submit")),
                              created=0, expires=2**62, used=None))  # fmt: skip
        return {"Authorization": f"Bearer {key}"}

    return make


Promised = Callable[[], int]


@pytest.fixture
def promised(server: Server) -> Promised:
    """`promised()`: bytes of the disk that are kept for what is on its way."""

    def told() -> int:
        with server.database.read() as session, pytest.raises(DiskFull) as refused:
            room.require_disk(session, server.storage, {}, 2**62)
        return int(refused.value.why.split(" bytes, and ")[1].split()[0].replace(",", ""))

    return told


MakePackage = Callable[..., Path]


@pytest.fixture
def make_package(tmp_path: Path, rules: Rules) -> MakePackage:
    """`make_package("a", {"data.txt": b"…"})`: a package of no model that the checker accepts, with these sources."""

    def make(name: str = "package", source: dict[str, bytes] | None = None, **fields: str) -> Path:
        folder = tmp_path / f"{name}-source"
        folder.mkdir()
        for path, data in {"README.md": b"edgelm compress\n", **(source or {})}.items():
            (folder / path).write_bytes(data)
        pack({}, team="red", track="compression", rules=rules, source=folder, out=tmp_path / name,
             title=fields.get("title", name), omitted={"base": "not done yet"})  # fmt: skip
        return tmp_path / name

    return make
