"""The queue: whom a job goes to, what a lease allows and until when, and what comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from edgelm.server import audit, queue
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import SECOND
from edgelm.server.leases import Leases
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.tables import Audit, Job, Line, Progress, Worker

from ..conftest import ON_BOTH

pytestmark = ON_BOTH


LEASE = 60  # seconds


@pytest.fixture
def ready(database, a_worker, a_submission):
    with database.write() as session:
        a_submission(session)
        for name, tags in (("one", ()), ("two", ()), ("big", ("gpu", "a100"))):
            a_worker(session, name, tags)
    return database


@pytest.fixture
def leases(clock):
    return Leases(LEASE, lambda: clock() / SECOND)


def put(session, key, clock, **options):
    return queue.enqueue(session, SYSTEM, key=key, submission_id="first", kind="check", now=clock(), **options)


def take(database, clock, name="one"):
    with database.write() as session:
        job = queue.lease(session, session.get_one(Worker, name), LEASE, clock())
        return (job.key, job.id, job.fence) if job else None


def test_what_is_asked_twice_is_done_once(ready, clock):
    with ready.write() as session:
        first = put(session, "a", clock)
    with ready.write() as session:
        assert put(session, "a", clock, priority=9).id == first.id
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_priority_comes_before_age_and_age_before_the_rest(ready, clock):
    for key, priority in (("old", 0), ("new", 0), ("urgent", 5)):
        with ready.write() as session:
            put(session, key, clock, priority=priority)
        clock.pass_seconds(1)
    assert [take(ready, clock)[0] for _ in range(3)] == ["urgent", "old", "new"]
    assert take(ready, clock) is None


def test_a_job_goes_to_a_worker_that_has_all_its_tags(ready, clock):
    with ready.write() as session:
        put(session, "heavy", clock, tags=["gpu", "a100"], priority=1)
        put(session, "light", clock)
    assert [take(ready, clock)[0], take(ready, clock), take(ready, clock, "big")[0]] == ["light", None, "heavy"]


def test_of_many_workers_at_once_one_gets_the_job(ready, clock):
    with ready.write() as session:
        put(session, "a", clock)
    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(lambda number: take(ready, clock, ("one", "two")[number % 2]), range(20)))
    assert sum(each is not None for each in got) == 1


def test_a_lease_ends_after_silence_and_a_heartbeat_keeps_it(ready, clock, leases):
    with ready.write() as session:
        put(session, "a", clock)
    _, id, fence = take(ready, clock)
    for _ in range(3):
        clock.pass_seconds(LEASE - 1)
        with ready.write() as session:
            job = queue.held(session, session.get_one(Worker, "one"), id, fence)
            queue.heartbeat(session, job, LEASE, clock())
            leases.heard(job)
            assert not queue.silent(session, leases)
    clock.pass_seconds(LEASE)
    with ready.write() as session:
        assert [job.id for job in queue.silent(session, leases)] == [id]


def test_what_bears_an_old_number_is_refused_and_what_bears_the_new_one_is_not(ready, clock, leases):
    with ready.write() as session:
        put(session, "a", clock)
    _, id, old = take(ready, clock)
    with ready.write() as session:
        assert not queue.silent(session, leases)  # a server that has just started waits as long as any
    clock.pass_seconds(LEASE)
    with ready.write() as session:
        for job in queue.silent(session, leases):
            queue.give_back(session, SYSTEM, job, queue.SILENT, clock())
    _, again, new = take(ready, clock)  # by the same worker
    assert (again, new > old) == (id, True)
    with ready.write() as session:
        one, two = session.get_one(Worker, "one"), session.get_one(Worker, "two")
        assert queue.held(session, one, id, new).id == id
        for worker, fence in ((one, old), (two, new), (one, new + 1)):
            with pytest.raises(Conflict):
                queue.held(session, worker, id, fence)
        with pytest.raises(NotThere):
            queue.held(session, one, "none", new)


def test_faults_of_the_platform_are_tried_again_three_times(ready, clock):
    with ready.write() as session:
        put(session, "a", clock)
    waits = []
    for _ in range(4):
        _, id, _ = take(ready, clock)
        with ready.write() as session:
            waits.append(queue.give_back(session, SYSTEM, session.get_one(Job, id), "disk full", clock()))
    assert waits == [True, True, True, False]
    assert take(ready, clock) is None
    with ready.read() as session:
        job = session.get_one(Job, id)
        assert (job.state, job.cause, job.ended) == ("failed", "disk full", clock())


def test_a_worker_that_leaves_costs_no_try(ready, clock):
    with ready.write() as session:
        put(session, "a", clock)
    for _ in range(10):
        _, id, fence = take(ready, clock)
        with ready.write() as session:
            assert queue.give_back(session, SYSTEM, session.get_one(Job, id), "leaves", clock(), counts=False)
    assert fence == 10


def test_progress_keeps_what_was_made(ready, clock):
    with ready.write() as session:
        job = put(session, "a", clock)
        queue.progress(session, job, "m/gsm8k", 5, 10, clock())
        queue.progress(session, job, "m/gsm8k", 10, 10, clock(), blob="f" * 64)
        queue.progress(session, job, "m/gsm8k", 10, 10, clock())
    with ready.read() as session:
        row = session.scalars(select(Progress)).one()
        assert (row.part, row.done, row.of, row.blob) == ("m/gsm8k", 10, 10, "f" * 64)


def test_a_log_is_cut_plain_and_bounded(ready, clock, monkeypatch):
    monkeypatch.setattr(queue, "MOST_LINES", 4)
    with ready.write() as session:
        job = put(session, "a", clock)
        queue.say(session, job, ["\x1b[31mred\0", "x" * 10_000], clock())
        queue.say(session, job, ["3", "4", "5", "6"], clock())
        queue.say(session, job, ["7"], clock())
    with ready.read() as session:
        lines = list(session.scalars(select(Line).order_by(Line.number)))
        assert [line.number for line in lines] == [1, 2, 3, 4]
        assert (lines[0].text, len(lines[1].text), lines[3].text) == (" [31mred ", queue.LONGEST_LINE, "4")


def test_what_is_cancelled_is_taken_by_nobody_and_its_worker_is_refused(ready, clock):
    with ready.write() as session:
        put(session, "a", clock)
        put(session, "b", clock)
    _, id, fence = take(ready, clock)
    with ready.write() as session:
        assert len(queue.cancel(session, SYSTEM, "first", clock())) == 2
        assert not queue.cancel(session, SYSTEM, "first", clock())
    assert take(ready, clock) is None
    with ready.write() as session, pytest.raises(Conflict):
        queue.held(session, session.get_one(Worker, "one"), id, fence)


def test_the_place_in_the_queue_counts_who_comes_before(ready, clock):
    jobs = []
    for priority in (0, 0, 3):
        with ready.write() as session:
            jobs.append(put(session, f"{len(jobs)}", clock, priority=priority))
        clock.now += SECOND
    with ready.read() as session:
        assert [queue.place(session, job) for job in jobs] == [1, 2, 0]


def test_every_change_of_a_job_is_in_the_audit_log(ready, clock):
    with ready.write() as session:
        put(session, "a", clock)
    _, id, fence = take(ready, clock)
    with ready.write() as session:
        job = queue.held(session, session.get_one(Worker, "one"), id, fence)
        queue.finish(session, job, "e" * 64, clock())
    with ready.read() as session:
        entries = list(session.scalars(select(Audit).order_by(Audit.number)))
        assert [entry.action for entry in entries] == ["job.enqueue", "job.lease", "job.finish"]
        assert entries[-1].actor == "worker:one" and audit.first_break(session) is None
