"""`edgelm compare`: the difference as a table, as JSON and as a page."""

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from edgelm.cli.compare import compare
from edgelm.errors import MissingInput, Unsupported
from edgelm.files import JsonLog, write_bytes
from edgelm.report import Report, TaskScore, answers_log, mean_percent


def _report(folder, right, **fields):
    """A report folder in which the answers of these places are right, of four."""
    marks = [1_000_000 if n in right else 0 for n in range(4)]
    rows = [{"key": f"k{n}", "sample": f"gsm8k-{n}", "text": f"  answer\n{folder.name} {n}", "mark": mark, "tokens": 1,
             "prompt_tokens": 1, "finish": "stop"} for n, mark in enumerate(marks)]  # fmt: skip
    write_bytes(answers_log(folder, "gsm8k").path, b"".join(map(JsonLog.line, rows)))
    given = {"protocol": "opencompass-0.3.1/gsm8k-1d7fe4", "prompting": "chat", "engine": {"engine": "hf"}} | fields
    score = TaskScore(score=mean_percent(marks), samples=4, of=4, **given)
    Report(checkpoint="ab" * 32, name=folder.name, parameters=1, bytes=2, dtypes={"F32": 1},
           tasks={"gsm8k": score}).save(folder)  # fmt: skip
    return folder


@pytest.fixture
def folders(tmp_path):
    return _report(tmp_path / "a", {0, 1}), _report(tmp_path / "b", {1, 2, 3}, engine={"engine": "local"})


def _run(*arguments):
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)


def test_the_table_and_the_changed_answers_are_shown(folders):
    result = _run(*folders)
    assert "+25.00" in result.stdout and "gsm8k: 1 answers earn less in B" in result.stdout
    assert "answer b 3" in result.stdout and "answer a 1" not in result.stdout
    assert "gsm8k: the engines differ: engine hf and engine local" in result.stderr


def test_fewer_or_no_changes_can_be_shown(folders):
    assert "answer b" not in _run(*folders, "--show", 0).stdout
    assert "gsm8k-3" not in _run(*folders, "--show", 1).stdout


def test_json_has_whole_texts_and_exact_scores(folders):
    whole = json.loads(_run(*folders, "--json", "-t", "gsm8k").stdout)
    [found] = whole["tasks"]
    assert whole["only_in_a"] == whole["only_in_b"] == []
    assert found["a"] == "50" and found["b"] == "75" and found["rows"] == 4
    assert [row["sample"] for row in found["gained"]] == ["gsm8k-2", "gsm8k-3"]
    assert found["lost"][0]["b"] == {"text": "  answer\nb 0", "mark": 0}


def test_tasks_of_one_report_alone_are_named(folders):
    report = Report.load(folders[1])
    more = report.tasks | {"zebra": report.tasks["gsm8k"], "bbh": report.tasks["gsm8k"]}
    report.model_copy(update={"tasks": more}).save(folders[1])
    assert "only in B: bbh, zebra" in _run(*folders).stderr
    found = json.loads(_run(*folders, "--json").stdout)
    assert found["only_in_a"] == [] and found["only_in_b"] == ["bbh", "zebra"]


def test_a_folder_that_is_not_there_is_told_as_such(folders, tmp_path):
    with pytest.raises(MissingInput, match=r"there is no folder .*nowhere"):
        _run(folders[0], tmp_path / "nowhere")


def test_a_page_can_be_written(folders, tmp_path):
    result = _run(*folders, "--html", tmp_path / "out" / "page.html")
    assert "answer\na 0" in (tmp_path / "out" / "page.html").read_text() and "page.html" in result.stderr


def test_protocols_are_not_mixed(folders, tmp_path):
    with pytest.raises(Unsupported):
        _run(folders[0], _report(tmp_path / "c", {1}, protocol="miniature-1/gsm8k-0a1b2c3d"))


def test_it_needs_no_torch():
    code = "import sys, edgelm.cli.compare; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
