"""A server that answers on a port of this machine, and a person's way to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import uvicorn

from edgelm.server import second_factor
from edgelm.server.app import create_app
from edgelm.server.state import Server

PASSWORD = "correct horse battery"
_STEP = 30  # seconds that a one-time password lasts


@contextlib.contextmanager
def hosted(server: Server) -> Iterator[str]:
    """The address of a server that answers until the block ends."""
    running = uvicorn.Server(uvicorn.Config(
        create_app(server), log_config=None, access_log=False, timeout_graceful_shutdown=1
    ))  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `edgelm serve` does
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while thread.is_alive() and not running.started:
                time.sleep(0.01)
            assert running.started
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


class Person:
    """Somebody with a browser, who has no account yet.

    Args:
        url: of the server.
        clock: which both of them look at.
        name: of the person.
        transport: to the server; many people share one.
    """

    def __init__(self, url: str, clock: Any, name: str, transport: httpx.BaseTransport) -> None:
        self.name, self.email, self.id = name, f"{name.casefold().replace(' ', '.')}@example.org", ""
        self._clock, self._secret = clock, ""
        self._http = httpx.Client(base_url=url, transport=transport, timeout=60)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        """What the server answers."""
        return self._http.request(method, path, json=body)

    def get(self, path: str) -> Any:
        """What is there."""
        return self._well(self.send("GET", path))

    def post(self, path: str, body: Mapping[str, Any] | None = None, method: str = "POST") -> Any:
        """What came of a change that succeeds."""
        return self._well(self.send(method, path, body))

    def refused(self, path: str, body: Mapping[str, Any], status: int) -> Any:
        """What is said of a change that is refused with that status."""
        answer = self.send("POST", path, body)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    def register(self, path: str = "/register", **more: str) -> None:
        """Make an account, and log in."""
        self.post(path, {"email": self.email, "name": self.name, "password": PASSWORD, **more})
        self.log_in()

    def log_in(self) -> None:
        """Give the password, and a one-time password that was not given before."""
        code = ""
        if self._secret:
            self._clock.pass_seconds(_STEP)
            code = self._code()
        opened = self.post("/login", {"email": self.email, "password": PASSWORD, "code": code})
        self._http.headers["X-CSRF-Token"] = opened["csrf"]
        self.id = opened["account"]["id"]

    def protect(self) -> None:
        """Set one-time passwords up."""
        self._secret = self.post("/me/second-factor")["secret"]
        self.post("/me/second-factor/confirm", {"code": self._code()})

    def _code(self) -> str:
        return second_factor.code(self._secret, self._clock() // (_STEP * 10**6))

    def _well(self, answer: httpx.Response) -> Any:
        assert answer.is_success, (answer.request.method, answer.request.url.path, answer.text)
        return answer.json()
