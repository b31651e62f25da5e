"""A team's repository: sound for every track and rule set, with recipes that can be read, and written all or none."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from edgelm.check.source import LOCKS
from edgelm.errors import BadOption, UnknownName
from edgelm.files import tree_files
from edgelm.init.lock import lock
from edgelm.init.recipes import recipes_of
from edgelm.init.scaffold import scaffold
from edgelm.plugins import parse
from edgelm.recipe import read_recipe

TRACKS = [(rules, track) for rules in ("neurips-2024", "miniature") for track in ("compression", "from-scratch")]


def made(folder: Path, rules: str, track: str, team: str = "red") -> list[str]:
    return scaffold(folder, track=track, rules=parse("rules", rules), spec=rules, team=team)


@pytest.mark.parametrize(("rules", "track"), TRACKS)
def test_every_track_gets_a_recipe_a_slot_and_a_script(rules: str, track: str, tmp_path: Path) -> None:
    names = made(tmp_path / "mine", rules, track)
    assert names == sorted(names) and set(names) == set(tree_files(tmp_path / "mine"))
    asked = parse("rules", rules).track(track)
    kind = "compress" if track == "compression" else "train"
    assert {f"source/recipes/{slot}.txt" for slot in asked.slots} == {n for n in names if n.startswith("source/rec")}
    for name in names:
        if name.endswith(".txt") and "recipes/" in name:
            assert read_recipe(tmp_path / "mine" / name, kind)
        assert "§" not in (tmp_path / "mine" / name).read_text()
    subprocess.run(["bash", "-n", tmp_path / "mine/run"], check=True)
    assert (tmp_path / "mine/run").stat().st_mode & 0o111
    assert any(LOCKS.search(name) for name in names)


def test_a_recipe_says_its_own_command_where_it_lies(tmp_path: Path) -> None:
    made(tmp_path / "mine", "neurips-2024", "compression")
    for path in (tmp_path / "mine").rglob("recipes/*.txt"):
        own = path.relative_to(tmp_path / "mine").as_posix()
        assert re.search(rf"edgelm compress BASE {re.escape(own)} ", path.read_text())


def test_other_recipes_are_those_of_the_slots_families() -> None:
    rules = parse("rules", "neurips-2024")
    starts, others = recipes_of(rules.track("compression"), rules)
    assert set(starts) == {"phi-2.txt", "llama-3-8b.txt", "qwen-7b.txt"}
    assert {"qwen2-7b.txt", "phi-2-evenly.txt", "llama-3-8b-all-layers.txt"} <= set(others)
    assert not set(starts) & set(others)


def test_names_are_no_shell(tmp_path: Path) -> None:
    team = "$(touch hacked); 'x' \"y\""
    made(tmp_path / "mine", "miniature", "compression", team)
    line = next(line for line in (tmp_path / "mine/run").read_text().splitlines() if line.startswith("team="))
    assert shlex.split(line)[0] == f"team={team}"


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("x")
    with pytest.raises(BadOption, match="is not empty"):
        made(tmp_path / "full", "miniature", "compression")
    with pytest.raises(UnknownName, match="did you mean 'compression'"):
        made(tmp_path / "new", "miniature", "compresion")
    assert tree_files(tmp_path) == ["full/mine.txt"]
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert "run" in made(tmp_path / "mine", "miniature", "from-scratch")


def test_the_lock_pins_what_runs_and_no_tool_of_developers() -> None:
    pinned = dict(line.split("==") for line in lock().splitlines() if not line.startswith("#"))
    import typer

    assert pinned["typer"] == typer.__version__
    assert not {"pytest", "ruff", "mypy"} & set(pinned)
