"""`edgelm rescore` on the command line: exit codes, the table, the JSON, and what lies in the folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.evaluate.questions import Selection, questions
from edgelm.evaluate.scoring import marked, score, write_answers
from edgelm.pack import Entry, pack
from edgelm.plugins import parse
from edgelm.report import Report
from edgelm.rules.miniature import Miniature

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "suite"
    write(folder, rows=12, train_rows=8)
    return folder


@pytest.fixture
def package(make_checkpoint: Any, suite: Path, tmp_path: Path) -> Path:
    """A package with the answer B to every question of one task."""
    checkpoint = Checkpoint(make_checkpoint("llama", num_hidden_layers=1))
    checkpoint.write_card(Card(base="tiny/base", derivation="compressed", data=[Source(name="c4")]))
    settings = {"checkpoint": checkpoint.digest, "engine": {"engine": "fixed"}, "prompting": "base"}
    asked = questions(parse("tasks", "commonsenseqa"), DataFolder(suite), Selection(), settings)
    reply = {"text": "B", "tokens": 1, "prompt_tokens": 9, "finish": "stop"}
    answers = marked(asked, {request.key: {**reply, "key": request.key} for request in asked.requests})
    made = score(asked, answers, "base", {"engine": "fixed"})
    write_answers(tmp_path / "report", "commonsenseqa", answers)
    Report(checkpoint=checkpoint.digest, name="tiny", parameters=checkpoint.parameters, bytes=checkpoint.bytes,
           dtypes=checkpoint.dtypes, tasks={"commonsenseqa": made}).save(tmp_path / "report")  # fmt: skip
    pack({"base": Entry(checkpoint.path, (tmp_path / "report",))}, team="red", track="compression",
         rules=Miniature(), out=tmp_path / "package")  # fmt: skip
    return tmp_path / "package"


@pytest.fixture
def run(edgelm: Run, suite: Path, tmp_path: Path) -> Run:
    def call(package: Path, *words: str) -> tuple[int, str, str]:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        return edgelm("rescore", package, "--rules", "miniature", "--data", suite, "-o", out, *words)

    return call


def test_equal_different_and_unusable_have_their_exit_codes(run: Run, package: Path, tmp_path: Path) -> None:
    code, out, err = run(package)
    assert code == 0 and "commonsenseqa" in out and "12 of 12" in out and "equal" in out and "rescore.json" in err
    assert {"report.json", "results.csv", "summary.csv"} <= {path.name for path in (tmp_path / "out/base").iterdir()}
    report = package / "models/base/report/report.json"
    value = json.loads(report.read_bytes())
    value["tasks"]["commonsenseqa"]["score"] = "100"
    report.write_text(json.dumps(value))
    code, out, err = run(package, "--json")
    (row,) = json.loads(out)["rows"]
    assert code == 1 and row["claimed"] == "100" and row["status"] == "different" and row["differing"] == 0
    code, out, err = run(package)
    assert code == 1 and "report.json claims another score" in err
    report.unlink()
    code, out, err = run(package)
    assert code == 2 and "unusable" in out and "holds no finished report" in err


def test_no_submission_is_an_error_with_a_mend(run: Run, tmp_path: Path) -> None:
    code, _, err = run(tmp_path / "none")
    assert code == 2 and "there is no submission" in err and not (tmp_path / "out").exists()


def test_neither_model_nor_torch_is_needed(package: Path, suite: Path, tmp_path: Path) -> None:
    script = """if True:
        import sys
        from edgelm.cli import main
        try:
            main()
        finally:
            assert not {"torch", "transformers", "psutil"} & set(sys.modules)
    """
    words = ["rescore", package, "--rules", "miniature", "--data", suite, "-o", tmp_path / "out"]
    ended = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_why_nothing_can_be_compared_is_said_with_its_mend(run: Run, package: Path, tmp_path: Path) -> None:
    code, out, err = run(package, "--rules", "neurips-2024")
    assert code == 2 and "unusable" in out
    assert "base: the rules neurips-2024 have no such slot" in err and "--rules NAME" in err
    report = package / "models/base/report/report.json"
    report.write_text(json.dumps(json.loads(report.read_bytes()) | {"tasks": {}}))
    code, out, err = run(package)
    assert code == 2 and "unusable" in out and "base: its report has no scores: edgelm evaluate" in err
    pack({}, team="red", track="compression", rules=Miniature(), out=tmp_path / "none", omitted={"base": "too large"})
    code, _, err = run(tmp_path / "none")
    assert code == 2 and "brings no model" in err and "mend:" in err
