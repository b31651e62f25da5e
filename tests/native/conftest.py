"""Fixtures: the runner for phones as a command of this machine, and small models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgelm import plugins
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy


@pytest.fixture(scope="session")
def emulated(emulator: str, aarch64_runner: Path) -> list[str]:
    """The command that runs the aarch64 runner here."""
    return [emulator, str(aarch64_runner)]


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
