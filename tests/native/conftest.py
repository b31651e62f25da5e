"""Fixtures: the runner built for this machine and for aarch64, once and for all sessions, and a small model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from edgelm import plugins
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.errors import MissingPackage, Offline
from edgelm.native.build import built


def runner_for(target: str) -> str:
    try:
        return str(built(target))
    except (MissingPackage, Offline) as error:
        pytest.skip(f"no runner for {target}: {error.what}")


@pytest.fixture(scope="session")
def host_runner() -> str:
    return runner_for("host")


@pytest.fixture(scope="session")
def emulated() -> list[str]:
    """The command that runs the aarch64 runner here."""
    emulator = shutil.which("qemu-aarch64-static")
    if emulator is None:
        pytest.skip("qemu-aarch64-static is not installed (apt-get install qemu-user-static)")
    return [emulator, runner_for("aarch64")]


@pytest.fixture(scope="session")
def exported(make_checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`exported("llama", spec="gguf:dtype=F32", tied=True)`: a checkpoint's folder and its GGUF file."""
    known: dict[str, tuple[Path, Path]] = {}

    def make(family: str, *, spec: str = "gguf", **settings: Any) -> tuple[Path, Path]:
        key = f"{family} {spec} {sorted(settings.items())}"
        if key not in known:
            folder, out = make_checkpoint(family, **settings), tmp_path_factory.mktemp("bundles") / "bundle"
            deploy(Checkpoint(folder), plugins.parse("deploy", spec), out)
            known[key] = folder, out / "model.gguf"
        return known[key]

    return make
