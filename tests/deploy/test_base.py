"""A bundle: listed with digests, and there whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import Progress, deploy
from edgelm.errors import BadOption, Unsupported
from edgelm.files import sha256_bytes


@dataclass(frozen=True)
class Copies:
    """A target that copies the configuration some times."""

    times: int = 1
    fails: bool = False

    @property
    def tools(self) -> dict[str, str]:
        return {"copier": "1.0"}

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        for number in range(self.times):
            (out / "deep").mkdir(exist_ok=True)
            (out / "deep" / f"{number}.json").write_bytes((checkpoint.path / "config.json").read_bytes())
        if self.fails:
            raise Unsupported("not this one")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
    return Checkpoint(tmp_path / "model")


def test_the_bundle_lists_what_it_holds_and_where_it_comes_from(checkpoint: Checkpoint, tmp_path: Path) -> None:
    deploy(checkpoint, Copies(times=2), tmp_path / "bundle")
    data = (checkpoint.path / "config.json").read_bytes()
    bundle = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    made_by = bundle.pop("made_by")
    entry = {"sha256": sha256_bytes(data), "size": len(data)}
    assert made_by.startswith("edgelm ")
    assert bundle == {
        "format": 1,
        "target": "test-base:times=2",
        "name": "model",
        "config": {"model_type": "llama"},
        "checkpoint": checkpoint.digest,
        "files": {"deep/0.json": entry, "deep/1.json": entry},
        "tools": {"copier": "1.0"},
    }


def test_progress_ends_at_the_whole(checkpoint: Checkpoint, tmp_path: Path) -> None:
    last: dict[str, tuple[int, int]] = {}
    deploy(checkpoint, Copies(), tmp_path / "bundle", lambda what, done, of: last.update({what: (done, of)}))
    size = (checkpoint.path / "config.json").stat().st_size
    assert last == {"read": (size, size), "check": (size, size)}


def test_a_failed_build_leaves_nothing(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(Unsupported):
        deploy(checkpoint, Copies(fails=True), tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_existing_folder_is_kept(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").touch()
    with pytest.raises(BadOption, match="exists already"):
        deploy(checkpoint, Copies(), tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["mine"]


def test_a_card_beside_the_weights_does_not_change_which_checkpoint_it_is(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    before = checkpoint.digest
    (checkpoint.path / "card.json").write_text("{}")
    deploy(checkpoint, Copies(), tmp_path / "bundle")
    assert json.loads((tmp_path / "bundle" / "bundle.json").read_text())["checkpoint"] == before
