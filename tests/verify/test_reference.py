"""Scores beside those of the uncompressed base."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from edgelm.errors import MissingInput
from edgelm.files import JsonLog
from edgelm.report import FULL_MARK, Answer, Report, TaskScore, answers_log, mean_percent
from edgelm.verify.reference import above_reference

ROWS = 400


def report(folder: Path, right: int, protocol: str = "miniature-1/gsm8k-1") -> Path:
    """A report with so many right answers of 400, the same ones first."""
    marks = [FULL_MARK * (number < right) for number in range(ROWS)]
    answers = [Answer(key=str(number), sample=str(number), text="4", mark=mark, tokens=1, prompt_tokens=9,
                      finish="stop") for number, mark in enumerate(marks)]  # fmt: skip
    score = TaskScore(protocol=protocol, score=mean_percent(marks), samples=ROWS, of=ROWS, prompting="base", engine={})
    Report(checkpoint="ab" * 32, name="x", parameters=1, bytes=4, dtypes={"F32": 1}, tasks={"gsm8k": score}).save(
        folder
    )
    log = answers_log(folder, "gsm8k")
    log.path.parent.mkdir()
    log.path.write_bytes(b"".join(JsonLog.line(each.model_dump(mode="json")) for each in answers))
    assert score.score == Fraction(right * 100, ROWS)
    return folder


@pytest.mark.parametrize(("right", "verdict"), [(100, "valid"), (200, "valid"), (205, "valid"), (230, "doubtful"),
                                                (400, "doubtful")])  # fmt: skip
def test_three_standard_errors_above_the_base_are_looked_at(right: int, verdict: str, tmp_path: Path) -> None:
    found = above_reference(report(tmp_path / "base", 200), report(tmp_path / "own", right))
    assert found.verdict == verdict
    evidence = found.evidence["gsm8k"]
    assert evidence["above_points"] == pytest.approx((right - 200) * 100 / ROWS)
    above = evidence["above_points"] > 3 * evidence["standard_error"]
    assert above is (verdict == "doubtful") and evidence["standard_error"] > 0


def test_a_reference_by_another_protocol_says_nothing(tmp_path: Path) -> None:
    own = report(tmp_path / "own", 200)
    with pytest.raises(MissingInput, match="no task by the same protocol"):
        above_reference(report(tmp_path / "base", 200, "miniature-1/gsm8k-2"), own)
