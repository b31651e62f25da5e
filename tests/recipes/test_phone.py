"""The whole path onto a phone, by the command line alone: train, compress, deploy, measure there, pack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.check.run import check
from edgelm.plugins import parse
from edgelm.report import Report

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/devices"))

from phone import virtual_phone  # noqa: E402

pytestmark = pytest.mark.slow


def edgelm(*words: str | Path) -> None:
    result = subprocess.run([sys.executable, "-m", "edgelm", *map(str, words)], capture_output=True, text=True,
                            check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert result.returncode == 0, f"{words}\n{result.stdout}\n{result.stderr}"


@pytest.mark.usefixtures("aarch64_runner")
def test_from_training_to_the_package(tmp_path: Path, emulator: str) -> None:
    base, small, bundle = (tmp_path / name for name in ("base", "small", "bundle"))
    edgelm("train", ROOT / "recipes/train/miniature.txt", "pretrain:shape=tiny,steps=20", "sft:epochs=0.05,drills=0.05",
           "-o", base)  # fmt: skip
    edgelm("compress", base, "width:ffn=128", "--offline", "-o", small)
    edgelm("deploy", small, "linux-aarch64", "-o", bundle)
    with virtual_phone(tmp_path / "phone") as phone:
        phone.limit(4_000_000_000)
        device = f"{phone.spec},launch={emulator},threads=1"
        edgelm("measure", bundle, "--device", device, "--rules", "miniature", "--prompt-tokens", "16",
               "--generated-tokens", "4", "--repeats", "2", "-o", tmp_path / "speed")  # fmt: skip
    speed = Report.load(tmp_path / "speed")
    assert speed.speed is not None
    assert speed.speed.device.startswith("ssh:")
    assert speed.memory["phone"] > bundle.joinpath("model.gguf").stat().st_size
    edgelm("pack", f"base={small},{tmp_path / 'speed'},{bundle}", "--team", "Phone", "--rules", "miniature",
           "--contact", "phone@example.org", "-o", tmp_path / "submission")  # fmt: skip
    found = check(tmp_path / "submission", parse("rules", "miniature"))
    assert {each.code for each in found if each.severity == "E"} == {"DAT-01"}  # these rules do not know our own text
