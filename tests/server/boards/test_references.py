"""Scores above the uncompressed base's are flagged for a review, once, and only where a base is named."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from edgelm.report import Report
from edgelm.server import entries, references
from edgelm.server.tables import Audit, Finding, Job, Submission

HALF = [1, 0] * 50  # 50 %, with a standard error of 5.03 points


@pytest.fixture
def base(competition, tmp_path):
    """`base(gsm8k=30)`: the report of the uncompressed base, by the protocols of the competition."""

    def make(protocol="miniature-1/gsm8k-0", **scores):
        result = entries.result_of(competition.server.storage, competition.result({"gsm8k": HALF, "chid": HALF}))
        report = entries.report_of(competition.server.storage, result.models["base"].report)
        tasks = {task: report.tasks[task].model_copy(update={"score": score}) for task, score in scores.items()}
        if "gsm8k" in tasks:
            tasks["gsm8k"] = tasks["gsm8k"].model_copy(update={"protocol": protocol})
        report.model_copy(update={"tasks": tasks}).save(tmp_path)
        competition.server.settings.reference["base"] = tmp_path

    return make


def flags(server, one):
    entries.prepare(server)
    references.compare(server)
    with server.database.read() as session:
        found = session.scalars(select(Finding).filter_by(submission_id=one).order_by(Finding.number))
        return [each.body for each in found], session.get_one(Submission, one).review


@pytest.mark.parametrize(("score", "flagged"), [(30, True), (34, True), (35, False), (60, False), (90, False)])
def test_three_standard_errors_above_the_base_a_reviewer_looks(competition, base, score, flagged):
    one = competition.scored("a", HALF, HALF)
    base(gsm8k=score)
    found, review = flags(competition.server, one)
    assert (len(found), review) == ((1, "open") if flagged else (0, ""))
    if flagged:
        assert (found[0]["code"], found[0]["severity"]) == ("M-07", "R")
        assert found[0]["what"] == f"base/gsm8k: 50.00 % is more than 3 standard errors above the base's {score}.00 %"


def test_it_is_flagged_once_and_stays_cleared(competition, base):
    one = competition.scored("a", HALF, HALF)
    base(gsm8k=10, chid=10)
    for _ in range(2):
        found, _ = flags(competition.server, one)
        assert [each["what"].partition(":")[0] for each in found] == ["base/chid", "base/gsm8k"]
    with competition.server.database.write() as session:
        assert len(list(session.scalars(select(Audit).filter_by(action="review.flag")))) == 2
        session.get_one(Submission, one).review = "cleared"
    assert flags(competition.server, one)[1] == "cleared"


def test_nothing_is_flagged_without_a_base_nor_by_another_protocol(competition, base):
    one = competition.scored("a", HALF, HALF)
    assert flags(competition.server, one) == ([], "")
    base(protocol="miniature-1/gsm8k-1", gsm8k=10)
    assert flags(competition.server, one) == ([], "")


def test_hold_outs_and_scores_without_kept_answers_are_left_aside(competition, base, tmp_path):
    one = competition.scored("a", HALF, HALF, secret=90)
    base(gsm8k=10)
    bases = {"base": Report.load(tmp_path)}
    entries.prepare(competition.server)
    with competition.server.database.read() as session:
        reached = session.scalars(select(Job).where(Job.submission_id == one)).one().reached
    reading = entries.reading(competition.server.storage, reached)
    assert [each.code for each in references.above(reading, bases)] == ["M-07"]
    model = reading.models["base"]
    unknown = reading.model_copy(update={"models": {"base": model.model_copy(update={"marks": {}})}})
    assert list(references.above(unknown, bases)) == []
    other = bases["base"].model_copy(update={"tasks": {"holdout": bases["base"].tasks["gsm8k"]}})
    assert list(references.above(reading, {"base": other})) == []
