"""Every verb in turn on a real trained model and real rows of the benchmarks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.check.base import worst
from edgelm.check.run import check
from edgelm.checkpoint import Checkpoint
from edgelm.plugins import parse
from edgelm.report import Report, read_answers

ROOT = Path(__file__).parents[2]
RANKED = {"gsm8k": (4, 1319), "commonsenseqa": (4, 1221), "chid": (4, 2002)}  # rows asked and rows there are
OTHERS = {
    "bbh": (4, 6511), "longbench-passage_retrieval_zh": (4, 200), "humaneval": (4, 164), "truthfulqa": (4, 817),
    "gsm8k-fixed": (4, 1319),
}  # fmt: skip
RULES = "miniature:suite=opencompass-0.3.1,tasks=commonsenseqa+gsm8k+chid+holdout,holdouts=endings"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="programs are run in bubblewrap"),
]


@pytest.fixture(scope="module")
def out(shared: Path, upstream: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the recipe filled."""
    folder = tmp_path_factory.mktemp("real") / "out"
    model, data = shared / "data/models/stories260K-hf", shared / "data"
    command = ["bash", ROOT / "recipes/real-input.sh", model, data, folder, "4"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_both_models_answered_real_rows(out: Path) -> None:
    for name, asked in (("base", RANKED | OTHERS), ("small", RANKED)):
        report = Report.load(out / f"{name}-scores")
        assert {task: (score.samples, score.of) for task, score in report.tasks.items()} == asked
        assert all(score.protocol.startswith("opencompass-0.3.1/") for score in report.tasks.values())
        assert all(answer.text for answer in read_answers(out / f"{name}-scores", "gsm8k"))


def test_what_was_answered_is_not_asked_again(out: Path) -> None:
    log = (out / "base-scores/log/answers.jsonl").read_text().splitlines()
    assert len(log) == 4 * 7


def test_the_views_stand_beside_the_report(out: Path) -> None:
    assert "Janet" in (out / "small-scores/index.html").read_text()  # of GSM8K's first question
    assert (out / "base-scores/results.csv").read_text().startswith("CommonsenseQA,BIG-Bench-Hard,GSM8K,LongBench,")
    assert "\ntruthful_qa,-,-,-,-\n" in (out / "base-scores/summary.csv").read_text()  # a few rows are no result
    assert "</html>" in (out / "comparison.html").read_text()


def test_opencompass_is_given_the_small_model(out: Path) -> None:
    assert Checkpoint(out / "small").digest in (out / "opencompass/Model_Opencompass.py").read_text()


def test_the_compressed_model_is_smaller_and_faster_to_read(out: Path) -> None:
    base, small = Report.load(out / "base-speed"), Report.load(out / "small-speed")
    assert small.parameters == 180_800 < base.parameters == 260_032
    assert small.speed and base.speed and small.speed.throughput > 0


def test_the_submission_is_clean_and_a_sample_is_no_result(out: Path) -> None:
    findings = check(out / "submission", parse("rules", RULES))
    assert worst(findings) != "E"
    assert "RPT-02" in {finding.code for finding in findings}
    (row,) = json.loads((out / "leaderboard/compression/standings.json").read_bytes())["board"]
    assert row["team"] == "Real"
    assert row["tasks"]["gsm8k"]["score"] is None
    assert row["tasks"]["throughput"]["points"] == "20"
    assert row["tasks"]["holdout"]["score"] is not None
