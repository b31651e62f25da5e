"""A worker goes on after hostile packages: each is failed by what it did, in the real box, and the next is scored."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.files import canonical_json
from edgelm.server import queue
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.database import Database
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Job, Slot, Submission
from edgelm.server.worker import loop
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Limits
from edgelm.server.worker.executors.local import Local

_spec = importlib.util.spec_from_file_location("scripted", Path(__file__).with_name("scripted.py"))
scripted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scripted)

KEY = WORKER_KEY + "k" * 40
MIB = 2**20
LIMITS = Limits(seconds=4, memory=256 * MIB, processes=50, disk=32 * MIB)
HOSTILE = {  # what a model does instead of answering, and the code that its team is told
    "process-limit": "while True:\n try: os.fork()\n except OSError: pass",  # the system may refuse before it is seen
    "disk-limit": "for n in range(9999): open(f'{WRITES}/{n}', 'wb').write(bytes(1 << 20)); time.sleep(0.001)",
    "out-of-memory": "x = []\nwhile True: x.append(b'x' * (1 << 20)); time.sleep(0.001)",
    "time-limit": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(60)",
    "crash": "os.abort()",
}


class Mixed(scripted.Scripted):
    """Plays steps, but runs what hostile models do for real: a payload takes the place of the program that asks."""

    def __init__(self, asked, payloads):
        super().__init__(asked)
        self.local, self.real, self.payloads = Local(), {}, list(payloads)

    def start(self, step):
        payload = self.payloads.pop(0) if step.name == "base/tasks" else None
        if payload is None and step.name != "trial":
            return super().start(step)
        if payload:
            program = f"import os, signal, time\nWRITES = {str(step.writes)!r}\n{payload}"
            box = step.words[: step.words.index("-m") - 1]
            step = replace(step, words=(*box, sys.executable, "-I", "-S", "-c", program))
        handle = f"real-{self.local.start(step)}"
        self.real[handle] = handle.removeprefix("real-")
        return handle

    def poll(self, handle):
        return self.local.poll(self.real[handle]) if handle in self.real else super().poll(handle)

    def cancel(self, handle):
        return self.local.cancel(self.real[handle]) if handle in self.real else super().cancel(handle)

    def logs(self, handle, most=1 << 16):
        return self.local.logs(self.real[handle], most) if handle in self.real else super().logs(handle, most)


@pytest.fixture
def server(sqlite_url, clock, tmp_path, a_submission, a_worker):
    """A server on which one package after the other waits to be evaluated: those of `HOSTILE`, then a good one."""
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    database = Database(sqlite_url)
    made = Server(Settings(folder=tmp_path / "server", database=sqlite_url, rules="miniature"), database, clock)
    files = {"models/base/card.json": b'{"derivation":"compressed"}', "models/base/checkpoint/config.json": b"{}"}
    entries = [{"path": path, "size": len(data), "sha256": sha256(data).hexdigest()} for path, data in files.items()]
    with database.write() as session:
        a_worker(session, "one").sha256 = digest(KEY)
        for data in files.values():
            session.add(Blob(sha256=made.storage.put(data), size=len(data), created=0))
        for number, name in enumerate([*HOSTILE, "good"], start=1):
            found = a_submission(session, name, state="queued", slot=number)
            found.manifest = made.storage.put(canonical_json({
                "format": 1, "team": "T", "track": "compression", "rules": made.rules.digest, "title": name,
                "method": "m", "contact": "c", "models": {"base": "models/base"}, "claims": "results.csv",
                "made_by": "edgelm", "files": entries,
            }))  # fmt: skip
            session.add_all(File(submission_id=name, path=each["path"], sha256=each["sha256"]) for each in entries)
            queue.enqueue(session, SYSTEM, key=name, submission_id=name, kind="evaluate", now=clock() + number)
    return made


def test_each_hostile_package_is_failed_by_what_it_did_and_the_good_one_is_scored(server, box, tmp_path):
    executor = Mixed(tmp_path / "asked", [*HOSTILE.values(), None])
    said = []
    with TestClient(create_app(server), headers={"Authorization": f"Bearer {KEY}"}) as web:
        bench = Bench(Calls(web), executor, box, tmp_path / "work", limits=LIMITS)
        loop.run(bench, once=True, say=said.append, idle=0.05)
    with server.database.read() as session:
        ends = {each.id: (each.state, each.fault, each.code) for each in session.scalars(select(Submission))}
        sentences = {each.id: each.sentence for each in session.scalars(select(Submission))}
        slots = {each.submission_id: each.use for each in session.scalars(select(Slot))}
        attempts = set(session.scalars(select(Job.attempt)))
    assert ends == {code: ("failed", "participant", code) for code in HOSTILE} | {"good": ("scored", "", "scored")}, (
        said
    )
    assert set(slots.values()) == {"spent"} and attempts == {1}
    assert len(set(sentences.values())) == len(sentences) and not executor.payloads
    assert re.search(r"code -?\d+", sentences["crash"])
    assert not any(path.is_dir() for path in (tmp_path / "work" / "jobs").iterdir())
