"""A database that goes away in the middle of everything, and one that somebody holds: what was answered stays."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.server import accounts
from edgelm.server.app import create_app
from edgelm.server.audit import first_break
from edgelm.server.database import Database
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Announcement

ENOUGH = 12  # announcements
KILLS = 3


def _organiser(server: Server) -> TestClient:
    with server.database.write() as session:
        user = accounts.register(session, email="o@example.org", name="o", password="", now=server.clock(),
                                 role="organiser")  # fmt: skip
        cookie, login = accounts.log_in(session, user.id, server.clock(), 12)
        user.second_step = 1
    browser = TestClient(create_app(server), raise_server_exceptions=False)
    browser.cookies.set("edgelm", cookie)
    browser.headers["X-CSRF-Token"] = login.csrf
    return browser


def _server(folder: Path, url: str, clock: Any) -> Server:
    return Server(Settings(folder=folder, database=url, password_memory=8), Database(url), clock)


def _say(browser: TestClient, number: int) -> int:
    """Announce something, with the key by which it may be sent again."""
    said = {"title": f"number {number}", "body": "x"}
    return browser.post("/admin/announcements", json=said, headers={"Idempotency-Key": f"n{number}"}).status_code


def test_what_was_answered_outlives_a_database_that_crashes(
    unsteady_postgresql: Any, tmp_path: Path, clock: Any
) -> None:
    server = _server(tmp_path, unsteady_postgresql.url % "empty", clock)
    browser = _organiser(server)
    done, away = 0, 0
    for _ in range(KILLS):
        crashed = threading.Thread(target=unsteady_postgresql.stop)
        crashed.start()
        while crashed.is_alive() or not away:
            status = _say(browser, done)
            assert status in (201, 503)
            done, away = done + (status == 201), away + (status == 503)
        crashed.join()
        assert _say(browser, done) == browser.get("/ready").status_code == 503
        assert browser.get("/health").status_code == 200
        unsteady_postgresql.start()
        assert _say(browser, done) == 201
        done, away = done + 1, 0
    with server.database.read() as session:
        titles = [row.title for row in session.query(Announcement)]
        assert sorted(titles) == sorted(f"number {number}" for number in range(done))
        assert first_break(session) is None
    server.database.close()


def test_writers_wait_for_one_that_holds_the_database(url: str, tmp_path: Path, clock: Any) -> None:
    server = _server(tmp_path, url, clock)
    browser = _organiser(server)
    statuses: list[int] = []
    waiting = [threading.Thread(target=lambda n=n: statuses.append(_say(browser, n))) for n in range(ENOUGH)]
    other = Database(url)  # of another process, which lines up by the engine alone
    with other.write() as session:
        session.execute(select(1))  # a transaction begins with its first statement
        for thread in waiting:
            thread.start()
        assert browser.get("/announcements").json() == []  # readers wait for nobody
        waiting[0].join(0.2)
        assert not statuses
    for thread in waiting:
        thread.join()
    assert statuses == [201] * ENOUGH
    assert len(browser.get("/announcements").json()) == ENOUGH
    other.close()
    server.database.close()
