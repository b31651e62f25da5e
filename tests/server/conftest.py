"""A server's database, empty and up to date, on both engines; and a clock that stands still."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

import psycopg

from edgelm.server.database import Database

START = 1_735_689_600_000_000  # 2025-01-01 UTC, in microseconds
_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class StandingClock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL of our own, on a socket, without what makes it safe against power cuts."""
    found = shutil.which("initdb") or next((str(path / "initdb") for path in reversed(_BINARIES)), "")
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="edgelm-pg-"))
    data, as_other = folder / "data", list[str]()
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        try:
            other = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user postgres, and PostgreSQL does not run as root")
        os.chown(folder, other.pw_uid, other.pw_gid)
        as_other = ["setpriv", f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups"]
    tools = Path(found).parent
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=200"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*as_other, tools / "initdb", "-D", data, "-U", "edgelm", "-A", "trust"], **quiet)
    control = [*as_other, tools / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-l", folder / "log", "-o", options, "start"], **quiet)
    url = f"postgresql+psycopg://edgelm@/%s?host={folder}"
    try:
        _execute(url, "CREATE DATABASE empty")
        template = Database(url % "empty")
        template.migrate()
        template.close()
        yield url
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def sqlite_url(empty_sqlite: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_sqlite, tmp_path / 'edgelm.db')}"


@pytest.fixture
def postgresql_url(postgresql: str, tmp_path: Path) -> Iterator[str]:
    name = f"test_{sha256(bytes(tmp_path)).hexdigest()[:16]}"
    _execute(postgresql, f"CREATE DATABASE {name} TEMPLATE empty")
    yield postgresql % name
    _execute(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.close()


def _execute(url: str, statement: str) -> None:
    with psycopg.connect((url % "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)
