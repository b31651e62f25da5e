"""Twelve submissions on each cluster: the standings are those of the local executor, also when a worker is killed.

What models do is played (see `played.py`); the clusters, the server and all between are real.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

import uvicorn
from sqlalchemy import func, select

from edgelm.files import canonical_json
from edgelm.server import queue
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import utc_now
from edgelm.server.database import Database
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Job, Phase, Submission, Team, User, Worker
from edgelm.server.worker.executors.local import Local

from .ranking import evaluated, ranked

SCRIPT = Path(__file__).with_name("played.py")
_spec = importlib.util.spec_from_file_location("played", SCRIPT)
played = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(played)

MANY = 12
KEY = WORKER_KEY + "k" * 40
LEASE = 8  # seconds; longer than a node waits for a sign of its worker
RECEIVED = 1_735_689_600_000_000


@pytest.fixture
def contest(sqlite_url, tmp_path):
    """A server on a port of its own, with twelve teams whose packages wait for their evaluation."""
    database = Database(sqlite_url)
    settings = Settings(folder=tmp_path / "server", database=sqlite_url, rules="miniature", lease_seconds=LEASE)
    made = Server(settings, database)
    with database.write() as session:
        session.add(User(id="u", email="u@example.org", name="u", password="", role="participant", created=0))
        session.add(Phase(name="scored", kind="scored", opens=0, closes=2 * RECEIVED))
        session.add(Worker(name="one", sha256=digest(KEY), tags=[], created=0))
        session.flush()
        for number in range(MANY):
            enter(session, made, number)
    running = uvicorn.Server(uvicorn.Config(create_app(made), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield made, f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join()
    database.close()


def enter(session, made, number):
    files = {"models/base/card.json": b'{"derivation":"compressed"}',
             "models/base/checkpoint/config.json": canonical_json({"number": number})}  # fmt: skip
    manifest = canonical_json({
        "format": 1, "team": f"Team {number}", "track": "compression", "rules": made.rules.digest, "title": "T",
        "method": "m", "contact": "c", "models": {"base": "models/base"}, "claims": "results.csv", "made_by": "edgelm",
        "files": [{"path": path, "size": len(data), "sha256": sha256(data).hexdigest()}
                  for path, data in files.items()],
    })  # fmt: skip
    name = f"s{number:02}"
    session.add(Team(id=name, name=f"Team {number}", key=name, tracks=["compression"], created=0))
    session.flush()
    session.add(Submission(id=name, team_id=name, user_id="u", track="compression", phase="scored",
                           title="T", manifest=made.storage.put(manifest), received=RECEIVED, state="queued",
                           changed=0))  # fmt: skip
    session.flush()
    for path, data in files.items():
        session.merge(Blob(sha256=made.storage.put(data), size=len(data), created=0))
        session.flush()
        session.add(File(submission_id=name, path=path, sha256=sha256(data).hexdigest()))
    queue.enqueue(session, SYSTEM, key=name, submission_id=name, kind="evaluate", now=RECEIVED + number)


def left(made):
    with made.database.read() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.result.is_(None)))


def asked_twice(asked):
    questions = asked.read_text().split()
    return len(questions) - len(set(questions))


@pytest.fixture
def expected(contest, tmp_path):
    """The standings of the local executor, from which nothing is left in the queue; the queue is filled again."""
    made, url = contest
    (tmp_path / "local").mkdir()
    said = played.work(url, KEY, tmp_path / "local", tmp_path / "asked-locally", Local(), jobs=2)
    assert left(made) == 0, said
    found = ranked(made, evaluated(made))
    assert len(found.board) == MANY and len({row.rank for row in found.board}) > MANY // 2
    with made.database.write() as session:
        for job in session.scalars(select(Job)):
            session.get_one(Submission, job.submission_id).state = "queued"
            job.result = None
        for number in range(MANY):
            name = f"s{number:02}"
            when = RECEIVED + number
            queue.enqueue(session, SYSTEM, key=f"again-{name}", submission_id=name, kind="evaluate", now=when)
        session.flush()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "killed"])
def test_a_cluster_ranks_as_the_local_executor_also_when_a_worker_is_killed(contest, expected, spec, tmp_path, kill):
    made, url = contest
    asked, folder = tmp_path / "asked", tmp_path / "shared"
    folder.mkdir()
    words = [sys.executable, SCRIPT, url, KEY, folder, asked, spec]
    if kill:
        kill_one(made, words, asked)
    done = subprocess.run(words, capture_output=True, text=True, timeout=420, check=False)
    assert left(made) == MANY, done.stderr  # those of before alone
    assert ranked(made, evaluated(made)).to_bytes() == expected.to_bytes()
    assert asked_twice(asked) == 0


def kill_one(made, words, asked):
    """A worker that is killed in the middle of its second submission; this returns when its lease has ended."""
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (asked.exists() and len(asked.read_text().split()) >= 15):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    first.kill()
    first.wait()
    with made.database.read() as session:
        ends = session.scalars(select(Job.lease_ends).where(Job.state == "leased")).one()
    time.sleep(max(0, ends - utc_now()) / 1e6 + 0.01)
