"""A server's database, empty and up to date, on both engines; and a clock that stands still."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

import psycopg

from edgelm.server.database import Database

START = 1_735_689_600_000_000  # 2025-01-01 UTC, in microseconds
ON_SLOW_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
ON_BOTH = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class StandingClock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1e6)


@pytest.fixture(autouse=True, scope="session")
def pages_of_now() -> Iterator[None]:
    """Tests see boards as they are, and not as they were for another a moment ago."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELM_SERVER_PAGE_SECONDS", "0")
        yield


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


class Cluster:
    """A PostgreSQL of our own, on a socket; the address of its databases is `url % name`."""

    def __init__(self, folder: Path, *, safe: bool) -> None:
        found = shutil.which("initdb") or next((str(path / "initdb") for path in reversed(_BINARIES)), "")
        if not found:
            pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
        self._folder, self._data, as_other = folder, folder / "data", list[str]()
        if os.geteuid() == 0:  # PostgreSQL does not run as root
            try:
                other = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("there is no user postgres, and PostgreSQL does not run as root")
            os.chown(folder, other.pw_uid, other.pw_gid)
            as_other = ["setpriv", f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups"]
        tools = Path(found).parent
        self._options = f"-k {folder} -c listen_addresses='' -c max_connections=200 -c fsync={'on' if safe else 'off'}"
        self._control = [*as_other, tools / "pg_ctl", "-D", self._data, "-w"]
        self._run(*as_other, tools / "initdb", "-D", self._data, "-U", "edgelm", "-A", "trust")
        self.url = f"postgresql+psycopg://edgelm@/%s?host={folder}"

    def start(self) -> None:
        self._run(*self._control, "-l", self._folder / "log", "-o", self._options, "start")

    def stop(self) -> None:
        """At once, as a machine does that loses its power."""
        self._run(*self._control, "-m", "immediate", "stop")

    def _run(self, *words: str | Path) -> None:
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)


@contextlib.contextmanager
def a_cluster(*, safe: bool) -> Iterator[Cluster]:
    """A cluster that has started, with a database `empty` whose tables are up to date; `safe` is against power cuts."""
    folder = Path(tempfile.mkdtemp(prefix="edgelm-pg-"))  # the path of a socket must be short
    try:
        cluster = Cluster(folder, safe=safe)
        cluster.start()
        try:
            _execute(cluster.url, "CREATE DATABASE empty")
            template = Database(cluster.url % "empty")
            template.migrate()
            template.close()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmarks and the training data, in miniature."""
    from .whole import tiny

    return tiny.data(tmp_path_factory.mktemp("suite") / "data")


@pytest.fixture(scope="module")
def models(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """A model that is trained on it, then smaller ones that are made of that one."""
    from .whole import tiny

    return tiny.models(data, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key that organisers sign with, as they make it; the public one lies beside it as `.pub`."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed (Debian: openssh-client)")
    path = tmp_path_factory.mktemp("key") / "organisers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of the databases of a quick cluster."""
    with a_cluster(safe=False) as cluster:
        yield cluster.url


@pytest.fixture
def unsteady_postgresql() -> Iterator[Cluster]:
    """A cluster of the test's own, for it to stop and start."""
    with a_cluster(safe=True) as cluster:
        yield cluster


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


@pytest.fixture(scope="session")
def made_postgresql(postgresql: str) -> Callable[[str], str]:
    """`made_postgresql("name")`: the address of a new database with empty tables, which is kept to the end."""

    def make(name: str) -> str:
        _execute(postgresql, f"CREATE DATABASE {name} TEMPLATE empty")
        return postgresql % name

    return make


@pytest.fixture
def postgresql_url(postgresql: str, tmp_path: Path) -> Iterator[str]:
    name = f"test_{sha256(bytes(tmp_path)).hexdigest()[:16]}"
    _execute(postgresql, f"CREATE DATABASE {name} TEMPLATE empty")
    yield postgresql % name
    _execute(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", ON_SLOW_POSTGRESQL])
def url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, of each kind in turn; both are always tried where it matters (`ON_BOTH`)."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    yield made
    made.close()


def _execute(url: str, statement: str) -> None:
    with psycopg.connect((url % "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement)
