"""A whole evaluation by the worker itself: a tiny model asked, measured and marked, its own code in the box."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")
pytest.importorskip("torch", reason="the extra `model` is not installed")

from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.data.miniature import write
from edgelm.files import canonical_json, tree_files
from edgelm.report import Report
from edgelm.server import queue
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import utc_now
from edgelm.server.database import Database
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Job, Line, Slot, Submission
from edgelm.server.worker import loop
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Limits
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.work import Bench

KEY = WORKER_KEY + "k" * 40
RULES = "miniature:prompt_tokens=16,generated_tokens=4,repeats=1"
SPY = """
import os, socket, sys
found = []
for name, reach in {
    "network": lambda: socket.create_connection(("192.0.2.1", 80), 2),
    "key": lambda: open("SECRET").read(),
    "write": lambda: open(os.path.join(sys.argv[2], "x"), "w"),
}.items():
    try:
        reach()
        found.append(name)
    except OSError:
        pass
print("SPY", "free" if found else "held", found, file=sys.stderr, flush=True)
"""


@pytest.fixture
def evaluated(sqlite_url, tmp_path, a_submission, a_worker, box):
    """`evaluated(checkpoint)`: the server after one worker has evaluated a package with that checkpoint."""
    data = tmp_path / "data"
    write(data, rows=3, train_rows=50)

    def make(checkpoint, **limits):
        database = Database(sqlite_url)
        server = Server(Settings(folder=tmp_path / "server", database=sqlite_url, rules=RULES), database)
        files = {f"models/base/checkpoint/{name}": (checkpoint / name).read_bytes() for name in tree_files(checkpoint)}
        files["models/base/card.json"] = b'{"derivation":"compressed","prompting":"base"}'
        manifest = canonical_json({
            "format": 1, "team": "Team", "track": "compression", "rules": server.rules.digest, "title": "T",
            "method": "m", "contact": "c", "models": {"base": "models/base"}, "claims": "results.csv", "made_by": "e",
            "files": [{"path": path, "size": len(each), "sha256": sha256(each).hexdigest()}
                      for path, each in files.items()],
        })  # fmt: skip
        with database.write() as session:
            found = a_submission(session, state="queued")
            found.manifest = server.storage.put(manifest)
            for path, each in files.items():
                session.merge(Blob(sha256=server.storage.put(each), size=len(each), whole=True, created=0))
                session.flush()
                session.add(File(submission_id="first", path=path, sha256=sha256(each).hexdigest()))
            a_worker(session).sha256 = digest(KEY)
            queue.enqueue(session, SYSTEM, key="e", submission_id="first", kind="evaluate", now=utc_now())
        with TestClient(create_app(server), headers={"Authorization": f"Bearer {KEY}"}) as http:
            bench = Bench(Calls(http), Local(), box, tmp_path / "work", data, limits=Limits(**limits))
            said = []
            loop.run(bench, once=True, say=said.append, idle=0.05)
        return server, said

    return make


def end(server):
    with server.database.read() as session:
        found = session.get_one(Submission, "first")
        lines = list(session.scalars(select(Line.text).order_by(Line.number)))
        job = session.scalars(select(Job)).one()
        return found.state, found.fault, found.code, session.scalars(select(Slot.use)).one(), lines, job.result


@pytest.mark.slow
def test_a_tiny_model_is_asked_measured_and_marked_in_the_box(evaluated, make_checkpoint, tmp_path):
    server, said = evaluated(make_checkpoint("llama", max_position_embeddings=2048))
    state, _, _, use, lines, result = end(server)
    assert (state, use) == ("scored", "spent"), (said, lines)
    body = json.loads(server.storage.read(result, 1 << 20))
    assert body["eligible"] and body["box"]["box"].startswith("bubblewrap")
    model = body["models"]["base"]
    report = Report.model_validate(json.loads(server.storage.read(model["report"], 1 << 20)))
    assert report.tasks.keys() == {"commonsenseqa", "gsm8k", "chid"} == model["answers"].keys()
    assert all(score.complete for score in report.tasks.values())
    assert report.speed and report.memory["host-peak"] > 0
    assert not any((tmp_path / "work" / "jobs").glob("*/"))  # box space is wiped


@pytest.mark.slow
def test_a_model_s_own_code_is_held(evaluated, own_code, tmp_path):
    spied = tmp_path / "spied"
    shutil.copytree(own_code, spied)
    secret = tmp_path / "key"
    secret.write_text("secret")
    for path in spied.glob("modeling*.py"):
        path.write_text(SPY.replace("SECRET", str(secret)) + path.read_text())
    server, said = evaluated(spied)
    *_, lines, _ = end(server)
    seen = [line for line in lines if "SPY" in line]
    assert seen and all("SPY held" in line for line in seen), (said, lines)


@pytest.mark.slow
def test_a_model_beyond_its_memory_is_its_team_s_fault(evaluated, make_checkpoint):
    server, said = evaluated(make_checkpoint("llama"), memory=100 << 20)
    assert end(server)[:4] == ("failed", "participant", "out-of-memory", "spent"), said
