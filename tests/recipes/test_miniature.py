"""The whole journey runs, goes on where it stopped, and the commands of the documents work on what it makes."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.cli.evaluate import TASKS
from edgelm.report import Report
from edgelm.submission import Submission

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "miniature.py"
TEAMS = ("shallow", "narrow", "slim")

pytestmark = pytest.mark.slow


def _run(command: list[str], folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, f"{shlex.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the recipe ran, with little training and few rows, and what it printed."""
    folder = tmp_path_factory.mktemp("journey")
    words = [sys.executable, str(RECIPE), "out/demo", "--rows", "6", "--train", "pretrain:steps=80"]
    return folder, _run(words, folder)


def test_every_stage_leaves_its_folder(journey: tuple[Path, str]) -> None:
    out = journey[0] / "out" / "demo"
    base = Checkpoint(out / "base")
    for team in TEAMS:
        assert Checkpoint(out / team).parameters < base.parameters
        assert Checkpoint(out / team).card.parents[0] == base.digest
        with Submission(out / f"{team}-submission") as submission:
            report = submission.report("base")
        assert set(report.tasks) == {"gsm8k", "commonsenseqa", "chid"}
        assert all(score.complete for score in report.tasks.values())
        assert report.speed is not None and report.memory["host-peak"] > 0


def test_the_page_names_every_team(journey: tuple[Path, str]) -> None:
    page = (journey[0] / "out/demo/leaderboard/compression/index.html").read_text()
    assert all(team.title() in page for team in TEAMS)
    assert not re.search(r'(src|href)="https?:', page)


def test_a_second_run_only_scores(journey: tuple[Path, str]) -> None:
    folder, first = journey
    before = {path: path.stat().st_mtime_ns for path in (folder / "out/demo").rglob("*.safetensors")}
    second = _run([sys.executable, str(RECIPE), "out/demo"], folder)
    assert "train the base" in first and "train the base" not in second
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "out/demo").rglob("*.safetensors")}


def test_every_answer_has_a_page(journey: tuple[Path, str]) -> None:
    folder, printed = journey
    assert "Every answer: out/demo/base-scores/index.html" in printed
    for name in ("base", *TEAMS):
        assert "Question: " in (folder / f"out/demo/{name}-scores/index.html").read_text()


def _commands(document: str) -> list[str]:
    """The lines after `$ ` in a document's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def _follow(commands: list[str], folder: Path) -> None:
    """Do as the reader does, who has the whole demo behind him and the environment active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        _run(["env", "-u", "EDGELM_DATA", f"PATH={path}", "bash", "-euc", command], folder)


def test_the_commands_of_the_readme_work(journey: tuple[Path, str]) -> None:
    folder = journey[0]
    commands = _commands("README.md")
    assert commands[:2] == ["scripts/demo", "source .venv/bin/activate"]
    assert (ROOT / "scripts" / "demo").stat().st_mode & 0o111
    _follow(commands[2:], folder)
    assert Report.load(folder / "out/mine-scores").tasks["chid"].complete
    board = (folder / "out/board/compression/board.csv").read_text().splitlines()
    assert len(board) == 1 + len(TEAMS) + 1


@pytest.mark.skipif(not shutil.which("bwrap"), reason="programs are run in bubblewrap")
def test_the_commands_of_the_page_on_evaluation_work(journey: tuple[Path, str]) -> None:
    folder = journey[0]
    _follow(_commands("docs/evaluation.md"), folder)
    assert set(Report.load(folder / "out/report").tasks) == {*TASKS, "gsm8k-fixed"}
    assert "</html>" in (folder / "out/comparison.html").read_text()


def test_the_first_command_stands_within_fifteen_lines() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert "$ scripts/demo" in lines[:15]
