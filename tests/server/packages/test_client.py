"""`edgelm submit` against a real server: cut off, killed, sent twice; what the server has already is not sent."""

from __future__ import annotations

import random
import selectors
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select
from typer.testing import CliRunner

from edgelm.cli import build
from edgelm.errors import Offline
from edgelm.server.app import create_app
from edgelm.server.client import Client, Rejected
from edgelm.server.state import Server
from edgelm.server.tables import Job, Submission

PART = 10_000
WAITS = (0.01, 0.02, 0.05, 0.1, 0.2)
DATA = random.Random(11).randbytes(200_000)


@contextmanager
def running(server: Server) -> Iterator[str]:
    """A server that listens; its address."""
    config = uvicorn.Config(create_app(server), port=0, log_level="error")
    listening = uvicorn.Server(config)
    thread = threading.Thread(target=listening.run)
    thread.start()
    try:
        while not listening.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.servers[0].sockets[0].getsockname()[1]}"
    finally:
        listening.should_exit = True
        thread.join()


class Line:
    """A connection to a server on which something happens each time that so many bytes have gone there.

    Args:
        port: of the server.
        at: bytes, counted over all connections, at which `happens` is called and all connections break.
    """

    def __init__(self, port: int, at: list[int], happens: Callable[[], object] = lambda: None) -> None:
        self._port, self._at, self._happens = port, sorted(at), happens
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.bytes, self.breaks = 0, 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.close()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        chosen = selectors.DefaultSelector()
        chosen.register(near, selectors.EVENT_READ, far)
        chosen.register(far, selectors.EVENT_READ, near)
        with near, far:
            while True:
                for key, _ in chosen.select():
                    try:
                        data = key.fileobj.recv(2000)  # type: ignore[union-attr]
                        key.data.sendall(data)
                    except OSError:
                        return
                    if not data:
                        return
                    self.bytes += len(data) if key.fileobj is near else 0
                    if self._at and self.bytes >= self._at[0]:
                        self._at.pop(0)
                        self.breaks += 1
                        self._happens()
                        return


@pytest.fixture
def package(team: str, make_package: Callable[..., Path]) -> Path:
    return make_package("package", {"data.bin.txt": DATA, "same.txt": DATA})


@pytest.fixture
def token(team: str, bearer: Any) -> str:
    return str(bearer("red-member")["Authorization"].removeprefix("Bearer "))


def stored(server: Server) -> list[bytes]:
    return sorted((server.storage.path(name).read_bytes() for name in server.storage.all()), key=len)


def test_a_package_is_handed_in_and_another_sends_only_what_is_new(
    server: Server, package: Path, token: str, make_package: Callable[..., Path]
) -> None:
    told = list[tuple[str, int, int]]()
    with running(server) as url, Client(url, token, waits=WAITS) as client:
        done = client.submit(package, lambda *each: told.append(each))
        assert (done.submission["state"], done.submission["slot"], done.spared) == ("checking", 1, 0)
        assert 200_000 < done.sent < 205_000, "one file twice is sent once"
        assert told[-1][1] == told[-1][2] == done.sent and told == sorted(told)
        assert {each["severity"] for each in done.findings} == {"W"}
        second = client.submit(make_package("second", {"data.txt": DATA}))
        assert second.spared > 200_000 and second.sent < 2000
        with pytest.raises(Rejected, match="submission 1") as refused:
            client.submit(package)
        assert refused.value.code == "SUB-04"
    assert stored(server)[-1] == DATA and len(stored(server)[-2]) < 5000


def test_an_upload_that_is_cut_five_times_sends_at_most_five_parts_again(
    server: Server, package: Path, token: str
) -> None:
    cuts = sorted(random.Random(13).sample(range(5_000, 190_000), 5))
    with running(server) as url:
        line = Line(int(url.rpartition(":")[2]), cuts)
        with Client(line.url, token, waits=WAITS) as client:
            done = client.submit(package)
        line.close()
    assert line.breaks == 5
    total = sum((package / name).stat().st_size for name in ("results.csv", "source/README.md")) + len(DATA)
    assert total < done.sent <= total + 5 * PART
    assert stored(server)[-1] == DATA and done.submission["state"] == "checking"


