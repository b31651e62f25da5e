"""A whole evaluation by the worker itself: a tiny model asked, measured and marked, its own code in the box."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")
pytest.importorskip("torch", reason="the extra `model` is not installed")

from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.evaluate.run import evaluate
from edgelm.files import canonical_json, tree_files
from edgelm.plugins import parse
from edgelm.report import Report
from edgelm.server import queue
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import utc_now
from edgelm.server.database import Database
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Job, Line, Notice, Progress, Slot, Submission
from edgelm.server.worker import loop, measuring
from edgelm.server.worker.bench import Bench, Secrets
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Limits
from edgelm.server.worker.executors.local import Local
from edgelm.tasks.holdout.folder import HoldOut
from edgelm.tasks.holdout.sealed import make_key, read_key, sealed

KEY = WORKER_KEY + "k" * 40
RULES = "miniature:prompt_tokens=16,generated_tokens=4,repeats=1"
NO_SECRETS = Secrets()
CANARY, EXPECTED = "canary-quagga", "expected-okapi"  # in the question of the hold-out, and what is expected
SPY = """
import os, socket, sys
secrets = [bytes(word[::-1], "utf-8") for word in WORDS]
found = [name for name in ("PATHS").split() if os.path.exists(name)]
for name, reach in {
    "network": lambda: socket.create_connection(("192.0.2.1", 80), 2),
    "write": lambda: open(os.path.join(sys.argv[1], "x"), "w"),
}.items():
    try:
        reach()
        found.append(name)
    except OSError:
        pass
package = os.path.dirname(sys.modules["edgelm"].__file__)
runtime = tuple(os.path.realpath(place) for place in (sys.prefix, sys.base_prefix, package, "/usr", "/sys"))
if "edgelm.evaluate.bare" in open("/proc/self/cmdline").read() and CANARY not in open(sys.argv[2]).read():
    for folder, folders, names in os.walk("/"):
        folders[:] = [each for each in folders if not os.path.join(folder, each).startswith(runtime) and each != "task"]
        for name in names:
            path = os.path.join(folder, name)
            if folder.startswith("/proc") and name not in ("cmdline", "environ") or not (os.path.isfile(path)):
                continue
            try:
                text = open(path, "rb").read(1 << 24)
            except OSError:
                continue
            found += [path for word in secrets if word in text]
print(open(sys.argv[2]).read()[-3000:], file=sys.stderr)
print("SPY", "free" if found else "held", found, file=sys.stderr, flush=True)
"""


def seal_hold_out(folder):
    """A hold-out of one question, as a worker has it."""
    (folder / "plain").mkdir(parents=True)
    (folder / "plain" / "wombat.json").write_text('{"kind": "free", "prompt": "{question}", "max_tokens": 4}')
    (folder / "plain" / "wombat.jsonl").write_text(json.dumps({"question": CANARY, "answer": EXPECTED}) + "\n")
    HoldOut(folder / "plain").make_salt()
    make_key(folder / "key")
    (folder / "sealed").write_bytes(sealed(folder / "plain", read_key(folder / "key")))
    (folder / "seed").write_text("secret")
    shutil.rmtree(folder / "plain")
    return Secrets(folder / "seed", (folder / "sealed",), folder / "key")


@pytest.fixture
def evaluated(sqlite_url, tmp_path, a_submission, a_worker, box):
    """`evaluated(checkpoint)`: the server after one worker has evaluated a package with that checkpoint."""
    data = tmp_path / "data"
    write(data, rows=3, train_rows=50)

    def make(checkpoint, secrets=NO_SECRETS, **limits):
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
                session.merge(Blob(sha256=server.storage.put(each), size=len(each), created=0))
                session.flush()
                session.add(File(submission_id="first", path=path, sha256=sha256(each).hexdigest()))
            a_worker(session).sha256 = digest(KEY)
            queue.enqueue(session, SYSTEM, key="e", submission_id="first", kind="evaluate", now=utc_now())
        with TestClient(create_app(server), headers={"Authorization": f"Bearer {KEY}"}) as http:
            bench = Bench(Calls(http), Local(), box, tmp_path / "work", data, limits=Limits(**limits),
                          secrets=secrets)  # fmt: skip
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
    checkpoint = make_checkpoint("llama", max_position_embeddings=2048)
    server, said = evaluated(checkpoint)
    state, _, _, use, lines, result = end(server)
    assert (state, use) == ("scored", "spent"), (said, lines)
    body = json.loads(server.storage.read(result, 1 << 20))
    assert body["eligible"] and body["box"]["box"].startswith("bubblewrap")
    model = body["models"]["base"]
    report = Report.model_validate(json.loads(server.storage.read(model["report"], 1 << 20)))
    data, tasks = DataFolder(tmp_path / "data"), ("commonsenseqa", "gsm8k", "chid")
    asked = [(parse("tasks", task), data) for task in tasks]
    claimed = evaluate(Checkpoint(checkpoint), asked, parse("engines", "local"), tmp_path / "claimed", prompting="base")
    assert report.tasks == claimed.tasks
    for task in tasks:
        path = tmp_path / "claimed" / "answers" / f"{task}.jsonl"
        assert server.storage.read(model["answers"][task], 1 << 20) == path.read_bytes()
    assert report.speed and report.memory["host-peak"] > 0
    verdicts = {each["code"]: each["verdict"] for each in measuring.tests_of(report)}
    clock = verdicts.pop("M-03")  # which a busy machine may leave in doubt
    assert clock in ("valid", "doubtful") and verdicts == dict.fromkeys(("M-02", "M-05", "M-10"), "valid")
    assert body["run"]["compliance"]["base"] == measuring.tests_of(report)
    assert not any((tmp_path / "work" / "jobs").glob("*/"))  # box space is wiped


def told(server, said):
    """All that a participant, or somebody who reads the worker's log, can come to see."""
    with server.database.read() as session:
        job = session.scalars(select(Job)).one()
        one = session.get_one(Submission, "first")
        parts = [(each.part, each.done, each.of) for each in session.scalars(select(Progress))]
        notices = [(each.subject, each.body) for each in session.scalars(select(Notice))]
        return json.dumps([said, list(session.scalars(select(Line.text))), job.cause, one.sentence, one.code, parts,
                           notices])  # fmt: skip


