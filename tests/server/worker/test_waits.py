"""How long a job will wait, as far as that can be told: by what is before it, what such jobs took, and who works."""

from __future__ import annotations

import pytest

from edgelm.server import queue, waits
from edgelm.server.audit import SYSTEM
from edgelm.server.tables import Job, Phase, Submission, Team, User, Worker

LEASE = 60
MINUTE = 60 * 10**6


class Queue:
    """A queue with two workers, and the jobs of one submission in it."""

    def __init__(self, database, clock):
        self._database, self.clock = database, clock

    def put(self, key, kind="evaluate", **fields):
        with self._database.write() as session:
            queue.enqueue(session, SYSTEM, key=key, submission_id="s", kind=kind, now=self.clock(), **fields)
        self.clock.now += 1

    def take(self, worker="one"):
        with self._database.write() as session:
            return queue.lease(session, session.get_one(Worker, worker), LEASE, self.clock()).id

    def done(self, minutes, kind="evaluate", worker="one"):
        """A job of that kind took so long, and is done."""
        self.put(f"{kind} {self.clock()}", kind, priority=9)
        job = self.take(worker)
        self.clock.now += minutes * MINUTE
        with self._database.write() as session:
            session.get_one(Worker, worker).seen = self.clock()
            queue.finish(session, session.get_one(Job, job), "0" * 64, self.clock())

    def wait(self, key="a"):
        """The wait of a job: whole minutes, or why it is not known."""
        with self._database.read() as session:
            found = waits.estimate(session, session.query(Job).filter_by(key=key).one(), LEASE, self.clock())
        return found.unknown if found.time is None else round(found.time / MINUTE)

    def change(self, work):
        with self._database.write() as session:
            work(session)


@pytest.fixture
def jobs(database, clock):
    with database.write() as session:
        session.add_all([
            User(id="ann", email="a", name="a", password="", role="participant", created=0),
            Team(id="red", name="red", key="red", tracks=[], created=0),
            Phase(name="main", kind="scored", opens=0, closes=1),
            *(Worker(name=name, sha256=name, tags=[], created=0) for name in ("one", "two")),
        ])  # fmt: skip
        session.flush()
        session.add(Submission(id="s", team_id="red", user_id="ann", track="t", phase="main", manifest="m", title="",
                               received=0, state="queued", changed=0))  # fmt: skip
    return Queue(database, clock)


def test_the_first_in_turn_is_taken_by_a_worker_that_is_free(jobs):
    jobs.done(10)
    jobs.put("a")
    assert jobs.wait() == 0


def test_each_job_before_it_takes_what_the_median_of_its_kind_did(jobs):
    for minutes in (10, 90, 20):
        jobs.done(minutes)
    jobs.done(1, "check")
    for key, kind in (("first", "evaluate"), ("second", "check"), ("third", "evaluate"), ("a", "evaluate")):
        jobs.put(key, kind)
    assert [jobs.wait(key) for key in ("first", "second", "third", "a")] == [0, 20, 21, 41]


def test_what_runs_is_counted_for_what_it_still_needs(jobs):
    jobs.done(10)
    jobs.put("running")
    jobs.take()
    jobs.clock.now += 4 * MINUTE
    jobs.put("a")
    assert jobs.wait() == 6
    jobs.clock.now += 30 * MINUTE  # longer than such jobs take
    jobs.change(lambda session: setattr(session.get_one(Worker, "one"), "seen", jobs.clock()))
    assert jobs.wait() == 0


def test_workers_share_what_is_to_be_done(jobs):
    jobs.done(10)
    jobs.done(10, worker="two")
    jobs.change(lambda session: setattr(session.get_one(Worker, "one"), "seen", jobs.clock()))
    for key in ("first", "second", "third", "a"):
        jobs.put(key)
    assert [jobs.wait(key) for key in ("first", "second", "third", "a")] == [0, 0, 10, 10]


def test_a_worker_that_does_several_at_once_counts_as_many(jobs):
    jobs.done(10)
    for key in ("first", "second", "a"):
        jobs.put(key)
    jobs.take()
    jobs.take()
    assert jobs.wait() == 10


def test_what_may_not_be_tried_before_a_time_waits_for_it(jobs):
    jobs.done(10)
    jobs.put("later")
    jobs.put("a")
    jobs.change(lambda session: setattr(session.query(Job).filter_by(key="later").one(), "not_before",
                                        jobs.clock() + 50 * MINUTE))  # fmt: skip
    assert (jobs.wait(), jobs.wait("later")) == (0, 50)


def test_it_is_said_why_nothing_is_known(jobs):
    jobs.put("first")
    jobs.put("a")
    assert jobs.wait() == "no worker is at work"
    jobs.change(lambda session: setattr(session.get_one(Worker, "one"), "seen", jobs.clock()))
    assert jobs.wait() == "no job like those before it has ended yet" and jobs.wait("first") == 0
    jobs.change(lambda session: queue.pause(session, SYSTEM, "so", jobs.clock()))
    assert jobs.wait() == "the queue is paused"
    jobs.change(lambda session: queue.resume(session, SYSTEM, "so", jobs.clock()))
    jobs.clock.pass_seconds(LEASE)
    assert jobs.wait() == "no worker is at work"
    jobs.change(lambda session: setattr(session.get_one(Worker, "one"), "disabled", True))
    assert jobs.wait() == "no worker is at work"
