"""Keys: one's own by a password from the environment, or a debug key made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgelm.deploy.apk.key import debug_key, own_key
from edgelm.deploy.apk.tools import Tools, find_tools
from edgelm.errors import BadOption, MissingInput


@pytest.fixture
def tools() -> Tools:
    try:
        return find_tools()
    except MissingInput as error:
        pytest.skip(error.why)


def test_the_debug_key_is_made_once(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path))
    said: list[str] = []
    first = debug_key(tools, lambda what, done, of: said.append(what))
    kept = first.store.read_bytes()
    assert debug_key(tools, lambda what, done, of: said.append(what)) == first
    assert first.store.read_bytes() == kept
    assert len(said) == 2  # its beginning and its end, once
    assert [file.name for file in first.store.parent.iterdir()] == [first.store.name]


def test_a_key_of_ones_own_needs_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "own.p12"
    with pytest.raises(MissingInput, match="no keystore"):
        own_key(store, "me", "WORD")
    store.touch()
    monkeypatch.delenv("WORD", raising=False)
    with pytest.raises(BadOption, match="WORD"):
        own_key(store, "me", "WORD")
    monkeypatch.setenv("WORD", "secret")
    assert own_key(store, "me", "WORD").password == "secret"
