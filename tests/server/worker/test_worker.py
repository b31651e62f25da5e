"""Workers against a real server over HTTP: killed anywhere, others go on; faults are theirs who made them."""

from __future__ import annotations

import hmac
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

import uvicorn
from sqlalchemy import select

from edgelm.files import JsonLog, canonical_json
from edgelm.rules.miniature import Miniature
from edgelm.server import queue, records, states
from edgelm.server.app import create_app
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import utc_now
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Job, Line, Slot, Submission
from edgelm.server.worker import loop
from edgelm.server.worker.executors.base import Ended

SCRIPT = Path(__file__).with_name("scripted.py")
_spec = importlib.util.spec_from_file_location("scripted", SCRIPT)
scripted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scripted)

KEYS = {name: WORKER_KEY + name * 8 for name in ("one", "two")}
TASKS = Miniature().tasks
QUESTIONS = sorted(f"{task}-{n}" for task in TASKS for n in range(scripted.QUESTIONS))
LEASE = 60  # seconds; a call takes long on a starved machine


class Steady:
    """The steady clock, but for what a test leaps over."""

    def __init__(self):
        self.leapt = 0

    def __call__(self):
        return time.monotonic() + self.leapt


@pytest.fixture
def server(database, tmp_path, a_submission, a_worker):
    """A server on a port of its own, with one package of one model whose check waits."""
    address = database.engine.url.render_as_string(False)
    settings = Settings(folder=tmp_path / "server", database=address, rules="miniature", lease_seconds=LEASE)
    made = Server(settings, database, steady=Steady())
    files = {"models/base/card.json": b'{"derivation":"compressed"}', "models/base/checkpoint/config.json": b"{}"}
    manifest = canonical_json({
        "format": 1, "team": "Team", "track": "compression", "rules": made.rules.digest, "title": "T", "method": "m",
        "contact": "c", "models": {"base": "models/base"}, "claims": "results.csv", "made_by": "edgelm",
        "files": [{"path": path, "size": len(data), "sha256": sha256(data).hexdigest()}
                  for path, data in files.items()],
    })  # fmt: skip
    with database.write() as session:
        found = a_submission(session)
        found.manifest = made.storage.put(manifest)
        for path, data in files.items():
            session.add(Blob(sha256=made.storage.put(data), size=len(data), created=0))
            session.flush()
            session.add(File(submission_id="first", path=path, sha256=sha256(data).hexdigest()))
        for name, key in KEYS.items():
            a_worker(session, name).sha256 = digest(key)
        queue.enqueue(session, SYSTEM, key="check/first", submission_id="first", kind="check", now=utc_now())
    config = uvicorn.Config(create_app(made), host="127.0.0.1", port=0, log_level="error", access_log=False)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    yield made, url
    running.should_exit = True
    thread.join()


@pytest.fixture
def worker(server, tmp_path):
    """`worker("one", die="base/tasks:2")`: a worker process; `worker.here(...)` is one in this process."""
    _, url = server
    asked = tmp_path / "asked"

    def start(name="one", die="", folder="work"):
        words = [sys.executable, SCRIPT, url, KEYS[name], tmp_path / folder, asked, *([die] if die else [])]
        (tmp_path / folder).mkdir(exist_ok=True)
        env = os.environ | {"TMPDIR": str(tmp_path / folder)}  # where the lock of a machine's processors lies
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=env)

    def here(name="one", folder="work", **options):
        executor = scripted.Scripted(asked, **options)
        said = []
        loop.run(scripted.bench(url, KEYS[name], tmp_path / folder, executor), once=True, say=said.append, idle=0.05)
        return executor, said

    start.here, start.asked = here, lambda: sorted(asked.read_text().split())
    return start


def submission(made):
    with made.database.read() as session:
        found = session.get_one(Submission, "first")
        return found.state, found.fault, found.code, session.scalars(select(Slot)).one().use


def result(made):
    """The result of the evaluation, whole."""
    with made.database.read() as session:
        results = session.scalars(select(Job.result).where(Job.kind == "evaluate").order_by(Job.created))
        last = list(results)[-1]
    body = json.loads(made.storage.read(last, 1 << 20))
    model = body["models"]["base"]
    model["report"] = json.loads(made.storage.read(model["report"], 1 << 20))
    model["answers"] = {task: made.storage.read(blob, 1 << 20) for task, blob in model["answers"].items()}
    return body


def lose(made):
    """Let the time of the lease that is held pass."""
    made.steady.leapt += LEASE


