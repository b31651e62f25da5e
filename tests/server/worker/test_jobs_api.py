"""A worker's calls over HTTP: who may make them, what they change, and what an old lease is refused."""

from __future__ import annotations

from hashlib import sha256

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.server import queue, states
from edgelm.server.access import Viewer, viewer
from edgelm.server.api import jobs
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import SECOND
from edgelm.server.refusals import Refused
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Finding, Job, Line, Notice, Phase, Progress, Slot, Submission, Worker
from edgelm.server.web import install

WARNING = {"code": "PKG-08", "severity": "W", "path": "x", "what": "w", "why": "y", "mend": "m"}
ERROR = WARNING | {"code": "PKG-01", "severity": "E", "what": "it is broken"}
DOUBT = WARNING | {"code": "DUP-01", "severity": "R"}


@pytest.fixture
def server(database, clock, tmp_path, a_submission, a_worker):
    settings = Settings(folder=tmp_path, database=database.engine.url.render_as_string(False))
    made = Server(settings, database, clock, steady=lambda: clock() / SECOND)
    with database.write() as session:
        a_submission(session)
        a_worker(session, "one")
        a_worker(session, "two")
        queue.enqueue(session, SYSTEM, key="check/first", submission_id="first", kind="check", now=clock())
    return made


@pytest.fixture
def call(server):
    """`call("one", "post", "/jobs/lease", json={})`: a call by a worker of that name, or by a role."""
    app = FastAPI()
    app.state.server = server
    install(app, server.settings)
    app.include_router(jobs.router)
    who = {}

    async def asks() -> Viewer:
        return who["is"]

    app.dependency_overrides[viewer] = asks
    with TestClient(app) as client:

        def make(name, method, path, **options):
            with server.database.read() as session:
                worker = session.get(Worker, name)
                session.expunge_all()
            who["is"] = Viewer(worker=worker, role="worker") if worker else Viewer(role=name)
            return client.request(method, path, **options)

        yield make


@pytest.fixture
def lease(call):
    def make(name="one"):
        answer = call(name, "post", "/jobs/lease", json={})
        return answer.json() if answer.status_code == 200 else None

    return make


def submission(server):
    with server.database.read() as session:
        found = session.get_one(Submission, "first")
        slot = session.scalars(select(Slot)).one()
        return found.state, found.code, found.fault, found.review, slot.use


def end(call, held, name="one", **body):
    return call(name, "post", f"/jobs/{held['id']}/result", json={"fence": held["fence"], **body})


def to_evaluation(call, lease, name="one"):
    """The evaluation that follows a check without findings, leased."""
    assert end(call, lease(), findings=[]).status_code == 200
    return lease(name)


def put(call, held, data, name="one"):
    digest = sha256(data).hexdigest()
    answer = call(name, "put", f"/jobs/{held['id']}/blobs/{digest}", content=data,
                  params={"fence": held["fence"], "offset": 0, "size": len(data)})  # fmt: skip
    assert answer.status_code == 200, answer.text
    return digest


@pytest.mark.parametrize("role", ["visitor", "participant", "reviewer", "organiser", "admin"])
def test_only_workers_may(call, role):
    expected = 401 if role == "visitor" else 403
    data = {"content": b"x\n", "params": {"fence": 1, "offset": 0, "size": 2}}
    for method, path, options in (
        ("post", "/jobs/lease", {"json": {}}), ("post", "/jobs/j/heartbeat", {"json": {"fence": 1}}),
        ("post", "/jobs/j/progress", {"json": {"fence": 1}}), ("post", "/jobs/j/release", {"json": {"fence": 1}}),
        ("post", "/jobs/j/result", {"json": {"fence": 1, "findings": []}}),
        ("get", f"/jobs/j/blobs/{'a' * 64}?fence=1", {}), ("put", f"/jobs/j/blobs/{'a' * 64}", data),
        ("get", "/jobs/j/lacking?fence=1", {}),
        ("get", "/jobs/j/journals/m?fence=1&offset=0", {}), ("patch", "/jobs/j/journals/m", data),
    ):  # fmt: skip
        assert call(role, method, path, **options).status_code == expected, (method, path)


