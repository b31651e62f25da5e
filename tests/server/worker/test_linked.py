"""Files that a package only links: fetched once by a worker, resumed, compared; hosts that give others, or are away."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import re
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.check.fetch import Fetcher
from edgelm.errors import NoSpace
from edgelm.files import canonical_json
from edgelm.server import queue
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Finding, Job, Line, Notice, Slot, Submission
from edgelm.server.worker import linked, loop, package
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Calls, Lost
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.model_box import ModelBox

KEY = WORKER_KEY + "k" * 40
WEIGHTS = bytes(range(256)) * 3000
NAME = "models/base/checkpoint/model.safetensors"
HOST = "https://huggingface.co"


class Host(BaseHTTPRequestHandler):
    """A host of files. What it gives is told by the path; it keeps the headers of what it was asked."""

    asked: list

    def do_GET(self):
        self.asked.append(dict(self.headers))
        begun = int(re.search(r"\d+", self.headers.get("Range", "0"))[0])
        what = self.path.strip("/")
        if what == "moved-inside":
            return self.give(b"", 302, Location="https://169.254.169.254/latest/meta-data")
        if what == "busy":
            return self.give(b"", 503)
        if what == "login":
            return self.give(b"", 401)
        if what == "page":
            return self.give(b"<!DOCTYPE html><html>click here</html>")
        if what == "other":
            return self.give(WEIGHTS[::-1])
        if what == "longer":
            return self.give(WEIGHTS + b"x")
        if what == "whole-only" or not begun:
            return self.give(WEIGHTS, cut=what == "cut")
        return self.give(WEIGHTS[begun:], 206, Content_Range=f"bytes {begun}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}",
                         cut=what == "cut" and len(self.asked) < 3)  # fmt: skip

    def give(self, body, status=200, cut=False, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    """`host.fetcher`, for which every host is this one; `host.asked` are the headers of its requests."""
    handler = type("Handler", (Host,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def connect(name, address):
        assert address == "203.0.113.7"  # the one that was looked up
        return http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)

    yield SimpleNamespace(fetcher=Fetcher(lambda name: "203.0.113.7", connect), asked=handler.asked)
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(database, clock, tmp_path, a_submission, a_worker, host, monkeypatch):
    """`world(path)`: a server with a package whose weights lie at that path of the host, and a worker's bench."""
    monkeypatch.setattr(linked, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(package, "ROOM", 0)
    with contextlib.ExitStack() as held:

        def make(path="file", url="", weights=WEIGHTS, **settings):
            address = database.engine.url.render_as_string(False)
            made = Server(Settings(folder=tmp_path / "server", database=address, rules="miniature", part=100_000,
                                   **settings), database, clock)  # fmt: skip
            link = {"path": NAME, "url": url or f"{HOST}/{path}", "size": len(weights),
                    "sha256": sha256(weights).hexdigest()}  # fmt: skip
            brought = {"links.json": json.dumps([link]).encode(), "models/base/card.json": b"{}"}
            entries = [{"path": name, "size": len(data), "sha256": sha256(data).hexdigest()}
                       for name, data in {**brought, NAME: weights}.items()]  # fmt: skip
            manifest = canonical_json({
                "format": 1, "team": "T", "track": "compression", "rules": made.rules.digest, "title": "T",
                "method": "m", "contact": "c", "models": {"base": "models/base"}, "claims": "results.csv",
                "made_by": "edgelm", "files": entries,
            })  # fmt: skip
            with database.write() as session:
                found = a_submission(session)
                found.manifest = made.storage.put(manifest)
                for name, data in brought.items():
                    session.add(Blob(sha256=made.storage.put(data), size=len(data), created=0))
                    session.flush()
                    session.add(File(submission_id="first", path=name, sha256=sha256(data).hexdigest()))
                a_worker(session, "one").sha256 = digest(KEY)
                queue.enqueue(session, SYSTEM, key="check/first", submission_id="first", kind="check", now=clock())
            web = held.enter_context(TestClient(create_app(made), headers={"Authorization": f"Bearer {KEY}"}))
            bench = Bench(Calls(web), Local(), ModelBox("none"), tmp_path / "work", fetcher=host.fetcher)
            return made, bench

        yield make


def assembled(bench, folder, hold=lambda: None):
    """The weights as a worker has them, and its job."""
    job = bench.calls.lease(())
    package.assembled(bench, job, folder, hold)
    return (folder / NAME).read_bytes(), job


def ended(made):
    with made.database.read() as session:
        found = session.get_one(Submission, "first")
        return found.state, found.fault, found.code, session.scalars(select(Slot)).one().use


def test_a_linked_file_is_fetched_once_for_all_jobs_and_workers(world, host, tmp_path, clock):
    made, bench = world()
    data, job = assembled(bench, tmp_path / "package")
    assert data == WEIGHTS and made.storage.holds(sha256(WEIGHTS).hexdigest())
    with made.database.read() as session:
        assert session.get_one(File, ("first", NAME)).sha256 == sha256(WEIGHTS).hexdigest()
        assert f"fetched {NAME} from huggingface.co" in set(session.scalars(select(Line.text)))
    bench.calls.release(job)
    elsewhere = Bench(bench.calls, Local(), bench.box, tmp_path / "elsewhere", fetcher=host.fetcher)
    assert assembled(elsewhere, tmp_path / "again")[0] == WEIGHTS
    assert len(host.asked) == 1
    assert not {"authorization", "cookie"} & {name.lower() for name in host.asked[0]}


def test_a_host_that_breaks_off_is_asked_for_the_rest(world, host, tmp_path):
    _, bench = world("cut")
    assert assembled(bench, tmp_path / "package")[0] == WEIGHTS
    begins = [f"bytes={len(WEIGHTS) * quarters // 4}-" for quarters in (2, 3)]
    assert [each.get("Range") for each in host.asked] == [None, *begins]


@pytest.mark.parametrize("path", ["file", "whole-only"])
def test_a_worker_that_was_killed_goes_on_where_it_was(world, host, tmp_path, path):
    _, bench = world(path)
    job, parts = bench.calls.lease(()), (tmp_path / "work").rglob

    def hold():
        if any(part.stat().st_size for part in parts("*.link")):
            raise Lost("as if it were killed")

    with pytest.raises(Lost):
        package.assembled(bench, job, tmp_path / "package", hold)
    (part,) = parts("*.link")
    assert 0 < (begun := part.stat().st_size) < len(WEIGHTS)
    assert not (tmp_path / "package").exists()
    package.assembled(bench, job, tmp_path / "package", lambda: None)
    assert (tmp_path / "package" / NAME).read_bytes() == WEIGHTS
    assert host.asked[1]["Range"] == f"bytes={begun}-"


def test_what_was_kept_of_a_file_that_changed_is_fetched_again(world, host, tmp_path):
    _, bench = world()
    job = bench.calls.lease(())
    part = bench.cache.path(sha256(WEIGHTS).hexdigest()).with_suffix(f".{job.submission}.link")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"not what it begins with")
    package.assembled(bench, job, tmp_path / "package", lambda: None)
    assert (tmp_path / "package" / NAME).read_bytes() == WEIGHTS and len(host.asked) == 2


