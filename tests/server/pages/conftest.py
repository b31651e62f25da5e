"""A competition with people, and browsers that know HTML alone: they follow links and fill forms in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

import uvicorn
from fastapi.testclient import TestClient

from edgelm.pack import pack
from edgelm.rules.miniature import Miniature
from edgelm.server import accounts, competition, queue, slots, states
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.database import Database
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Finding, Line, Member, Phase, Submission, Team

DAY = 86_400 * 10**6
PASSWORD = "correct horse battery"
EVIL = """<script>alert("x")</script><img src=x onerror='alert(1)'>"""
ONE = "0123456789abcdef"  # the id of the submission of `site.submission`


class Forms(HTMLParser):
    """The forms of a page, by where they go to: what a browser would send of each, untouched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, dict[str, list[str]]] = {}
        self._form: dict[str, list[str]] | None = None
        self._select = ""
        self._area = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = self.found.setdefault(given["action"], {})
        elif self._form is not None and tag == "input" and "name" in given:
            if given.get("type") in ("checkbox", "radio"):
                if "checked" in given:
                    self._form.setdefault(given["name"], []).append(given.get("value", "on"))
            elif given.get("type") != "file":
                self._form.setdefault(given["name"], [given.get("value", "")])
        elif self._form is not None and tag == "textarea":
            self._area = given["name"]
            self._form[self._area] = [""]

    def handle_data(self, data: str) -> None:
        if self._area and self._form is not None:
            self._form[self._area] = [self._form[self._area][0] + data]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag == "textarea":
            self._area = ""


class Browser:
    """Somebody's browser without scripts; `page` is the answer that it shows."""

    def __init__(self, app: Any) -> None:
        self.http = TestClient(app, headers={"Accept": "text/html,*/*;q=0.8"}, raise_server_exceptions=False)
        self.page: Any = None

    def get(self, path: str) -> Any:
        self.page = self.http.get(path)
        return self.page

    @property
    def text(self) -> str:
        return str(self.page.text)

    @property
    def forms(self) -> dict[str, dict[str, list[str]]]:
        return Forms(self.text).found

    def send(self, action: str, files: Any = None, **values: Any) -> Any:
        """Fill a form of the page in and send it; the page that follows is shown."""
        fields = dict(self.forms[action])
        for name, value in values.items():
            fields[name] = [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
        self.page = self.http.post(action, data=fields, files=files)
        return self.page

    def log_in(self, name: str) -> Browser:
        self.get("/login")
        self.send("/login/form", email=f"{name}@example.org", password=PASSWORD)
        assert self.page.status_code == 200, self.text
        return self


class Site:
    """A running server, whose people and submissions are made as they are needed."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.app = create_app(server)
        self._password = server.passwords.digest(PASSWORD)

    def visitor(self) -> Browser:
        return Browser(self.app)

    def user(self, name: str, role: Any = "participant", called: str = "") -> Browser:
        """A new user's browser, who is logged in."""
        self.add_user(name, role, called)
        return self.visitor().log_in(name)

    def add_user(self, name: str, role: Any = "participant", called: str = "") -> str:
        with self.server.database.write() as session:
            user = accounts.register(session, email=f"{name}@example.org", name=called or name, role=role,
                                     password=self._password, now=self.server.clock())  # fmt: skip
            return user.id

    def team(self, *people: str, called: str = "Red Pandas", id: str = "red") -> Browser:
        """A new team of new users; the browser of its captain."""
        users = [self.add_user(person) for person in people]
        now = self.server.clock()
        with self.server.database.write() as session:
            session.add(Team(id=id, name=called, key=id, tracks=["compression", "from-scratch"], created=now))
            session.flush()
            for number, user in enumerate(users):
                session.add(Member(user_id=user, team_id=id, captain=number == 0, joined=now + number))
        return self.visitor().log_in(people[0])

    def submission(self, title: str = "Half the layers", findings: tuple[dict[str, Any], ...] = ()) -> str:
        """A submission of the team that waits for its evaluation; its id."""
        now = self.server.clock()
        with self.server.database.write() as session:
            user = session.query(Member).filter_by(team_id="red", captain=True).one().user_id
            one = Submission(id=ONE, team_id="red", user_id=user, track="compression", phase="autumn", title=title,
                             manifest="ab" * 32, received=now, state="checking", changed=now)  # fmt: skip
            session.add(one)
            session.flush()
            session.add_all(Finding(submission_id=ONE, number=number, body=body)
                            for number, body in enumerate(findings, start=1))  # fmt: skip
            slots.reserve(session, self.server.rules, one)
            states.move(session, SYSTEM, one, "accepted", now)
            states.move(session, SYSTEM, one, "queued", now)
            queue.enqueue(session, SYSTEM, key=f"evaluate/{ONE}", submission_id=ONE, kind="evaluate", now=now)
        return ONE

    def move(self, state: str, one: str = ONE, **said: str) -> None:
        with self.server.database.write() as session:
            found = session.get_one(Submission, one)
            states.move(session, SYSTEM, found, state, self.server.clock(), **said)
            if state == "running":
                slots.start(session, found)

    def write_log(self, *lines: str) -> None:
        with self.server.database.write() as session:
            job = session.query(queue.Job).filter_by(submission_id=ONE).one()
            for number, text in enumerate(lines, start=1):
                session.add(Line(job_id=job.id, number=number, time=self.server.clock(), text=text))


@pytest.fixture
def make_site(sqlite_url: str, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    databases = []

    def make(
        clock: Callable[[], int], phases: Sequence[str] = ("autumn",), url: str = sqlite_url, **settings: Any
    ) -> Site:
        given = {"rules": "miniature", "password_memory": 8, "part": 10_000, "title": "Edge LLM 2026",
                 "second_factor": False, "login_tries": 10**6, "changes": 10**6, **settings}  # fmt: skip
        database = Database(url)
        databases.append(database)
        server = Server(Settings(folder=tmp_path / "server", database=url, **given), database, clock)
        now = clock()
        with database.write() as session:
            competition.publish_rules(session, SYSTEM, server.rules, "as announced", now)
            session.add_all(Phase(name=name, kind="scored", opens=now - DAY, closes=now + 9 * DAY) for name in phases)
        return Site(server)

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def site(make_site: Callable[..., Site], clock: Any) -> Site:
    return make_site(clock)


MakePackage = Callable[..., Path]


@pytest.fixture
def make_package(tmp_path: Path) -> MakePackage:
    """`make_package("a", {"data.txt": b"…"})`: a package of no model that the checker accepts, with these sources."""

    def make(name: str = "package", source: dict[str, bytes] | None = None) -> Path:
        folder = tmp_path / f"{name}-source"
        folder.mkdir()
        for path, data in {"README.md": b"edgelm compress\n", **(source or {})}.items():
            (folder / path).write_bytes(data)
        pack({}, team="Red Pandas", track="compression", rules=Miniature(), source=folder, out=tmp_path / name,
             title=name, omitted={"base": "not done yet"})  # fmt: skip
        return tmp_path / name

    return make


@pytest.fixture
def serve() -> Iterator[Callable[[Site], None]]:
    """`serve(site)`: let a site be reached at its public address, without chores: nothing changes by itself."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(site: Site) -> None:
        port = int(site.server.settings.public_url.rpartition(":")[2])
        server = uvicorn.Server(uvicorn.Config(site.app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.02)

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()