def test_a_package_without_errors_is_queued_for_evaluation(call, lease, server):
    held = lease()
    assert (held["kind"], held["fence"], held["manifest"]) == ("check", 1, sha256(b"first").hexdigest())
    assert lease("two") is None
    assert end(call, held, findings=[WARNING]).json() == {"state": "done"}
    assert submission(server) == ("queued", "", "", "", "reserved")
    assert end(call, held, findings=[WARNING]).json() == {"state": "done"}  # sent again, nothing happens twice
    with server.database.read() as session:
        assert [each.body["code"] for each in session.scalars(select(Finding))] == ["PKG-08"]
        assert sorted(job.key for job in session.scalars(select(Job))) == ["check/first", "evaluate/first/1"]


def test_a_package_with_an_error_is_refused_and_its_slot_is_free(call, lease, server):
    end(call, lease(), findings=[ERROR, WARNING])
    assert submission(server) == ("refused", "PKG-01", "participant", "", "free")
    assert lease() is None


def test_a_package_of_the_preliminary_review_is_not_evaluated(call, lease, server):
    with server.database.write() as session:
        session.get_one(Phase, "scored").kind = "preliminary"
    end(call, lease(), findings=[])
    assert submission(server)[0] == "accepted" and lease() is None


def test_what_a_reviewer_decides_opens_a_review_and_organisers_hear_of_it(call, lease, server):
    end(call, lease(), findings=[DOUBT])
    assert submission(server)[3] == "open"
    with server.database.read() as session:
        assert session.scalars(select(Notice).where(Notice.user_id == "o1", Notice.channel == "mail")).one()


def test_an_evaluation_spends_the_slot_and_ends_scored(call, lease, server):
    held = to_evaluation(call, lease)
    assert submission(server) == ("running", "", "", "", "spent")
    digest = put(call, held, b'{"reports":{}}')
    assert end(call, held, result=digest).status_code == 200
    assert submission(server) == ("scored", "scored", "", "", "spent")
    with server.database.read() as session:
        assert session.get_one(Job, held["id"]).result == digest
        told = select(Notice.subject).where(Notice.user_id == "u1", Notice.channel == "page").order_by(Notice.subject)
        assert list(session.scalars(told)) == ["T: accepted", "T: queued", "T: running", "T: scored"]


def test_a_result_must_be_there_and_of_the_right_kind(call, lease):
    held = lease()
    assert end(call, held).status_code == 400
    assert end(call, held, result="a" * 64).status_code == 400
    held = to_evaluation(call, lambda name="one", held=[held]: held.pop() if held else lease(name))
    assert end(call, held, findings=[]).status_code == 400
    assert end(call, held, result="a" * 64).status_code == 404


def test_progress_is_kept_and_another_worker_gets_it(call, lease, server, clock):
    held = to_evaluation(call, lease)
    digest = put(call, held, b"made")
    doing = {"fence": held["fence"], "stage": "tasks", "lines": ["one", "two"], "parts": [
        {"part": "phi-2/gsm8k", "done": 10, "of": 10, "blob": digest}, {"part": "phi-2/bbh", "done": 3, "of": 10},
    ]}  # fmt: skip
    assert call("one", "post", f"/jobs/{held['id']}/progress", json=doing).status_code == 200
    missing = doing | {"parts": [{"part": "m/t", "done": 1, "of": 1, "blob": "b" * 64}]}
    assert call("one", "post", f"/jobs/{held['id']}/progress", json=missing).status_code == 404
    clock.pass_seconds(61)
    other = lease("two")
    assert (other["id"], other["fence"], other["attempt"]) == (held["id"], 2, 2)
    assert [(part["part"], part["done"], part["blob"]) for part in other["done"]] == [
        ("phi-2/bbh", 3, None), ("phi-2/gsm8k", 10, digest)
    ]  # fmt: skip
    answer = call("two", "get", f"/jobs/{held['id']}/blobs/{digest}?fence=2")
    assert answer.content == b"made"
    with server.database.read() as session:
        assert [line.text for line in session.scalars(select(Line).order_by(Line.number))] == ["one", "two"]
        assert session.get_one(Submission, "first").stage == "tasks"


