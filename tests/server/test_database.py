"""One writer at a time, tables up and down, a log that cannot be changed; on SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DBAPIError

from edgelm.server import audit
from edgelm.server.audit import SYSTEM
from edgelm.server.database import Database
from edgelm.server.tables import Announcement, Table

from .conftest import ON_BOTH

pytestmark = ON_BOTH


def announce(database: Database, title: str) -> None:
    with database.write() as session:
        session.add(Announcement(title=title, body="", created=0))


def titles(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Announcement.title)))


def test_the_migrations_make_the_tables_that_the_program_knows(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_migrations_go_down_and_up_again(database: Database) -> None:
    announce(database, "one")
    database.migrate("base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    database.migrate()
    assert titles(database) == []


def test_what_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        session.add(Announcement(title="half", body="", created=0))
        session.flush()
        raise RuntimeError
    assert titles(database) == []


def test_writers_follow_one_another(database: Database) -> None:
    """Fifty read what is there and add one: none sees what another has not yet finished."""
    announce(database, "0")

    def add() -> None:
        with database.write() as session:
            session.add(Announcement(title=str(len(session.scalars(select(Announcement)).all())), body="", created=0))

    threads = [threading.Thread(target=add) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, titles(database))) == list(range(51))


def test_a_reader_sees_one_state_and_waits_for_no_writer(database: Database) -> None:
    announce(database, "one")
    with database.read() as reader:
        assert len(reader.scalars(select(Announcement)).all()) == 1
        announce(database, "two")
        assert len(reader.scalars(select(Announcement)).all()) == 1


@pytest.mark.parametrize("statement", ["UPDATE audit SET reason = 'other'", "DELETE FROM audit"])
def test_the_audit_log_is_only_appended_to(database: Database, statement: str) -> None:
    with database.write() as session:
        audit.record(session, SYSTEM, "team.create", "red", 5, after={"name": "red"}, reason="why not")
    with pytest.raises(DBAPIError, match="appended"), database.write() as session:
        session.execute(text(statement))


def test_the_chain_says_where_it_breaks(database: Database) -> None:
    with database.write() as session:
        for number in range(5):
            audit.record(session, SYSTEM, "team.create", str(number), number)
    with database.read() as session:
        assert audit.first_break(session) is None
        assert audit.head(session)[0] == 5
    with database.write() as session:
        _allow(session)
        session.execute(text("UPDATE audit SET actor = 'nobody' WHERE number = 3"))
    with database.read() as session:
        assert audit.first_break(session) == 3
    with database.write() as session:
        _allow(session)
        session.execute(text("DELETE FROM audit WHERE number = 3"))
    with database.read() as session:
        assert audit.first_break(session) == 3


def _allow(session: Any) -> None:
    """What only someone with the database itself in hand can do."""
    if session.bind.dialect.name == "sqlite":
        for name in ("update", "delete"):
            session.execute(text(f"DROP TRIGGER IF EXISTS audit_{name}"))
    else:
        session.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
