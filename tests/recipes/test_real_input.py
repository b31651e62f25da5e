"""Every verb in turn on a real trained model and real rows of the benchmarks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.check.base import worst
from edgelm.check.run import check
from edgelm.plugins import parse
from edgelm.report import Report, read_answers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def out(shared: Path, upstream: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the recipe filled."""
    folder = tmp_path_factory.mktemp("real") / "out"
    model, data = shared / "data/models/stories260K-hf", shared / "data"
    command = ["bash", ROOT / "recipes/real-input.sh", model, data, folder, "8"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_both_models_answered_real_rows(out: Path) -> None:
    for name in ("base", "small"):
        report = Report.load(out / f"{name}-scores")
        assert {score.protocol for score in report.tasks.values()} == {
            "opencompass-0.3.1/gsm8k-1d7fe4", "opencompass-0.3.1/commonsenseqa-734a22", "opencompass-0.3.1/chid-211ee7",
        }  # fmt: skip
        rows = {task: (score.samples, score.of) for task, score in report.tasks.items()}
        assert rows == {"gsm8k": (8, 1319), "commonsenseqa": (8, 1221), "chid": (8, 2002)}
        assert all(answer.text for answer in read_answers(out / f"{name}-scores", "gsm8k"))


def test_the_compressed_model_is_smaller_and_faster_to_read(out: Path) -> None:
    base, small = Report.load(out / "base-speed"), Report.load(out / "small-speed")
    assert small.parameters == 180_800 < base.parameters == 260_032
    assert small.speed and base.speed and small.speed.throughput > 0


def test_the_submission_is_clean_and_a_sample_is_no_result(out: Path) -> None:
    findings = check(out / "submission", parse("rules", "miniature:suite=opencompass-0.3.1"))
    assert worst(findings) != "E"
    assert "RPT-02" in {finding.code for finding in findings}
    (row,) = json.loads((out / "leaderboard/compression/standings.json").read_bytes())["board"]
    assert row["team"] == "Real"
    assert row["tasks"]["gsm8k"]["score"] is None
    assert row["tasks"]["throughput"]["points"] == "20"
