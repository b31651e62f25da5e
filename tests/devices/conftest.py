from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.gguf import GGUF

sys.path.append(str(Path(__file__).parent))

from remotes import adb, bundle_of, link, one_phone, phone, real_bundle  # noqa: F401

FAKE = Path(__file__).parent / "fake_runner.py"


@pytest.fixture(scope="session")
def bundle(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small Llama with 4,096 positions."""
    out = tmp_path_factory.mktemp("bundles") / "llama"
    deploy(Checkpoint(make_checkpoint("llama", max_position_embeddings=4096)), GGUF(), out)
    return Bundle(out)


@pytest.fixture
def fake_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`fake_runner(token_ns=5)`: an executable that speaks the runner's protocol with these settings."""

    def make(**settings: Any) -> Path:
        monkeypatch.setenv("FAKE_RUNNER", json.dumps(settings))
        path = tmp_path / "edgelm-runner"
        path.write_text(f"#!{sys.executable}\n{FAKE.read_text(encoding='utf-8')}", encoding="utf-8")
        path.chmod(0o755)
        return path

    return make