def test_a_package_is_checked_and_evaluated(server, worker):
    made, _ = server
    executor, said = worker.here()
    assert executor.names == ["check", "base/render", "base/tasks", "base/marks", "base/agreement", "base/throughput",
                              "base/compliance"]  # fmt: skip
    assert submission(made) == ("scored", "", "scored", "spent")
    body = result(made)
    assert body["models"]["base"]["report"]["tasks"].keys() == set(TASKS)
    assert body["models"]["base"]["report"]["speed"]["device"] == "d"
    assert body["models"]["base"]["answers"].keys() == set(TASKS)
    assert body["eligible"] is False  # there was no box, and that is stamped
    assert worker.asked() == QUESTIONS and said[-1] == "done"
    with made.database.read() as session:
        assert "base/tasks: last words" in list(session.scalars(select(Line.text)))


STAGES = ["fetch", "check", "base/render", "base/tasks", "base/tasks:6", "base/tasks:12", "base/marks",
          "base/agreement", "base/throughput", "base/compliance", "before check", "after check",
          "before evaluate"]  # fmt: skip


@pytest.mark.parametrize("die", STAGES)
def test_killed_at_any_stage_it_goes_on_elsewhere_and_asks_nothing_twice(server, worker, die):
    made, _ = server
    assert worker("one", die).returncode == -signal.SIGKILL
    assert submission(made)[0] == {"check": "checking", "fetch": "checking", "before check": "checking",
                                   "after check": "queued"}.get(die, "running")  # fmt: skip
    lose(made)
    worker.here("two")
    assert submission(made) == ("scored", "", "scored", "spent")
    assert worker.asked() == QUESTIONS
    report = result(made)["models"]["base"]["report"]
    assert report["tasks"]["gsm8k"]["score"] == "50"


def test_killed_after_all_was_handed_in_nothing_is_done_again(server, worker):
    made, _ = server
    assert worker("one", "after evaluate").returncode == -signal.SIGKILL
    before = result(made)
    assert submission(made) == ("scored", "", "scored", "spent")
    worker.here("two")
    assert (worker.asked(), result(made)) == (QUESTIONS, before)
    with made.database.read() as session:
        assert {(each.kind, each.attempt, each.fence) for each in session.scalars(select(Job))} == {
            ("check", 1, 1), ("evaluate", 1, 1),
        }  # fmt: skip


def test_on_another_machine_it_goes_on_with_what_was_sent(server, worker):
    made, _ = server
    assert worker("one", "base/throughput").returncode == -signal.SIGKILL
    lose(made)
    worker.here("two", folder="elsewhere")
    assert worker.asked() == QUESTIONS
    assert submission(made)[0] == "scored"


def test_killed_or_not_the_result_is_the_same(server, worker, tmp_path):
    made, _ = server
    for die in ("base/tasks:3", "base/marks"):
        assert worker("one", die).returncode == -signal.SIGKILL
        lose(made)
    worker.here("two")
    killed = result(made)
    with made.database.write() as session:
        states.move(session, SYSTEM, session.get_one(Submission, "first"), "queued", utc_now())
        queue.enqueue(session, SYSTEM, key="again", submission_id="first", kind="evaluate", now=utc_now())
    worker.here("one", folder="fresh")
    assert len(worker.asked()) == 2 * len(QUESTIONS)
    again = result(made)
    assert killed.pop("run")["journals"] == again.pop("run")["journals"]
    assert killed == again


def test_a_worker_that_wakes_after_its_lease_writes_nothing(server, worker):
    made, _ = server
    slept = threading.Event()

    def sleep(name):
        if name == "base/tasks" and not slept.is_set():
            with made.database.write() as session:  # as if its heartbeats had not come for a minute
                job = session.scalars(select(Job).where(Job.state == "leased")).one()
                records.failed(session, SYSTEM, job, "platform", "platform-fault", queue.SILENT, utc_now())
            slept.set()
            assert worker("two", folder="elsewhere").returncode == 0

    _, said = worker.here(pause=sleep)
    assert any("lease" in line for line in said) and said.count("done") == 1  # the check
    assert submission(made)[0] == "scored"
    with made.database.read() as session:
        job = session.scalars(select(Job).where(Job.kind == "evaluate")).one()
        assert (job.worker, job.fence) == ("two", 2)


