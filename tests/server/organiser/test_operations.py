"""The queue in organisers' hands: what they see, pausing, order, requeueing; runs anew, which keep what was before."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from edgelm.server import entries, queue, records, slots
from edgelm.server.audit import SYSTEM
from edgelm.server.journals import Journals
from edgelm.server.keys import digest
from edgelm.server.tables import Audit, Job, Phase, Progress, Slot, Submission, Worker

WHY = {"reason": "so"}
KEY = {"Authorization": "Bearer edgelm_w_x"}


@pytest.fixture
def submission(competition, server):
    """A submission that holds a slot and waits; its id."""
    one = competition.scored("red")
    with server.database.write() as session:
        session.add(Worker(name="gpu-1", sha256=digest("edgelm_w_x"), tags=[], created=0))
        found = session.get_one(Submission, one)
        slots.reserve(session, server.rules, found)
        session.delete(session.scalars(select(Job)).one())
        found.state = "accepted"
        session.flush()
        records.evaluation(session, SYSTEM, found, 1, server.clock())
    return one


@pytest.fixture
def lease(competition):
    def ask():
        answer = competition.browser().post("/jobs/lease", json={}, headers=KEY)
        return answer.json() if answer.status_code == 200 else None

    return ask


@pytest.fixture
def finish(competition, server):
    """Hand in a result for a leased job."""

    def hand_in(job, **marks):
        result = competition.result({"gsm8k": (1, 0), "chid": (1, 0)}, **marks)
        with server.database.write() as session:
            worker = session.get_one(Worker, "gpu-1")
            held = queue.held(session, worker, job["id"], job["fence"])
            records.evaluated(session, queue.actor_of(worker), held, result, [], server.clock())
        return result

    return hand_in


def slot(server):
    with server.database.read() as session:
        return [(row.number, row.use, row.submission_id) for row in session.scalars(select(Slot)) if row.submission_id]


def jobs(server):
    with server.database.read() as session:
        return [(job.key.split("/")[-1], job.state, job.result)
                for job in session.scalars(select(Job).order_by(Job.key))]  # fmt: skip


def test_the_queue_is_shown(competition, submission, ada, lease):
    shown = ada.get("/admin/queue").json()
    (waiting,) = shown["waiting"]
    assert (waiting["submission"], waiting["team"], waiting["before"], waiting["attempt"]) == (submission, "red", 0, 0)
    assert shown["leased"] == shown["failed"] == shown["failures"] == [] and shown["paused"] is None
    job = lease()
    shown = ada.get("/admin/queue").json()
    (leased,) = shown["leased"]
    assert (leased["worker"], leased["fence"]) == ("gpu-1", job["fence"]) and shown["waiting"] == []
    (worker,) = shown["workers"]
    assert (worker["name"], worker["seen"], worker["disabled"]) == ("gpu-1", competition.clock(), False)


def test_while_leasing_is_paused_no_worker_gets_a_job(server, submission, ada, lease):
    for _ in range(2):  # once is enough, and twice does no harm
        assert ada.post("/admin/queue/pause", json={"reason": "a fan is broken"}).status_code == 200
    assert ada.get("/admin/queue").json()["paused"]["reason"] == "a fan is broken"
    assert lease() is None and jobs(server)[0][1] == "waiting"
    assert ada.post("/admin/queue/resume", json=WHY).status_code == 200
    assert lease()["submission"] == submission
    with server.database.read() as session:
        actions = list(session.scalars(select(Audit.action).where(Audit.object == "queue").order_by(Audit.number)))
    assert actions == ["queue.pause", "queue.resume"]


def test_a_job_that_was_leased_before_the_pause_goes_on(competition, submission, ada, lease):
    job = lease()
    ada.post("/admin/queue/pause", json=WHY)
    beat = competition.browser().post(f"/jobs/{job['id']}/heartbeat", json={"fence": job["fence"]}, headers=KEY)
    assert beat.status_code == 200


def test_what_waits_can_be_put_first(competition, server, submission, ada, lease):
    later = competition.scored("blue")
    with server.database.write() as session:
        one = session.get_one(Submission, later)
        one.state = "accepted"
        records.evaluation(session, SYSTEM, one, 2, server.clock() + 1)
    second = ada.get("/admin/queue").json()["waiting"][1]
    assert (second["submission"], second["before"]) == (later, 1)
    put = ada.post(f"/admin/jobs/{second['id']}/priority", json={"priority": 5, **WHY})
    assert (put.status_code, put.json()["priority"]) == (200, 5)
    assert lease()["submission"] == later
    assert ada.post(f"/admin/jobs/{second['id']}/priority", json={"priority": 1, **WHY}).status_code == 409
    assert ada.post("/admin/jobs/none/priority", json={"priority": 1, **WHY}).status_code == 404
    assert ada.post(f"/admin/jobs/{second['id']}/priority", json={"priority": 10**9, **WHY}).status_code == 422


def test_what_failed_by_the_platform_is_tried_again_with_a_slot(server, submission, ada, lease):
    for _ in range(queue.AGAIN + 1):
        job = lease()
        with server.database.write() as session:
            records.failed(session, SYSTEM, session.get_one(Job, job["id"]), "platform", "broken", "it broke",
                           server.clock())  # fmt: skip
    assert slot(server) == []
    shown = ada.get("/admin/queue").json()
    assert shown["failures"] == [{"state": "failed", "code": "broken", "fault": "platform", "submissions": 1}]
    assert shown["failed"][0]["cause"] == "it broke"
    assert ada.post(f"/admin/jobs/{job['id']}/requeue", json=WHY).json()["attempt"] == 0
    assert slot(server) == [(1, "reserved", submission)]
    again = lease()
    assert (again["id"], again["attempt"]) == (job["id"], 1) and again["fence"] > job["fence"]
    assert ada.post(f"/admin/jobs/{job['id']}/requeue", json=WHY).status_code == 409


def test_requeueing_takes_no_slot_that_is_not_there(server, submission, ada, lease):
    job = lease()
    with server.database.write() as session:
        found = session.get_one(Job, job["id"])
        found.attempt = queue.AGAIN + 1
        records.failed(session, SYSTEM, found, "platform", "broken", "it broke", server.clock())
        for row in session.scalars(select(Slot)):
            other = Submission(id=f"other-{row.number}", team_id="red", user_id="", track="compression", phase="main",
                               manifest=f"{row.number}", title="", received=0, state="scored", changed=0)  # fmt: skip
            session.add(other)
            session.flush()
            row.use, row.submission_id = "spent", other.id
    answer = ada.post(f"/admin/jobs/{job['id']}/requeue", json=WHY)
    assert (answer.status_code, answer.json()["code"]) == (409, "SUB-03")
    assert jobs(server)[0][1] == "failed"


def test_a_check_that_failed_is_made_again(server, submission, ada, lease):
    with server.database.write() as session:
        found = session.get_one(Submission, submission)
        queue.cancel(session, SYSTEM, submission, 0)
        session.add(Phase(name="before", kind="preliminary", opens=0, closes=1))
        session.flush()
        found.state, found.phase = "failed", "before"
        made = queue.enqueue(session, SYSTEM, key="check/x", submission_id=submission, kind="check", now=5)
        made.state = "failed"
    assert ada.post(f"/admin/jobs/{made.id}/requeue", json=WHY).status_code == 200
    with server.database.read() as session:
        assert session.get_one(Submission, submission).state == "checking"
    assert lease()["kind"] == "check"


def test_a_run_anew_keeps_the_old_result_and_the_slot(server, submission, ada, lease, finish):
    first = finish(lease())
    before = slot(server)
    assert before == [(1, "spent", submission)]
    answer = ada.post(f"/admin/submissions/{submission}/rerun", json=WHY)
    assert answer.status_code == 201 and ada.post(f"/admin/submissions/{submission}/rerun", json=WHY).status_code == 409
    job = lease()
    assert (job["id"], job["done"]) == (answer.json()["id"], [])
    second = finish(job, seconds=2)
    assert jobs(server) == [("1", "done", first), ("2", "done", second)] and first != second
    assert slot(server) == before


def test_marking_anew_begins_with_all_that_was_answered(server, submission, ada, lease, finish):
    job, journals = lease(), Journals(server.settings.journals)
    journals.append(job["id"], "base", 0, b'{"an": "answer"}\n')
    with server.database.write() as session:
        session.add(Progress(job_id=job["id"], part="base/gsm8k", done=2, of=2, changed=0))
        session.add(Progress(job_id=job["id"], part="base/throughput", done=1, of=1, blob="b" * 64, changed=0))
    first = finish(job)
    made = ada.post(f"/admin/submissions/{submission}/rescore", json=WHY)
    assert made.status_code == 201, made.text
    again = lease()
    assert again["id"] == made.json()["id"] != job["id"]
    assert again["done"] == [{"part": "base/gsm8k", "done": 2, "of": 2, "blob": None},
                             {"part": "base/throughput", "done": 1, "of": 1, "blob": "b" * 64}]  # fmt: skip
    assert journals.read(again["id"], "base", 0, 100) == b'{"an": "answer"}\n'
    journals.append(again["id"], "base", 17, b"more\n")
    assert journals.size(job["id"], "base") == 17  # it is a copy
    assert jobs(server) == [("1", "done", first), ("2", "leased", None)]
    assert slot(server) == [(1, "spent", submission)]


def test_only_what_is_scored_is_marked_anew(server, submission, ada, lease):
    for path in ("rescore", "rerun"):
        assert ada.post(f"/admin/submissions/{submission}/{path}", json=WHY).status_code == 409  # it waits
        assert ada.post(f"/admin/submissions/none/{path}", json=WHY).status_code == 404
    assert len(jobs(server)) == 1


def test_a_cancelled_submission_frees_its_slot_and_stops_its_worker(competition, server, submission, ada, lease):
    job = lease()
    answer = ada.post(f"/admin/submissions/{submission}/cancel", json={"reason": "asked for by mail"})
    assert answer.json() == {"submission": submission, "state": "cancelled"}
    assert slot(server) == [] and jobs(server)[0][1] == "cancelled"
    beat = competition.browser().post(f"/jobs/{job['id']}/heartbeat", json={"fence": job["fence"]}, headers=KEY)
    assert beat.status_code == 409
    with server.database.read() as session:
        assert session.get_one(Submission, submission).sentence == "asked for by mail"
    assert ada.post(f"/admin/submissions/{submission}/cancel", json=WHY).status_code == 409


def test_a_cancelled_submission_that_is_run_anew_takes_a_slot_again(competition, server, submission, ada, lease):
    def cancelled():
        assert ada.post(f"/admin/submissions/{submission}/cancel", json=WHY).status_code == 200
        assert slot(server) == []

    cancelled()
    assert ada.post(f"/admin/submissions/{submission}/rerun", json=WHY).status_code == 201
    assert slot(server) == [(1, "reserved", submission)]
    cancelled()
    others = [competition.scored("red") for _ in range(server.rules.submissions)]
    with server.database.write() as session:
        for other in others:
            slots.reserve(session, server.rules, session.get_one(Submission, other))
    refused = ada.post(f"/admin/submissions/{submission}/rerun", json=WHY)
    assert (refused.status_code, refused.json()["code"]) == (409, "SUB-03")


def test_what_runs_is_not_run_anew(server, submission, ada, lease, finish):
    job = lease()
    refused = ada.post(f"/admin/submissions/{submission}/rerun", json=WHY)
    assert refused.status_code == 409 and "running" in refused.text
    finish(job)
    assert [state for _, state, _ in jobs(server)] == ["done"]


def test_a_run_anew_that_is_cancelled_leaves_what_was_scored(server, submission, ada, lease, finish):
    finish(lease())
    before = slot(server)
    for leased in (False, True):
        assert ada.post(f"/admin/submissions/{submission}/rerun", json=WHY).status_code == 201
        assert not leased or lease()
        assert ada.post(f"/admin/submissions/{submission}/cancel", json=WHY).json()["state"] == "scored"
        assert slot(server) == before
        with server.database.read() as session:
            assert [one.submission for one in entries.counted(session)] == [submission]
            assert session.get_one(Submission, submission).code == "scored"
        assert lease() is None


def test_one_lost_job_that_cannot_be_taken_back_keeps_no_worker_waiting(competition, server, submission, lease):
    lease()
    waiting = competition.scored("blue")
    with server.database.write() as session:
        session.get_one(Submission, submission).state = "queued"  # which does not follow on itself
        one = session.get_one(Submission, waiting)
        one.state = "accepted"
        records.evaluation(session, SYSTEM, one, 2, server.clock())
    competition.clock.pass_seconds(10**6)
    server.leases._steady = lambda: 10**9
    assert lease()["submission"] == waiting