SERVER = textwrap.dedent("""
    import sys, uvicorn
    from edgelm.server.app import create_app
    from edgelm.server.clock import utc_now
    from edgelm.server.database import Database
    from edgelm.server.settings import Settings
    from edgelm.server.state import Server
    folder, url, port = sys.argv[1:]
    settings = Settings(folder=folder, database=url, rules="miniature", part=10_000)
    server = Server(settings, Database(url), lambda: 1_735_689_600_000_000)
    uvicorn.run(create_app(server), port=int(port), log_level="error", access_log=False)
""")


def test_a_server_that_is_killed_during_the_upload_goes_on(server: Server, url: str, package: Path, token: str) -> None:
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    processes = list[subprocess.Popen[bytes]]()

    def start() -> None:
        command = [sys.executable, "-c", SERVER, str(server.settings.folder), url, str(port)]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def kill_and_start() -> None:
        processes[-1].send_signal(signal.SIGKILL)
        processes[-1].wait()
        start()

    line = Line(port, [30_000, 125_500, 200_500], kill_and_start)
    start()
    try:
        with Client(line.url, token, waits=(0.2,) * 100) as client:
            done = client.submit(package)
    finally:
        line.close()
        for process in processes:
            process.kill()
            process.wait()
    assert line.breaks == 3 and stored(server)[-1] == DATA
    assert done.sent <= len(DATA) + 5000 + 60 * PART  # tries while it starts count, too
    with server.database.read() as session:
        assert [one.id for one in session.scalars(select(Submission))] == [done.submission["id"]]
        assert len(session.scalars(select(Job)).all()) == 1


class Lossy(httpx.HTTPTransport):
    """Loses the answer to the first request of a kind, which the server has carried out."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__()
        self._lost = (method, path)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if (request.method, request.url.path) == self._lost:
            response.read()
            self._lost = ("", "")
            raise httpx.ReadError("cut")
        return response


@pytest.mark.parametrize("lost", [("POST", "/uploads"), ("POST", "/submissions")])
def test_an_answer_that_is_lost_does_nothing_twice(
    server: Server, package: Path, token: str, lost: tuple[str, str]
) -> None:
    with running(server) as url, Client(url, token, waits=WAITS, transport=Lossy(*lost)) as client:
        done = client.submit(package)
    with server.database.read() as session:
        assert [one.id for one in session.scalars(select(Submission))] == [done.submission["id"]]


def test_a_file_that_was_changed_since_it_was_packed_is_refused(server: Server, package: Path, token: str) -> None:
    for name in ("data.bin.txt", "same.txt"):
        (package / "source" / name).write_bytes(DATA[::-1])
    with (
        running(server) as url, Client(url, token, waits=WAITS) as client,
        pytest.raises(Rejected, match="another sha256"),
    ):  # fmt: skip
        client.submit(package)


def test_a_server_that_is_not_there(package: Path) -> None:
    with Client("http://127.0.0.1:9", "token", waits=(0, 0)) as client, pytest.raises(Offline, match="kept"):
        client.submit(package)


def test_an_archive_is_handed_in_as_its_folder_is(server: Server, package: Path, token: str) -> None:
    import shutil

    archive = Path(shutil.make_archive(str(package), "zip", package))
    with running(server) as url, Client(url, token, waits=WAITS) as client:
        assert client.submit(archive).submission["state"] == "checking"


def test_the_command_line(
    server: Server, package: Path, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    make_package: Callable[..., Path],
) -> None:  # fmt: skip
    run, app = CliRunner(), build("submit")
    with running(server) as url:
        monkeypatch.setenv("EDGELM_TOKEN", token)
        done = run.invoke(app, ["submit", str(package), "--to", url, "--json"])
        assert done.exit_code == 0, done.output
        assert '"state": "checking"' in done.stdout and '"MDL-02"' in done.stdout
        monkeypatch.delenv("EDGELM_TOKEN")
        (tmp_path / "token").write_text(f"{token}\n")
        bad = make_package("bad", {"README.md": b""})
        refused = run.invoke(app, ["submit", str(bad), "--to", url, "--token-file", str(tmp_path / "token"), "--watch"])
        assert refused.exit_code == 1 and "PKG-09" in refused.stdout
        for arguments, said in (
            (["--to", url], "there is no token"), (["--to", "nowhere"], "no address"),
            (["--to", url, "--token-file", "none"], "cannot be read"),
        ):  # fmt: skip
            assert said in str(run.invoke(app, ["submit", str(package), *arguments]).exception)
