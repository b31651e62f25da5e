"""The competition with scripted results, to be run by its organisers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.pack import pack
from edgelm.server import uploads
from edgelm.server.audit import Actor
from edgelm.server.state import Server

from ..boards.conftest import Competition, ada, bo, competition, published, server

__all__ = ["Competition", "ada", "bo", "competition", "published", "server"]


@pytest.fixture
def rita(competition: Competition) -> Any:
    """A reviewer."""
    return competition.browser("Rita", "reviewer")


@pytest.fixture
def uploaded(server: Server, tmp_path: Path) -> Callable[..., str]:
    """`uploaded(client, "red", "a")`: a package of no model by that title, all of whose files have come; the upload."""

    def make(client: Any, team: str, title: str, **source: bytes) -> str:
        folder = tmp_path / f"{title}-source"
        folder.mkdir()
        for name, data in {"README.md": b"edgelm compress\n", **source}.items():
            (folder / name).write_bytes(data)
        made = tmp_path / title
        pack({}, team=team, track="compression", rules=server.rules, source=folder, out=made, title=title,
             omitted={"base": "not done yet"})  # fmt: skip
        data = (made / "edgelm.json").read_bytes()
        manifest = uploads.read_manifest(data, server.rules, 2**30)
        sent = [server.storage.put((made / entry.path).read_bytes()) for entry in manifest.files]
        with server.database.write() as session:
            begun = uploads.begin(session, server.storage, server.settings, Actor(client.id, "participant"), team,
                                  client.id, manifest, data, server.clock())  # fmt: skip
            uploads.mark_shown(session, team, sent)
            return begun.id

    return make
