"""The database: one writer at a time, on SQLite as on PostgreSQL.

What must not happen twice (a slot taken, a job leased) is decided inside a writing transaction, and these follow one
another: SQLite's `BEGIN IMMEDIATE` sees to it, and a lock for the time of the transaction does on PostgreSQL. Reading
waits for nobody. A competition writes some ten times a second at the most. Within one process writers line up before
they take a connection: waiting costs nothing then, and no engine's way of asking again and again decides who is next.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import TimeoutError
from sqlalchemy.orm import Session

_PATIENCE = 30  # seconds that a writer waits for its turn
_POOL: dict[str, Any] = {
    "pool_size": 10,
    "max_overflow": 50,
}  # connections: one to write, the others to read
_LOCK = 0x65646765  # any number that other programs on the same database do not take


class Database:
    """The tables of one competition.

    Args:
        url: SQLAlchemy's address, `sqlite:///…` or `postgresql+psycopg://…`.
    """

    def __init__(self, url: str) -> None:
        self.engine = _sqlite(url) if url.startswith("sqlite") else _postgresql(url)
        levels = {} if self.engine.dialect.name == "sqlite" else {"isolation_level": "READ COMMITTED"}
        self._writing = self.engine.execution_options(writes=True, **levels)
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one state of all tables and changes nothing; its rows can be read behind it."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is alone in writing: all of it is kept at the end, or nothing if the block raises.

        Raises:
            TimeoutError: of SQLAlchemy; others write for too long.
        """
        if not self._turn.acquire(timeout=_PATIENCE):
            raise TimeoutError(f"others have written for {_PATIENCE} seconds")
        try:
            with Session(self._writing, expire_on_commit=False) as session, session.begin():
                yield session
        finally:
            self._turn.release()

    def migrate(self, to: str = "head") -> None:
        """Bring the tables up to this version of the program; `to` names another, "base" none at all."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._writing.connect() as connection:
            config.attributes["connection"] = connection
            (command.downgrade if to == "base" else command.upgrade)(config, to)
            connection.commit()

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _PATIENCE}, **_POOL)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")

    return engine


def _postgresql(url: str) -> Engine:
    engine = create_engine(url, isolation_level="REPEATABLE READ", pool_pre_ping=True, **_POOL)

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        if _writes(connection):  # at this level each statement sees what was written before the lock was had
            connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})

    return engine


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes"))
