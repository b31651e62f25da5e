"""The verb: what it says, and that bad input ends with 2 and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.errors import EXIT_GOOD, EXIT_INPUT

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(edgelm: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return edgelm


def test_the_folder_and_the_team_have_names_of_their_own(run: Run, tmp_path: Path) -> None:
    code, _, err = run("init", "--track", "from-scratch")
    assert code == EXIT_GOOD
    assert "./run" in err
    assert "team=from-scratch" in (tmp_path / "from-scratch/run").read_text()


def test_json_lists_the_files(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("init", "--track", "compression", "--rules", "miniature", "mine", "--json")
    said = json.loads(out)
    assert (code, said["folder"]) == (EXIT_GOOD, "mine")
    assert all((tmp_path / "mine" / name).is_file() for name in said["files"])


@pytest.mark.parametrize(("words", "named"), [
    (("--track", "compresion"), "did you mean 'compression'?"),
    (("--track", "compression", "--rules", "miniatur"), "did you mean 'miniature'?"),
    (("--track", "compression", "full"), "full is not empty"),
    (("--track", "compression", "."), "is not empty"),
    ((), "--track"),
])  # fmt: skip
def test_bad_input_writes_nothing(run: Run, tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    code, _, err = run("init", *words)
    assert code == EXIT_INPUT
    assert named in err
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "x"]
