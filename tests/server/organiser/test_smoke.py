"""Smoke runs: a package is tried without a slot, so many times a day, and a tiny model really answers."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.files import canonical_json, tree_files
from edgelm.report import Report
from edgelm.server import entries, queue, records
from edgelm.server.audit import SYSTEM
from edgelm.server.keys import digest
from edgelm.server.tables import Attempts, Blob, File, Job, Line, Phase, Slot, Submission, Worker

from ..worker.conftest import box

__all__ = ["box"]
DAY = 86_400 * 10**6
KEY = "edgelm_w_x"


@pytest.fixture
def ann(competition, server):
    """A member of a team, while smoke runs are offered."""
    with server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=0, closes=2**51))
        session.add(Worker(name="w", sha256=digest(KEY), tags=[], created=0))
    return competition.browser("Ann", team="red")


def rows(server, table):
    with server.database.read() as session:
        return list(session.scalars(select(table)))


def test_a_smoke_run_takes_no_slot_and_no_attempt_and_is_never_ranked(server, ann, uploaded):
    answer = ann.post("/smoke", json={"upload": uploaded(ann, "red", "one")})
    assert answer.status_code == 201, answer.text
    one = answer.json()
    assert (one["phase"], one["state"], one["slot"]) == ("tries", "checking", None)
    with server.database.write() as session:
        worker = session.get_one(Worker, "w")
        check = queue.lease(session, worker, 60, server.clock())
        records.checked(session, SYSTEM, check, [], "0" * 64, server.clock())
        run = queue.lease(session, worker, 60, server.clock())
        assert run.kind == "smoke"
        records.taken(session, SYSTEM, run, server.clock())
        records.left(session, SYSTEM, run, server.clock())
        assert run.submission.state == "queued"
        run = queue.lease(session, worker, 60, server.clock())
        records.taken(session, SYSTEM, run, server.clock())
        records.evaluated(session, SYSTEM, run, "0" * 64, [], server.clock())
    ended = ann.get(f"/submissions/{one['id']}").json()
    assert (ended["state"], ended["sentence"]) == ("scored", "each model has answered")
    assert rows(server, Slot) == rows(server, Attempts) == []
    with server.database.read() as session:
        assert entries.unread(session, server, "compression") == []
        assert entries.gathered(session, server, "compression").entries == ()


def test_a_team_has_so_many_smoke_runs_a_day(server, competition, ann, uploaded):
    most = server.settings.smoke_runs
    for number in range(most):
        assert ann.post("/smoke", json={"upload": uploaded(ann, "red", f"{number}")}).status_code == 201
    more = uploaded(ann, "red", "more")
    refused = ann.post("/smoke", json={"upload": more})
    assert refused.status_code == 409 and f"{most} smoke runs" in refused.json()["what"]
    assert (ann.get("/smoke").json()["left"], ann.get("/smoke").json()["most"]) == (0, most)
    bob = competition.browser("Bob", team="blue")
    assert bob.post("/smoke", json={"upload": uploaded(bob, "blue", "his")}).status_code == 201
    assert bob.get("/smoke").json()["left"] == most - 1
    competition.clock.now += DAY
    competition.log_in(ann)
    assert ann.post("/smoke", json={"upload": more}).status_code == 201


def test_the_package_of_a_smoke_run_may_be_handed_in_for_good(ann, uploaded):
    assert ann.post("/smoke", json={"upload": uploaded(ann, "red", "one")}).status_code == 201
    again = uploaded(ann, "red", "two")
    real = ann.post("/submissions", json={"upload": again})
    assert (real.status_code, real.json()["phase"], real.json()["slot"]) == (201, "main", 1)
    for kind in ("smoke", "scored"):
        assert [each["kind"] for each in ann.get(f"/submissions?kind={kind}").json()["submissions"]] == [kind]


def test_smoke_runs_are_offered_in_their_phase_alone(server, competition, ann, uploaded, ada, rita):
    upload = uploaded(ann, "red", "one")
    assert competition.browser().post("/smoke", json={"upload": upload}).status_code == 401
    for other in (ada, rita, competition.browser("Eve")):
        assert other.post("/smoke", json={"upload": upload}).status_code == 403
    worker = competition.browser().post("/smoke", json={"upload": upload}, headers={"Authorization": f"Bearer {KEY}"})
    assert worker.status_code == 401
    with server.database.write() as session:
        session.get_one(Phase, "tries").closes = 1
    assert ann.get("/smoke").json()["phase"] is None
    closed = ann.post("/smoke", json={"upload": upload})
    assert (closed.status_code, closed.json()["code"]) == (409, "SUB-02")
    assert rows(server, Submission) == []


@pytest.mark.slow
def test_a_tiny_model_answers_and_its_team_reads_it(server, competition, ann, make_checkpoint, box, tmp_path):
    pytest.importorskip("torch", reason="the extra `model` is not installed")
    from edgelm.server.worker import loop
    from edgelm.server.worker.bench import Bench
    from edgelm.server.worker.calls import Calls
    from edgelm.server.worker.executors.local import Local

    checkpoint = make_checkpoint("llama", max_position_embeddings=2048)
    files = {f"models/base/checkpoint/{name}": (checkpoint / name).read_bytes() for name in tree_files(checkpoint)}
    files["models/base/card.json"] = b'{"derivation":"compressed","prompting":"base"}'
    manifest = canonical_json({
        "format": 1, "team": "red", "track": "compression", "rules": server.rules.digest, "title": "T", "method": "m",
        "contact": "c", "models": {"base": "models/base"}, "claims": "results.csv", "made_by": "e",
        "files": [{"path": path, "size": len(each), "sha256": sha256(each).hexdigest()}
                  for path, each in files.items()],
    })  # fmt: skip
    with server.database.write() as session:
        one = Submission(team_id="red", user_id=ann.id, track="compression", phase="tries", title="", received=0,
                         manifest=server.storage.put(manifest), state="accepted", changed=0)  # fmt: skip
        session.add(one)
        session.flush()
        for path, each in files.items():
            session.merge(Blob(sha256=server.storage.put(each), size=len(each), created=0))
            session.flush()
            session.add(File(submission_id=one.id, path=path, sha256=sha256(each).hexdigest()))
        records.evaluation(session, SYSTEM, one, 1, 0, "smoke")
    said: list[str] = []
    with TestClient(competition.app, headers={"Authorization": f"Bearer {KEY}"}) as http:
        bench = Bench(Calls(http), Local(), box, tmp_path / "work")
        loop.run(bench, once=True, say=said.append, idle=0.05)
    (job,) = rows(server, Job)
    assert job.state == "done", (said, [line.text for line in rows(server, Line)])
    model = json.loads(server.storage.read(job.result, 1 << 20))["models"]["base"]
    report = Report.model_validate(json.loads(server.storage.read(model["report"], 1 << 20)))
    assert report.tasks.keys() == {"commonsenseqa", "gsm8k", "chid"} == model["answers"].keys()
    assert all(score.samples > 0 for score in report.tasks.values())
    assert ann.get(f"/submissions/{one.id}/log").json()["lines"]