@pytest.mark.parametrize(("step", "ended", "code"), [
    ("base/tasks", Ended("memory"), "out-of-memory"), ("base/tasks", Ended("time"), "time-limit"),
    ("base/tasks", Ended("exit", 1), "crash"), ("base/throughput", Ended("exit", 3), "crash"),
    ("base/throughput", Ended("disk"), "disk-limit"), ("base/tasks", Ended("processes"), "process-limit"),
    ("base/tasks", Ended("exit", -11), "crash"),
])  # fmt: skip
def test_what_a_model_breaks_its_team_answers_for(server, worker, step, ended, code):
    made, _ = server
    worker.here(ends={step: ended})
    assert submission(made) == ("failed", "participant", code, "spent")


@pytest.mark.parametrize(("verdicts", "times", "shown"), [
    ([], 1, "valid"), (["doubtful"], 2, "valid"), (["invalid", "doubtful"], 3, "valid"),
    (["doubtful"] * 3, 3, "doubtful"),
])  # fmt: skip
def test_what_the_clock_doubts_is_measured_again_and_a_last_doubt_is_shown(server, worker, verdicts, times, shown):
    made, _ = server
    executor, _ = worker.here(verdicts=verdicts)
    assert executor.names.count("base/throughput") == executor.names.count("base/compliance") == times
    assert submission(made) == ("scored", "", "scored", "spent")
    body = result(made)
    found = [{"code": "M-03", "verdict": shown, "what": "as it is"}]  # without the evidence
    assert body["models"]["base"]["report"]["speed"]["compliance"] == body["run"]["compliance"]["base"] == found
    with made.database.read() as session:
        assert f"base/compliance: M-03 {shown}: as it is" in list(session.scalars(select(Line.text)))


def test_a_model_that_is_another_when_it_is_timed_has_no_result(server, worker):
    made, _ = server
    worker.here(verdicts=["invalid"] * 3)
    assert submission(made) == ("failed", "participant", "invalid-run", "spent")
    with made.database.read() as session:
        assert session.get_one(Submission, "first").sentence == "base: M-03: as it is"


@pytest.mark.parametrize("between", [
    {"key": "k"}, {"key": "k", "text": ["t"], "tokens": 1, "prompt_tokens": 1, "finish": "stop"},
])  # fmt: skip
def test_what_is_no_answer_between_the_repeats_its_team_answers_for(server, worker, between):
    made, _ = server
    executor, _ = worker.here(between=JsonLog.line(between))
    assert submission(made) == ("failed", "participant", "crash", "spent")
    assert "base/compliance" not in executor.names


@pytest.mark.parametrize("ended", [Ended("cancelled"), Ended("exit", -9)])
def test_what_the_platform_breaks_is_tried_again(server, worker, ended):
    made, _ = server
    worker.here(ends={"base/tasks": ended})
    assert submission(made) == ("failed", "platform", "platform-fault", "free")
    with made.database.read() as session:
        assert session.scalars(select(Job).where(Job.kind == "evaluate")).one().attempt == 4


@pytest.fixture
def second(server):
    """The package has a second model, `other`, whose files are those of the first."""
    made, _ = server
    with made.database.write() as session:
        found = session.get_one(Submission, "first")
        manifest = json.loads(made.storage.read(found.manifest, 1 << 20))
        manifest["models"]["other"] = "models/other"
        more = [each | {"path": each["path"].replace("base", "other")} for each in manifest["files"]]
        manifest["files"] += more
        found.manifest = made.storage.put(canonical_json(manifest))
        session.add_all(File(submission_id="first", path=each["path"], sha256=each["sha256"]) for each in more)


@pytest.mark.usefixtures("second")
def test_of_several_models_each_is_tried_before_one_is_asked_everything(server, worker):
    made, _ = server
    executor, _ = worker.here(ends={"other/tasks": Ended("exit", 1)})
    assert executor.names == ["check", "base/render", "base/tasks", "other/render", "other/tasks"]
    assert submission(made) == ("failed", "participant", "crash", "spent") and len(worker.asked()) == 4


@pytest.mark.usefixtures("second")
def test_what_was_answered_when_it_was_tried_is_not_asked_again(server, worker):
    made, _ = server
    worker.here()
    assert submission(made) == ("scored", "", "scored", "spent")
    assert worker.asked() == sorted(2 * QUESTIONS)


def test_a_refused_package_is_not_evaluated(server, worker):
    made, _ = server
    error = {"code": "PKG-01", "severity": "E", "path": "", "what": "w", "why": "y", "mend": "m"}
    executor, _ = worker.here(findings=[error])
    assert executor.names == ["check"]
    assert submission(made) == ("refused", "participant", "PKG-01", "free")


