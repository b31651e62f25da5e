"""`edgelm submit` against a real server: cut off, killed, sent twice; what the server has already is not sent."""

from __future__ import annotations

import dataclasses
import json
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
from edgelm.errors import BadFile, BadOption, Offline
from edgelm.files import sha256_file
from edgelm.server.admission import Admission
from edgelm.server.app import create_app
from edgelm.server.client import Client, HandedIn, Rejected
from edgelm.server.state import Server
from edgelm.server.tables import Job, Phase, Submission

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
        piece: most bytes that are carried at once.
    """

    def __init__(
        self, port: int, at: list[int], happens: Callable[[], object] = lambda: None, piece: int = 2000
    ) -> None:
        self._port, self._at, self._happens, self._piece = port, sorted(at), happens, piece
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
                        data = key.fileobj.recv(self._piece)  # type: ignore[union-attr]
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


def test_what_another_team_brought_is_proved_and_not_sent(
    server: Server, package: Path, token: str, add_team: Any, bearer: Any
) -> None:
    blue = bearer(f"{add_team('blue')}-captain")["Authorization"].removeprefix("Bearer ")
    with running(server) as url:
        with Client(url, token, waits=WAITS) as client:
            client.submit(package)
        with Client(url, blue, waits=WAITS) as client:
            done = client.submit(package)
    files = [path for path in package.rglob("*") if path.is_file() and path.name != "edgelm.json"]
    total = sum(path.stat().st_size for path in files) - len(DATA)
    assert (done.sent, done.spared, done.submission["state"]) == (0, total, "checking")


@pytest.mark.parametrize(("url", "goes"), [
    ("http://contest.example.org", False), ("http://10.0.0.1:8000", False), ("http://127.0.0.1.example.org", False),
    ("https://contest.example.org", True), ("http://127.0.0.1:8000", True), ("http://[::1]:8000", True),
    ("http://localhost", True),
])  # fmt: skip
def test_a_token_goes_to_other_machines_encrypted_alone(url: str, goes: bool) -> None:
    if goes:
        Client(url, "token").__exit__()
        return
    with pytest.raises(BadOption, match="not encrypted"):
        Client(url, "token")
    Client(url, "token", insecure=True).__exit__()


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
    settings = Settings(folder=folder, database=url, rules="miniature:objection_days=7", part=10_000)
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


@pytest.mark.slow
def test_two_gigabytes_over_a_line_that_is_cut_five_times_and_a_server_that_is_killed_once(
    server: Server, sqlite_url: str, url: str, package: Path, token: str
) -> None:
    if url != sqlite_url:
        pytest.skip("the database has no part in it")
    size, part = 2 * 2**30, 32 * 2**20
    large = package / "source" / "large.bin"
    with large.open("wb") as file:
        for number in range(size // len(DATA) + 1):
            file.write(number.to_bytes(8, "big") + DATA[8 : min(len(DATA), size - number * len(DATA))])
    digest = sha256_file(large)
    manifest = json.loads((package / "edgelm.json").read_bytes())
    manifest["files"].append({"path": "source/large.bin", "size": large.stat().st_size, "sha256": digest})
    (package / "edgelm.json").write_text(json.dumps(manifest))
    port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
    processes = list[subprocess.Popen[bytes]]()
    program = SERVER.replace("part=10_000", f"part={part}")

    def start() -> None:
        command = [sys.executable, "-c", program, str(server.settings.folder), url, str(port)]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))

    def cut() -> None:
        if line.breaks == 3:
            processes[-1].kill()
            processes[-1].wait()
            start()

    line = Line(port, [size * number // 6 for number in range(1, 6)], cut, piece=2**20)
    start()
    try:
        with Client(line.url, token, waits=(0.5,) * 60) as client:
            client.submit(package)
    finally:
        line.close()
        for process in processes:
            process.kill()
            process.wait()
    total = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    assert line.breaks == 5 and line.bytes <= total + 5 * part + 2**20, "what went over the line, headers included"
    assert sha256_file(server.storage.path(digest)) == digest


def test_few_are_watched_at_once_and_a_place_is_free_when_one_goes(
    server: Server, package: Path, token: str, bearer: Any
) -> None:
    server = dataclasses.replace(server, streams=Admission("watched", each=1, all=2, wait=30))
    with running(server) as url, Client(url, token, waits=WAITS) as client:
        path = f"{url}/submissions/{client.submit(package).submission['id']}/events"
        mine, other = {"Authorization": f"Bearer {token}"}, bearer("red-captain")
        with httpx.stream("GET", path, headers=mine) as first, httpx.stream("GET", path, headers=other) as second:
            assert (first.status_code, second.status_code) == (200, 200)
            assert httpx.get(path, headers=mine).status_code == 429
        for _ in range(100):
            with httpx.stream("GET", path, headers=mine) as again:
                if again.status_code == 200:
                    return
            time.sleep(0.05)
    pytest.fail("its place was not given back")


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


@pytest.mark.parametrize("address", ["http://localhost:1", "https://no-such-host.invalid"])
def test_an_address_that_never_answers_is_given_up_soon_and_each_try_is_told(package: Path, address: str) -> None:
    said = list[str]()
    with Client(address, "token", waits=(0.01,) * 50, say=said.append) as client, pytest.raises(Offline) as given_up:
        client.submit(package)
    assert given_up.value.mend.startswith("check the address") and address in given_up.value.what
    assert len(said) == 3 and "the next try is in 0.01 s" in said[0]


def test_a_server_that_has_answered_is_waited_for(server: Server, package: Path, token: str) -> None:
    class Away(httpx.HTTPTransport):
        """Lets one request through, and then none for a while."""

        calls = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.calls += 1
            if 1 < self.calls < 15:
                raise httpx.ConnectError("refused")
            return super().handle_request(request)

    with running(server) as url, Client(url, token, waits=(0.01,) * 50, transport=Away()) as client:
        assert client.submit(package).submission["state"] == "checking"


def test_a_token_that_is_not_known_names_the_option(server: Server, package: Path) -> None:
    with running(server) as url, Client(url, "edgelm_t_x") as client, pytest.raises(Rejected) as refused:
        client.submit(package)
    assert refused.value.exit_code == 2 and "--token-file" in refused.value.mend


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


@pytest.mark.parametrize("content", [DATA + b"x", DATA[:-1]])
def test_a_file_of_another_size_than_it_was_packed_with_takes_no_slot(package: Path, content: bytes) -> None:
    (package / "source/same.txt").write_bytes(content)
    with Client("http://127.0.0.1:9", "no token") as client, pytest.raises(BadFile, match=r"same\.txt has .* bytes"):
        client.submit(package)  # before anything is asked


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
            (["--to", url, "--smoke", "--material"], "for one of them"),
        ):  # fmt: skip
            assert said in str(run.invoke(app, ["submit", str(package), *arguments]).exception)


def test_watching_says_each_state_once_what_is_done_and_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGELM_TOKEN", "edgelm_t_x")
    at = {"state": "running", "stage": "tasks", "sentence": "", "over": False}
    parts = [[{"part": "base/gsm8k", "done": done, "of": 40}] for done in (0, 20, 40, 40)]
    seen = [*({**at, "parts": part} for part in parts), {**at, "state": "scored", "stage": "", "parts": []}]
    task = {"score": "250/3", "place": 1, "tied": 1, "points": "10"}
    standing = {"rank": 2, "value": "91/2", "tasks": {"gsm8k": task}}
    result = {"reasons": [], "standing": standing, "state": "live", "revision": 3}
    monkeypatch.setattr(Client, "submit", lambda *_: HandedIn({"id": "a1", "state": "checking"}, [], 10, 0))
    monkeypatch.setattr(Client, "watch", lambda *_: iter(seen))
    monkeypatch.setattr(Client, "result", lambda *_: result)
    words = ["submit", str(tmp_path), "--to", "http://127.0.0.1:8000/", "--watch"]
    done = CliRunner().invoke(build("submit"), words)
    assert done.exit_code == 0, done.output
    assert done.output.count("running: tasks") == 1 and done.output.count("base/gsm8k: 40 done") == 1
    assert "45.50 points, rank 2" in done.stdout and "83.33" in done.stdout
    assert "http://127.0.0.1:8000/submission/a1" in done.output


def test_a_result_is_asked_for_and_may_not_be_there(server: Server, package: Path, token: str) -> None:
    with running(server) as url, Client(url, token, waits=WAITS) as client:
        assert client.result(client.submit(package).submission["id"]) is None


def test_a_package_goes_where_it_is_said_to(
    server: Server, package: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, app = CliRunner(), build("submit")
    monkeypatch.setenv("EDGELM_TOKEN", token)
    with server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=0, closes=2**51))
        session.add(Phase(name="second", kind="stage-2", opens=0, closes=2**51))
    with running(server) as url:
        words = ["submit", str(package), "--to", url]
        assert run.invoke(app, [*words, "--smoke"]).exit_code == 0
        refused = run.invoke(app, [*words, "--material"]).exception
        assert isinstance(refused, Rejected) and "no candidate of stage 2" in str(refused)
        assert run.invoke(app, words).exit_code == 0
    with server.database.read() as session:
        assert sorted(one.phase for one in session.scalars(select(Submission))) == ["scored", "tries"]