@pytest.mark.parametrize(("path", "code"), [
    ("moved-inside", "LNK-01"), ("login", "LNK-01"), ("page", "LNK-02"), ("other", "LNK-03"), ("longer", "LNK-03"),
])  # fmt: skip
def test_a_link_that_gives_no_such_file_is_its_team_s_fault(world, tmp_path, path, code):
    made, bench = world(path)
    loop.run(bench, once=True)
    assert ended(made) == ("refused", "participant", code, "free")
    with made.database.read() as session:
        (found,) = session.scalars(select(Finding.body))
        assert (found["code"], found["path"]) == (code, "links.json") and NAME in found["what"]
    assert not list((tmp_path / "work").rglob("*.link"))


def test_only_hosts_of_the_setting_are_asked(world, host, tmp_path):
    made, bench = world(link_hosts=("files.example.org",))
    loop.run(bench, once=True)
    assert ended(made)[2] == "LNK-01" and not host.asked


def test_a_host_of_the_setting_is_asked(world, tmp_path):
    _, bench = world(url="https://files.example.org/file", link_hosts=("files.example.org",))
    assert assembled(bench, tmp_path / "package")[0] == WEIGHTS


def test_who_names_another_s_digest_gets_nothing_by_it(world, host, tmp_path):
    made, bench = world("other")
    secret = bench.cache.path(made.storage.put(WEIGHTS))  # another team's, here and in the worker's cache
    secret.parent.mkdir(parents=True)
    secret.write_bytes(WEIGHTS)
    loop.run(bench, once=True)
    assert ended(made)[2] == "LNK-03" and len(host.asked) == 1


def test_a_host_that_is_away_is_tried_later_and_the_team_is_told(world, clock, tmp_path):
    made, bench = world("busy")
    for wait in (600, 1800, 5400):
        loop.run(bench, once=True)
        with made.database.read() as session:
            job = session.scalars(select(Job)).one()
            assert (job.state, job.not_before) == ("waiting", clock() + wait * 1_000_000)
        assert bench.calls.lease(()) is None
        clock.pass_seconds(wait)
    loop.run(bench, once=True)
    assert ended(made) == ("failed", "platform", "link-away", "free")
    with made.database.read() as session:
        told = list(
            session.scalars(select(Notice.body).filter_by(user_id="u1", channel="page").order_by(Notice.created))
        )
        assert NAME in told[0] and "503" in told[0] and "2025-01-01 00:10 UTC, 3 times at the most" in told[0]


def test_a_full_disk_is_the_platform_s_and_keeps_what_came(world, tmp_path, monkeypatch):
    made, bench = world()
    monkeypatch.setattr(linked._Coming, "take", lambda *_: (_ for _ in ()).throw(NoSpace("the disk is full")))
    with pytest.raises(NoSpace):
        assembled(bench, tmp_path / "package")
    assert ended(made)[0] == "checking"


def test_a_worker_that_was_paused_keeps_nobody_from_a_file(world, tmp_path):
    _, bench = world()
    job = bench.calls.lease(())
    part = bench.cache.path(sha256(WEIGHTS).hexdigest()).with_suffix(f".{job.submission}.link")
    part.parent.mkdir(parents=True)
    with part.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(WEIGHTS[:100])
        held.flush()
        package.assembled(bench, job, tmp_path / "package", lambda: None)
    assert (tmp_path / "package" / NAME).read_bytes() == WEIGHTS and part.read_bytes() == WEIGHTS[:100]