def test_a_worker_that_wakes_after_its_lease_changes_nothing(call, lease, server, clock):
    held = to_evaluation(call, lease)
    digest = put(call, held, b'"late"')
    clock.pass_seconds(120)
    for mine in (None, lease("two")):  # first its job waits for nobody yet, then it is another's
        fence, path = held["fence"], f"/jobs/{held['id']}"
        at = {"fence": fence, "offset": 0, "size": 3}
        answers = [
            call("one", "post", f"{path}/heartbeat", json={"fence": fence}),
            call("one", "post", f"{path}/progress", json={"fence": fence, "stage": "score"}),
            call("one", "post", f"{path}/result", json={"fence": fence, "result": digest}),
            call("one", "post", f"{path}/release", json={"fence": fence, "fault": "participant"}),
            call("one", "put", f"{path}/blobs/{sha256(b'new').hexdigest()}", content=b"new", params=at),
            call("one", "get", f"{path}/blobs/{digest}", params={"fence": fence}),
            call("one", "patch", f"{path}/journals/m", content=b"x\n", params=at),
            call("one", "get", f"{path}/journals/m", params=at),
        ]
        assert {answer.status_code for answer in answers} == {409}, mine
        assert all(answer.json()["mend"] for answer in answers)
    assert submission(server)[0] == "running"
    with server.database.read() as session:
        assert session.get_one(Job, held["id"]).worker == "two"
        assert not server.storage.holds(sha256(b"new").hexdigest()) and session.get(Progress, (held["id"], "m")) is None
    assert end(call, lease("two") or {"id": held["id"], "fence": 2}, "two", result=digest).status_code == 200


def test_a_fault_of_the_platform_gives_the_slot_back_in_the_end(call, lease, server):
    held = to_evaluation(call, lease)
    for attempt in range(1, 5):
        assert held["attempt"] == attempt
        assert submission(server)[4] == "spent"
        body = {"fence": held["fence"], "fault": "platform", "sentence": "the disk is full"}
        state = call("one", "post", f"/jobs/{held['id']}/release", json=body).json()["state"]
        assert state == ("waiting" if attempt < 4 else "failed")
        held = lease()
    assert held is None
    assert submission(server) == ("failed", "platform-fault", "platform", "", "free")
    with server.database.read() as session:
        warned = session.scalars(select(Notice).where(Notice.user_id == "o1", Notice.channel == "page"))
        assert len(list(warned)) == 4


def test_a_fault_of_the_participant_spends_the_slot_at_once(call, lease, server):
    held = to_evaluation(call, lease)
    body = {"fence": held["fence"], "fault": "participant", "code": "out-of-memory", "sentence": "more than 12 GiB"}
    assert call("one", "post", f"/jobs/{held['id']}/release", json=body).json() == {"state": "failed"}
    assert submission(server) == ("failed", "out-of-memory", "participant", "", "spent")
    assert lease() is None


def test_the_last_words_of_a_model_are_cleaned(call, lease, server):
    held = to_evaluation(call, lease)
    body = {"fence": held["fence"], "fault": "participant", "code": "crash", "sentence": "end\0ed\x1b[2J"}
    assert call("one", "post", f"/jobs/{held['id']}/release", json=body).status_code == 200
    with server.database.read() as session:
        assert session.scalars(select(Submission)).one().sentence == "end\\x00ed\\x1b[2J"


def test_a_worker_that_leaves_gives_its_job_to_another(call, lease, server):
    held = to_evaluation(call, lease)
    call("one", "post", f"/jobs/{held['id']}/release", json={"fence": held["fence"]})
    assert submission(server)[0] == "queued"
    assert lease("two")["attempt"] == 1


def test_what_is_withdrawn_stays_so_whatever_its_worker_does(call, lease, server, clock):
    held = to_evaluation(call, lease)
    with server.database.write() as session:
        found = session.get_one(Submission, "first")
        states.cancel(session, SYSTEM, found, "asked for", clock())
    answer = call("one", "post", f"/jobs/{held['id']}/release", json={"fence": held["fence"], "fault": "platform"})
    assert (answer.status_code, submission(server)[0]) == (409, "cancelled")


