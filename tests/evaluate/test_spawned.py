"""Processes of this host as workers: the same report as from one process, also when workers are killed."""

import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.errors import Unsupported
from edgelm.evaluate import answers, spawned
from edgelm.evaluate.run import evaluate
from edgelm.evaluate.workers import Job, Workers
from edgelm.files import JsonLog
from edgelm.plugins import parse

TWO = Workers(2)


@pytest.fixture
def run(tiny, suite, tmp_path, parrot):
    """Evaluate two tasks of the miniature suite."""

    def go(engine, out="report", names=("gsm8k", "chid"), **options):
        tasks = [(parse("tasks", name), suite) for name in names]
        return evaluate(Checkpoint(tiny), tasks, engine, tmp_path / out, **options)

    return go


def test_workers_give_the_same_report_and_say_what_they_took(run, parrot, tmp_path, finished):
    told = []
    run(parrot.Parrot(), "two", workers=TWO, progress=lambda *now: told.append(now))
    assert not parrot.Parrot.asked, "nothing was asked in this process"
    run(parrot.Parrot(), "one")
    assert finished(tmp_path / "one") == finished(tmp_path / "two")
    assert {now for now in told if now[1] == now[2]} == {("gsm8k", 40, 40), ("chid", 40, 40)}
    (line,) = JsonLog(tmp_path / "two" / "runs.jsonl").read()
    assert line["answers"] == {"gsm8k": 40, "chid": 40} and line["by"] == "2 workers, spawned"
    assert multiprocessing.active_children() == []


def test_a_killed_worker_loses_nothing(run, parrot, tmp_path, finished):
    killed = []

    def kill_one(label, done, wanted):
        if not killed:
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    told = []
    run(parrot.Parrot(seconds=0.02), "two", workers=TWO, progress=kill_one, say=told.append)
    assert re.fullmatch(r"worker [01] died \(signal 9\); its rows are asked again", told[0])
    run(parrot.Parrot(), "one")
    assert killed and finished(tmp_path / "one") == finished(tmp_path / "two")


def test_rows_that_kill_every_worker_are_named_and_all_else_is_kept(run, parrot, suite, tmp_path):
    poison = parse("tasks", "gsm8k").samples(suite)[5]
    with pytest.raises(Unsupported, match=r"gsm8k-4, gsm8k-5\n"):
        run(parrot.Parrot(batch=2, poison=poison.prompt.turns[-1].text), workers=TWO, names=["gsm8k"])
    assert len(JsonLog(tmp_path / "report" / "log" / "answers.jsonl").read()) == 38
    assert not (tmp_path / "report" / "report.json").exists()


def test_what_a_worker_refuses_is_the_users_error(run, parrot):
    with pytest.raises(Unsupported, match="parrots read no such checkpoint") as refused:
        run(parrot.Parrot(refuses=True), workers=TWO)
    assert refused.value.mend == "ask an owl"
    assert multiprocessing.active_children() == []


def test_an_interrupt_ends_the_workers_at_once_and_answers_stay(run, parrot, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run(parrot.Parrot(seconds=0.02), workers=TWO, progress=interrupt)
    assert multiprocessing.active_children() == [], f"while {caught} is still held"
    assert len(JsonLog(tmp_path / "report" / "log" / "answers.jsonl").read()) == 4


def test_each_worker_has_a_gpu_of_its_own_in_turn_and_its_part_of_the_cores(tiny, parrot, monkeypatch):
    job = Job.of(Checkpoint(tiny), "base", parrot.Parrot())
    monkeypatch.setattr(spawned, "visible_gpus", lambda: ["4", "7"])
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS")
    pool = spawned.Spawned(job, 3)
    assert [pool.environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["4", "7", "4"]
    assert pool.environment(0)["OMP_NUM_THREADS"] == "4"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in pool.environment(0)


def test_a_stopped_worker_is_found_by_its_silence_and_ended(run, parrot, monkeypatch, tmp_path, finished):
    monkeypatch.setattr(answers, "PATIENCE", 1.0)
    stopped = []

    def stop_one(label, done, wanted):
        if not stopped:
            stopped.append(multiprocessing.active_children()[0].pid)
            os.kill(stopped[0], signal.SIGSTOP)

    run(parrot.Parrot(seconds=0.02), "two", workers=TWO, progress=stop_one)
    run(parrot.Parrot(), "one")
    assert stopped and finished(tmp_path / "one") == finished(tmp_path / "two")
    assert multiprocessing.active_children() == []


def test_workers_end_with_a_killed_coordinator_and_the_next_run_goes_on(run, parrot, tmp_path, finished):
    told, mine = multiprocessing.Pipe()

    def until_killed():
        def tell(*_):
            mine.send([child.pid for child in multiprocessing.active_children()])

        run(parrot.Parrot(seconds=0.02), "two", workers=TWO, progress=tell)

    coordinator = multiprocessing.get_context("fork").Process(target=until_killed)
    coordinator.start()
    assert told.poll(20)
    workers = told.recv()
    coordinator.kill()
    coordinator.join()
    deadline = time.monotonic() + 10
    while any(_lives(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(workers) == 2 and not any(_lives(pid) for pid in workers)
    assert not (tmp_path / "two" / "report.json").exists()
    run(parrot.Parrot(), "two")
    run(parrot.Parrot(), "one")
    assert finished(tmp_path / "one") == finished(tmp_path / "two")


def _lives(pid):
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.slow
def test_real_models_in_two_processes_of_which_one_is_killed(run, parrot, tmp_path, finished):
    engine = parse("engines", "hf:batch=4")
    run(parrot.Mortal(engine, tmp_path / "grave"), "two", workers=TWO)
    assert (tmp_path / "grave").exists()
    run(engine, "one")
    assert finished(tmp_path / "one") == finished(tmp_path / "two")
