"""The recipes of training are sound, and the commands of the page on training work."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.plugins import parse
from edgelm.recipe import read_recipe
from edgelm.train.base import SHAPES
from edgelm.train.steps import complete

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes/train").glob("*.txt"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_sound_and_says_its_own_command(path: Path) -> None:
    recipe = complete([parse("train", spec) for spec in read_recipe(path, "train")])
    tokenizer, _, pretrain = recipe[:3]
    assert tokenizer.vocab == SHAPES[pretrain.shape].vocab
    assert path.stem.startswith(pretrain.shape)
    assert f"edgelm train recipes/train/{path.name}" in path.read_text()


def test_there_is_a_recipe_from_the_miniature_to_a_billion() -> None:
    assert {"miniature", "5M-two-cores", "125M", "1B"} <= {path.stem for path in RECIPES}


def test_the_commands_of_the_page_on_training_work(tmp_path: Path) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    page = (ROOT / "docs/training.md").read_text()
    commands = re.findall(r"^\$ (.*)$", "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL)), re.MULTILINE)
    assert len(commands) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        result = subprocess.run(shlex.split(command), cwd=tmp_path, env={**os.environ, "PATH": path},
                                capture_output=True, text=True, check=False)  # fmt: skip
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    look = Checkpoint(tmp_path / "out/look")
    assert [step["step"] for step in look.card.steps] == ["tokenizer", "corpus", "pretrain", "sft", "export"]
    assert (tmp_path / "out/look/loss.png").stat().st_size > 10_000
