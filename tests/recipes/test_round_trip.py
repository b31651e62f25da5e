"""From an empty folder to the board: a team's repository by `edgelm init`, its script, and the page on handing in."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.check.run import check
from edgelm.plugins import parse
from edgelm.submission import Submission

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
REAL = "miniature:suite=opencompass-0.3.1,tasks=commonsenseqa+gsm8k+chid"


def run(command: str, folder: Path, **environment: str) -> str:
    """What a shell's command prints, as a reader runs it who has the environment active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name != "EDGELM_DATA"}
    result = subprocess.run(["bash", "-euc", command], cwd=folder, env=kept | {"PATH": path} | environment,
                            capture_output=True, text=True, check=False)  # fmt: skip
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout + result.stderr


def commands(document: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_page_on_handing_in_leads_to_the_board(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    first, *others = commands("docs/submit.md")
    run(first, tmp_path)
    (tmp_path / "mine/bases").mkdir()  # a base that is there is not trained
    shutil.copytree(make_checkpoint("llama"), tmp_path / "mine/bases/base")
    for command in others:
        run(command, tmp_path, ROWS="2", OMP_NUM_THREADS="1")
    for name in ("mine/out/submission", "submission", "from-kit"):
        found = check(tmp_path / name, parse("rules", "miniature"), track="compression")
        assert not [each for each in found if each.severity in "ER"], name
    weights = "models/base/checkpoint/model.safetensors"
    assert (tmp_path / "submission" / weights).samefile(tmp_path / "mine/out/base/model.safetensors")
    [link] = json.loads((tmp_path / "linked/links.json").read_bytes())
    assert link["size"] == (tmp_path / "mine/out/base-bundle/model.gguf").stat().st_size
    assert not (tmp_path / "linked" / link["path"]).exists()
    [row] = json.loads((tmp_path / "board/compression/standings.json").read_bytes())["board"]
    assert row["team"] == "Red"


def test_a_real_model_goes_the_same_way(shared: Path, upstream: object, tmp_path: Path) -> None:
    run(f"edgelm init --track compression --rules {REAL} --team Stories real", tmp_path)
    (tmp_path / "real/bases").mkdir()
    (tmp_path / "real/bases/base").symlink_to(shared / "data/models/stories260K-hf")
    run("real/run", tmp_path, ROWS="1", OMP_NUM_THREADS="1", EDGELM_DATA=str(shared / "data"))
    package = tmp_path / "real/out/submission"
    assert not [each for each in check(package, parse("rules", REAL)) if each.severity == "E"]
    with Submission(package) as submission:
        assert submission.card("base").base == "stories260K-hf"
        assert submission.report("base").tasks.keys() == {"commonsenseqa", "gsm8k", "chid"}
    run(f"edgelm score real/out/submission --rules {REAL} --no-page -o board && edgelm replay board", tmp_path)