def on_disk(folder):
    """Everything that lies in a folder, names included."""
    return b"".join(str(path).encode() + (path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*"))


@pytest.mark.slow
def test_a_hold_out_is_asked_and_marked_and_nothing_of_it_is_told(evaluated, make_checkpoint, tmp_path):
    secrets = seal_hold_out(tmp_path / "secrets")
    server, said = evaluated(make_checkpoint("llama", max_position_embeddings=2048), secrets)
    state, *_, result = end(server)
    assert state == "scored", said
    model = json.loads(server.storage.read(result, 1 << 20))["models"]["base"]
    hidden = Report.model_validate(json.loads(server.storage.read(model["holdout"]["report"], 1 << 20)))
    assert hidden.tasks["wombat"].complete and model["holdout"]["answers"].keys() == {"wombat"}
    assert model["agreement"]["same"] == model["agreement"]["of"] > 0
    public = server.storage.read(model["report"], 1 << 20).decode()
    assert "base/holdout" in told(server, said)
    for word in ("wombat", CANARY, EXPECTED):
        assert word not in told(server, said) + public
        assert word.encode() not in on_disk(tmp_path / "work") + on_disk(tmp_path / "secrets")
    assert not list(Path("/dev/shm").glob("edgelm-holdout-*"))


@pytest.mark.slow
def test_a_model_s_own_code_finds_nothing_and_tells_nobody_of_hold_outs(evaluated, own_code, tmp_path, monkeypatch):
    secrets, spied = seal_hold_out(tmp_path / "secrets"), tmp_path / "spied"
    shutil.copytree(own_code, spied)
    data = tmp_path / "data"
    row = json.loads((data / "gsm8k" / "test.jsonl").read_text().splitlines()[0])["answer"]
    words = ["gsm8k", "commonsenseqa", "chid", CANARY, EXPECTED, json.dumps(row)[1:-1], row]
    spy = SPY.replace("WORDS", repr([word[::-1] for word in words])).replace("CANARY", repr(CANARY[::-1]) + "[::-1]")
    spy = spy.replace(
        "PATHS", f"{data} {secrets.key} {secrets.seed} {tmp_path / 'server'} {tmp_path / 'work' / 'cache'}"
    )
    for path in spied.glob("modeling*.py"):
        path.write_text(spy + path.read_text())
    monkeypatch.setattr(measuring, "require_measurable", lambda *_: None)
    server, said = evaluated(spied, secrets)
    state, fault, _, _, lines, _ = end(server)
    assert (state, fault) == ("failed", "participant"), (said, lines)  # its speed cannot be measured
    seen = [line for line in lines if "SPY" in line]
    assert len(seen) >= 2 and all("SPY held" in line for line in seen), (said, lines)
    assert any("max_tokens" in line for line in lines)  # what it says of public tasks is shown
    for word in ("wombat", CANARY, EXPECTED):
        assert word not in told(server, said)
        assert word.encode() not in on_disk(tmp_path / "work")


@pytest.mark.slow
def test_own_code_is_refused_before_anything_is_asked(evaluated, own_code):
    server, said = evaluated(own_code)
    state, fault, code, _, lines, _ = end(server)
    assert (state, fault, code) == ("failed", "participant", "own-code"), said
    assert not any("base/" in line for line in lines)


@pytest.mark.slow
def test_a_model_beyond_its_memory_is_its_team_s_fault(evaluated, make_checkpoint):
    server, said = evaluated(make_checkpoint("llama"), memory=100 << 20)
    assert end(server)[:4] == ("failed", "participant", "out-of-memory", "spent"), said
