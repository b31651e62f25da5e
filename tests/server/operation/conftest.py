"""A server whose outbox is empty; and the other side of mail and webhooks, which takes what it is sent."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import socketserver
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from edgelm.server.database import Database
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Member, Team, User

START = 1_735_689_600_000_000
Serve = Callable[..., Any]


@pytest.fixture
def server(tmp_path: Path, url: str, database: Database, clock: Callable[[], int]) -> Server:
    """A server of two people, `ann`, who is captain of the team `red`, and `olga`, who organises."""
    with database.write() as session:
        for name, role in (("ann", "participant"), ("olga", "organiser")):
            session.add(User(id=name, email=f"{name}@example.org", name=name, password="", role=role, created=START))
        session.add(Team(id="red", name="Red", key="red", tracks=["compression"], created=START))
        session.flush()
        session.add(Member(user_id="ann", team_id="red", captain=True, joined=START))
    return Server(Settings(folder=tmp_path / "server", database=url), database, clock)


@pytest.fixture
def with_settings(server: Server) -> Callable[..., Server]:
    """`with_settings(smtp_host="…")`: the same server under other settings."""

    def make(**changes: Any) -> Server:
        return dataclasses.replace(server, settings=server.settings.model_copy(update=changes))

    return make


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail, unless told to refuse; `mails` are what it took."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.mails: list[EmailMessage] = []
        self.refused: dict[str, str] = {}  # what is said to addresses
        self.goodbye = "221 bye"  # "" to break off


class _Conversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                address = line.partition("<")[2].partition(">")[0]
                self._say(self.server.refused.get(address, "250 ok"))
            elif verb == "DATA":
                self._say("354 go on")
                self.server.mails.append(message_from_bytes(self._data(), policy=policy.default))
                self._say("250 taken")
            elif verb == "QUIT":
                if self.server.goodbye:
                    self._say(self.server.goodbye)
                return
            else:
                self._say("250 ok")

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        return b"".join(lines)

    def _say(self, words: str) -> None:
        self.wfile.write(words.encode() + b"\r\n")


class PostServer(http.server.ThreadingHTTPServer):
    """Takes what is posted: `posts` are headers and bodies."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Taking)
        self.posts: list[tuple[Any, bytes]] = []
        self.status = 200


class _Taking(http.server.BaseHTTPRequestHandler):
    server: PostServer

    def do_POST(self) -> None:
        self.server.posts.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve_mail() -> Iterator[Serve]:
    """`serve_mail(port)`: a mail server, on a free port if none is given, to the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda port=0: stack.enter_context(_running(MailServer(port)))


@pytest.fixture
def serve_posts() -> Iterator[Serve]:
    """`serve_posts(port)`: what takes webhooks, likewise."""
    with contextlib.ExitStack() as stack:
        yield lambda port=0: stack.enter_context(_running(PostServer(port)))


@contextlib.contextmanager
def _running(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
