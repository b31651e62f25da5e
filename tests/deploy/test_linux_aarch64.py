"""The bundle for 64-bit ARM: its files, and that its script starts its runner on its model."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgelm import plugins
from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy import linux_aarch64
from edgelm.deploy.base import deploy
from edgelm.errors import Unsupported
from edgelm.native.runner import started


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A runner that was built elsewhere: it prints its arguments."""
    runner = tmp_path / "edgelm-runner"
    runner.write_text('#!/bin/sh\necho "$@"\n')
    monkeypatch.setattr(linux_aarch64, "built", lambda target, progress: runner)
    monkeypatch.setattr(linux_aarch64, "tools", lambda target: {"llama.cpp": "1", "compiler": f"cc for {target}"})
    return runner


def test_the_bundle_holds_model_runner_and_script(pretended: Path, make_checkpoint: Any, tmp_path: Path) -> None:
    deploy(
        Checkpoint(make_checkpoint("llama")), plugins.parse("deploy", "linux-aarch64:dtype=F32"), tmp_path / "bundle"
    )
    bundle = Bundle(tmp_path / "bundle")
    bundle.verify()
    assert bundle.listing.files.keys() == {"model.gguf", "runner", "run.sh"}
    assert bundle.listing.target == "linux-aarch64:dtype=F32"
    assert bundle.listing.tools.keys() == {"gguf", "llama.cpp", "compiler"}
    assert bundle.listing.tools["compiler"] == "cc for aarch64"
    assert (bundle.path / "runner").read_bytes() == pretended.read_bytes()
    said = subprocess.run(
        [bundle.path / "run.sh", "--threads", "3"], capture_output=True, text=True, check=True, cwd="/",
        env=os.environ | {"CONTEXT": "77"},
    ).stdout.split()  # fmt: skip
    assert said == ["--model", str(bundle.model), "--context", "77", "--threads", "3"]


def test_a_checkpoint_that_cannot_be_exported_leaves_nothing(
    pretended: Path, make_checkpoint: Any, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported):
        deploy(Checkpoint(make_checkpoint("gpt2")), plugins.parse("deploy", "linux-aarch64"), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.usefixtures("aarch64_runner")
def test_the_real_bundle_answers_under_emulation(make_checkpoint: Any, tmp_path: Path, emulator: str) -> None:
    deploy(Checkpoint(make_checkpoint("qwen2")), plugins.parse("deploy", "linux-aarch64"), tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle")
    runner = bundle.path / "runner"
    header = runner.read_bytes()[:64]
    assert header[:5] == b"\x7fELF\x02"
    assert struct.unpack_from("<H", header, 18) == (183,)  # aarch64
    assert runner.stat().st_size < 8_000_000
    assert bundle.listing.tools["llama.cpp"].startswith("llama-cpp-python ")
    with started([emulator, str(runner), "--model", str(bundle.model), "--context", "64"]) as answering:
        assert answering.ready.arch == "qwen2"
        assert len(answering.generate([5, 6, 7], 4, ignore_end=True).ids) == 4
    assert json.loads((bundle.path / "bundle.json").read_text())["target"] == "linux-aarch64"
