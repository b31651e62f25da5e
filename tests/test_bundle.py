from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import MODEL, Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.gguf import GGUF
from edgelm.errors import BadFile, MissingInput


@pytest.fixture
def bundle(make_checkpoint: Any, tmp_path: Path) -> Bundle:
    deploy(Checkpoint(make_checkpoint("llama")), GGUF(), tmp_path / "bundle")
    return Bundle(tmp_path / "bundle")


def test_it_knows_its_model(bundle: Bundle) -> None:
    assert bundle.model == bundle.path / MODEL
    assert bundle.shape.family == "llama"
    assert bundle.listing.target == "gguf"
    bundle.verify()


def test_another_file_than_the_one_listed_is_found(bundle: Bundle) -> None:
    data = bytearray(bundle.model.read_bytes())
    data[-1] ^= 1
    bundle.model.write_bytes(data)
    with pytest.raises(BadFile, match="is not the file that"):
        bundle.verify()
    bundle.model.unlink()
    with pytest.raises(MissingInput, match="is missing"):
        bundle.verify()


def test_what_is_no_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="is no bundle"):
        Bundle(tmp_path)
    (bundle.path / "bundle.json").write_text('{"format": 1}')
    with pytest.raises(BadFile):
        Bundle(bundle.path).listing  # noqa: B018


def test_one_without_a_gguf_says_so(bundle: Bundle) -> None:
    listing = json.loads((bundle.path / "bundle.json").read_text())
    listing["files"] = {}
    (bundle.path / "bundle.json").write_text(json.dumps(listing))
    with pytest.raises(MissingInput, match="holds no model"):
        Bundle(bundle.path).model  # noqa: B018
