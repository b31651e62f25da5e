"""A server with people, and a browser for each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from fastapi.testclient import TestClient

from edgelm.server import accounts
from edgelm.server.app import create_app
from edgelm.server.database import Database
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Login, Member, Team, User

PASSWORD = "correct horse battery"


class Site:
    """A running server, whose people are made as they are needed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.app = create_app(server)
        self.password = server.passwords.digest(PASSWORD)

    def browser(self) -> TestClient:
        """Somebody's browser, without a login."""
        return TestClient(self.app, raise_server_exceptions=False)

    def user(self, name: str, role: Any = "participant") -> TestClient:
        """The browser of a new user, who is logged in; `client.id` is the user's."""
        with self.server.database.write() as session:
            now = self.server.clock()
            user = accounts.register(
                session, email=f"{name}@example.org", name=name, password=self.password, now=now, role=role
            )
            user.second_step = int(role != "participant")
            cookie, login = self._open(session, user)
        return self._logged_in(user.id, cookie, login)

    def again(self, user_id: str) -> TestClient:
        """Another browser of the same user."""
        with self.server.database.write() as session:
            user = session.get(User, user_id)
            cookie, login = self._open(session, user)
        return self._logged_in(user_id, cookie, login)

    def team(self, name: str, *people: str) -> tuple[Any, ...]:
        """A team of new users, the first of them its captain: its id, then their browsers."""
        browsers = [self.user(person) for person in people]
        with self.server.database.write() as session:
            team = Team(name=name, key=name.casefold(), tracks=["compression"], created=self.server.clock())
            session.add(team)
            session.flush()
            for number, browser in enumerate(browsers):
                joined = self.server.clock() + number
                session.add(Member(user_id=browser.id, team_id=team.id, captain=number == 0, joined=joined))
        return (team.id, *browsers)

    def with_settings(self, **changes: Any) -> Site:
        """The same database under other settings."""
        return Site(dataclasses.replace(self.server, settings=self.server.settings.model_copy(update=changes)))

    def _open(self, session: Any, user: User) -> tuple[str, Login]:
        step, user.second_step = user.second_step, 0
        opened = accounts.log_in(session, user.id, self.server.clock(), self.server.settings.login_hours)
        user.second_step = step
        return opened

    def _logged_in(self, user_id: str, cookie: str, login: Login) -> TestClient:
        browser: Any = self.browser()
        browser.cookies.set("edgelm", cookie)
        browser.headers["X-CSRF-Token"] = login.csrf
        browser.id = user_id
        return browser


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    return Settings(folder=tmp_path, database=url, password_memory=8, login_tries=10**6, changes=10**6,
                    smtp_host="mail.example.org")  # fmt: skip


@pytest.fixture
def site(settings: Settings, database: Database, clock: Any) -> Iterator[Site]:
    yield Site(Server(settings, database, clock))