def test_a_lease_whose_answer_was_lost_is_given_again_to_who_asked(call, lease, server):
    def ask(name, request):
        return call(name, "post", "/jobs/lease", json={"request": request})

    first, again = ask("one", "q1").json(), ask("one", "q1").json()
    assert first == again and first["attempt"] == 1
    for name, request in (("two", "q1"), ("one", "q2"), ("one", "")):
        assert ask(name, request).status_code == 204
    assert end(call, first, findings=[]).status_code == 200
    assert ask("one", "q1").json()["kind"] == "evaluate", "what has ended is not given again"


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_of_the_time_of_day_neither_ends_nor_lengthens_a_lease(call, lease, server, clock, step):
    steady = [0.0]
    server.leases._steady = lambda: steady[0]
    held = lease()
    clock.pass_seconds(step)
    assert lease("two") is None
    assert call("one", "post", f"/jobs/{held['id']}/heartbeat", json={"fence": held["fence"]}).status_code == 200
    steady[0] += 59
    assert lease("two") is None
    steady[0] += 2
    assert lease("two")["fence"] == held["fence"] + 1


def test_journals_go_on_where_another_worker_left_them(call, lease, clock):
    held = to_evaluation(call, lease)
    path = f"/jobs/{held['id']}/journals/phi-2"
    at = {"fence": held["fence"], "offset": 0}
    assert call("one", "patch", path, params=at, content=b"a\nb\n").json() == {"size": 4}
    assert call("one", "patch", path, params=at, content=b"a\nb\n").json() == {"size": 4}
    assert call("one", "patch", path, params=at, content=b"a\nc\n").status_code == 409
    assert call("one", "patch", path, params=at | {"offset": 4}, content=b"torn").status_code == 400
    assert call("one", "patch", path.replace("phi-2", "..%2Fx"), params=at, content=b"a\n").status_code in (404, 422)
    clock.pass_seconds(61)
    other = lease("two")
    assert call("two", "get", path, params={"fence": other["fence"], "offset": 2}).content == b"b\n"
    assert call("two", "patch", path, params={"fence": other["fence"], "offset": 4}, content=b"c\n").json() == {
        "size": 6
    }


def test_a_blob_in_parts_goes_on_where_it_was_cut(call, lease, server):
    held = to_evaluation(call, lease)
    data = b"0123456789"
    path = f"/jobs/{held['id']}/blobs/{sha256(data).hexdigest()}"
    at = {"fence": held["fence"], "size": 10}

    def send(offset, part):
        return call("one", "put", path, params=at | {"offset": offset}, content=part)

    assert send(0, data[:4]).json() == {"size": 4}
    assert send(0, data[:4]).json() == {"size": 4}  # what is there already adds nothing
    assert send(8, data[8:]).json() == {"size": 4}
    assert send(4, data[4:]).json() == {"size": 10}
    assert send(0, data[:4]).json() == {"size": 10}
    with server.database.read() as session:
        assert session.get(Blob, sha256(data).hexdigest()) is not None


def test_a_worker_reads_the_files_of_its_submission_and_no_others(call, lease, server, clock):
    own, other = server.storage.put(b"own"), server.storage.put(b"other")
    with server.database.write() as session:
        for digest in (own, other):
            session.add(Blob(sha256=digest, size=5, created=clock()))
        session.flush()
        session.add(File(submission_id="first", path="a", sha256=own))
    held = lease()
    got = [call("one", "get", f"/jobs/{held['id']}/blobs/{digest}?fence={held['fence']}") for digest in (own, other)]
    assert [answer.status_code for answer in got] == [200, 404]
    assert got[0].content == b"own"


@pytest.mark.parametrize("body", [{}, {"fence": 0}, {"fence": 2**63}, {"fence": "x"}, {"fence": 1, "other": 1}])
def test_what_makes_no_sense_is_refused(call, lease, body):
    held = lease()
    assert call("one", "post", f"/jobs/{held['id']}/heartbeat", json=body).status_code in (400, 422)


def test_refusals_have_their_reasons(call):
    answer = call("one", "post", "/jobs/none/heartbeat", json={"fence": 1})
    assert answer.status_code == 404 and answer.json()["what"] == "there is no job none"
    assert issubclass(Refused, Exception)