def test_a_cancelled_job_is_ended_where_it_runs(server, worker):
    made, _ = server

    def cancel(name):
        if name == "base/tasks" and submission(made)[0] == "running":
            with made.database.write() as session:
                states.cancel(session, SYSTEM, session.get_one(Submission, "first"), "asked for", utc_now())

    executor, said = worker.here(pause=cancel)
    assert "base/throughput" not in executor.names and "done" in said  # of the check
    assert submission(made)[0] == "cancelled"


def test_a_worker_that_is_stopped_gives_its_job_back_at_once(server, worker):
    made, _ = server

    def stop(name):
        if name == "base/tasks":
            raise loop.Stopped

    with pytest.raises(loop.Stopped):
        worker.here(pause=stop)
    with made.database.read() as session:
        job = session.scalars(select(Job).where(Job.kind == "evaluate")).one()
        assert (job.state, job.attempt) == ("waiting", 0)


def test_a_full_disk_is_the_platform_s(server, worker, monkeypatch):
    made, _ = server

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    worker.here()
    assert submission(made) == ("failed", "platform", "platform-fault", "free")


def test_a_disk_that_was_full_once_needs_no_repair(server, worker, monkeypatch, tmp_path):
    made, _ = server
    link, full = os.link, [True]

    def perhaps(*words):
        if full:
            full.pop()
            raise OSError(28, "No space left on device")
        link(*words)

    monkeypatch.setattr(os, "link", perhaps)
    _, said = worker.here()
    assert submission(made) == ("scored", "", "scored", "spent") and any("disk is full" in line for line in said)
    assert not any(path.is_dir() for path in (tmp_path / "work" / "jobs").iterdir())


def test_an_error_that_nobody_foresaw_is_the_platform_s_and_the_worker_lives(server, worker, monkeypatch):
    made, _ = server

    def broken(*_):
        raise RecursionError("what is secret")

    monkeypatch.setattr("edgelm.server.worker.asking.ask", broken)
    _, said = worker.here()
    assert submission(made) == ("failed", "platform", "platform-fault", "free")
    assert any("RecursionError" in line for line in said) and not any("what is secret" in line for line in said)


def test_nothing_is_left_of_a_job_however_deep_a_model_dug(server, worker, tmp_path):
    made, _ = server
    jobs, dug = tmp_path / "work" / "jobs", []

    def dig(name):
        if name == "base/tasks" and not dug:
            (writes,) = jobs.glob("*/models/base/writes")
            at = os.open(writes, os.O_RDONLY)
            for _ in range(3000):
                os.mkdir("d", dir_fd=at)
                inner = os.open("d", os.O_RDONLY, dir_fd=at)
                os.close(at)
                at = inner
            os.close(at)
            dug.append(True)

    worker.here(pause=dig)
    assert submission(made)[0] == "scored" and dug
    assert not any(path.is_dir() for path in jobs.iterdir())


def test_what_a_killed_worker_left_hours_ago_is_removed_at_the_next_job(server, worker, tmp_path):
    made, _ = server
    left = tmp_path / "work" / "jobs" / "other"
    left.mkdir(parents=True)
    (left / "requests").write_text("secret")
    left.with_name("other.lock").touch()
    for path in (left / "requests", left):
        os.utime(path, (time.time() - 2 * 3600,) * 2)
    worker.here()
    assert submission(made)[0] == "scored" and not left.exists()


def test_a_report_of_speed_brings_no_scores(server, worker, monkeypatch):
    made, _ = server
    measured = scripted.Scripted._measured

    def forged(self):
        measured(self)
        path = self.step.writes / "report" / "report.json"
        report = json.loads(path.read_text())
        score = {"protocol": "p", "score": "100", "samples": 4, "of": 4, "prompting": "base", "engine": {}}
        path.write_text(json.dumps(report | {"tasks": {"gsm8k": score}}))
        return True

    monkeypatch.setattr(scripted.Scripted, "_measured", forged)
    worker.here()
    assert result(made)["models"]["base"]["report"]["tasks"]["gsm8k"]["score"] == "50"


def test_a_result_says_how_it_was_made_signed_by_the_worker(server, worker):
    made, _ = server
    worker.here()
    run = result(made)["run"]
    signature = run.pop("signature")
    key = digest(KEYS["one"]).encode()
    assert signature == hmac.digest(key, canonical_json(run), "sha256").hex()
    assert run["weights"] == {"base": "c" * 64} and run["started"] < run["ended"]
    assert run["journals"].keys() == {"base"} and any(each.startswith("pydantic==") for each in run["packages"])
