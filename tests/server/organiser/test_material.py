"""What invited teams hand in: a package in the phase of stage 2, once, by those who are invited."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from edgelm.server.tables import Job, Phase, Submission

TRACK = "compression"
WHY = {"track": TRACK, "reason": "so"}
DAY = 86_400 * 10**6


@pytest.fixture
def ann(competition):
    competition.scored("red", secret=50)
    return competition.browser("Ann", team="red")


@pytest.fixture
def begun(server, competition, ann, published, ada):
    """Stage 2 has begun, and its phase is open."""
    published("final")
    competition.log_in(ada)
    with server.database.write() as session:
        session.add(Phase(name="second", kind="stage-2", opens=server.clock() - 1, closes=server.clock() + DAY))
    assert ada.post("/admin/stage2", json=WHY).status_code == 201
    competition.log_in(ann)


def state(competition):
    return [each["state"] for each in competition.browser().get(f"/stage2/{TRACK}").json()["finalists"]]


def test_material_is_taken_once_and_checked(server, competition, begun, ann, ada, uploaded):
    answer = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "material")})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["phase"], made["state"], made["slot"]) == ("second", "checking", None)
    assert state(competition) == ["received"]
    (candidate,) = ada.get(f"/admin/stage2/{TRACK}").json()
    assert (candidate["material"], candidate["state"]) == (made["id"], "received")
    with server.database.read() as session:
        (job,) = session.scalars(select(Job).where(Job.submission_id == made["id"]))
        assert (job.kind, job.state) == ("check", "waiting")
    again = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "more")})
    assert again.status_code == 409 and "received" in again.json()["what"]


def test_what_the_checker_refuses_is_no_material(competition, begun, ann, uploaded):
    key = {"secret.txt": b"AKIA" + b"ABCDEFGHIJKLMNOP\n"}
    answer = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "bad", **key)})
    assert (answer.status_code, answer.json()["state"]) == (201, "refused")
    assert state(competition) == ["invited"]
    better = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "good")})
    assert better.status_code == 201 and state(competition) == ["received"]


@pytest.mark.parametrize("end", ["refused", "failed", "withdrawn", "cancelled"])
def test_material_that_came_to_nothing_is_handed_in_anew(server, competition, begun, ann, ada, uploaded, end):
    first = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "first")}).json()
    with server.database.write() as session:
        session.get_one(Submission, first["id"]).state = end
    second = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "second")})
    assert second.status_code == 201, second.text
    (candidate,) = ada.get(f"/admin/stage2/{TRACK}").json()
    assert (candidate["material"], candidate["state"]) == (second.json()["id"], "received")
    third = ann.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(ann, "red", "third")})
    assert third.status_code == 409


def test_material_comes_from_candidates_in_the_phase_of_stage_2(server, competition, begun, ann, uploaded):
    eve = competition.browser("Eve", team="blue")
    assert eve.post(f"/stage2/{TRACK}/material", json={"upload": uploaded(eve, "blue", "hers")}).status_code == 404
    mine = uploaded(ann, "red", "late")
    assert eve.post(f"/stage2/{TRACK}/material", json={"upload": mine}).status_code == 404
    assert ann.post("/stage2/none/material", json={"upload": mine}).status_code in (400, 404)
    competition.clock.now += DAY
    competition.log_in(ann)
    late = ann.post(f"/stage2/{TRACK}/material", json={"upload": mine})
    assert (late.status_code, late.json()["code"]) == (409, "SUB-02")
    with server.database.read() as session:
        assert session.scalars(select(Submission).where(Submission.phase == "second")).all() == []
