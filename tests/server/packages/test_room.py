"""Files that a package only links have room on the disk, and count as their team's, until they are here."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edgelm.server import room
from edgelm.server.keys import WORKER_KEY, digest
from edgelm.server.refusals import TooMuch
from edgelm.server.state import Server
from edgelm.server.tables import Submission, Worker

from .conftest import Promised

WEIGHTS = bytes(range(256)) * 100
NAME = sha256(WEIGHTS).hexdigest()
KEY = {"Authorization": f"Bearer {WORKER_KEY}{'k' * 40}"}


@pytest.fixture
def submission(
    app: TestClient, server: Server, team: str, bearer: Any, make_package: Callable[..., Path], promised: Promised
) -> str:
    """The id of one that waits for its check, and whose weights are linked."""
    folder, red = make_package(), bearer("red-captain")
    link = {"path": "source/weights.bin", "url": "https://huggingface.co/a/b", "size": len(WEIGHTS), "sha256": NAME}
    (folder / "links.json").write_text(json.dumps([link]))
    manifest = json.loads((folder / "edgelm.json").read_bytes())
    links = (folder / "links.json").read_bytes()
    manifest["files"] += [{name: link[name] for name in ("path", "size", "sha256")},
                          {"path": "links.json", "size": len(links), "sha256": sha256(links).hexdigest()}]  # fmt: skip
    begun = app.post("/uploads", json=manifest, headers=red).json()
    for each in manifest["files"]:
        if each["sha256"] != NAME:
            headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", **red}
            data = (folder / each["path"]).read_bytes()
            assert app.patch(f"/blobs/{each['sha256']}", content=data, headers=headers).is_success
    assert promised() == len(WEIGHTS)
    made = app.post("/submissions", json={"upload": begun["id"]}, headers=red).json()
    assert made["state"] == "checking", made
    with server.database.write() as session:
        session.add(Worker(name="one", sha256=digest(KEY["Authorization"].removeprefix("Bearer ")), tags=[], created=0))
    id: str = made["id"]
    return id


@pytest.fixture
def put(app: TestClient, submission: str) -> Callable[..., Any]:
    """`put(offset)`: a worker's answer for the next bytes that the link gave."""
    job = app.post("/jobs/lease", json={"tags": [], "request": "0" * 32}, headers=KEY).json()

    def send(offset: int) -> Any:
        at = {"fence": job["fence"], "offset": offset, "size": len(WEIGHTS), "linked": True}
        data = WEIGHTS[offset : offset + job["part_bytes"]]
        return app.put(f"/jobs/{job['id']}/blobs/{NAME}", content=data, params=at, headers=KEY)

    return send


def _of_team(server: Server) -> int:
    with server.database.read() as session, pytest.raises(TooMuch) as refused:
        room.require_quota(session, server.storage, "red", {}, 0)
    return int(refused.value.why.split()[-1].replace(",", ""))


def test_what_is_linked_counts_until_it_is_here(server: Server, put: Callable[..., Any], promised: Promised) -> None:
    whole = _of_team(server)
    assert whole > promised() == len(WEIGHTS)
    for offset in (0, 10_000):
        assert put(offset).is_success
        assert (promised(), _of_team(server)) == (len(WEIGHTS) - offset - 10_000, whole)
    assert put(20_000).is_success
    assert server.storage.holds(NAME) and (promised(), _of_team(server)) == (0, whole)


def test_what_is_linked_counts_no_more_when_its_check_has_ended(
    server: Server, submission: str, promised: Promised
) -> None:
    whole = _of_team(server)
    with server.database.write() as session:
        session.get_one(Submission, submission).state = "refused"
    assert (promised(), _of_team(server)) == (0, whole - len(WEIGHTS))


def test_what_is_linked_leaves_the_reserve_free(
    server: Server, put: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(server.storage), "free", lambda _: server.settings.reserve - 1)
        answer = put(0)
        assert answer.status_code == 507 and answer.json()["mend"]
    assert not room.arrived(server.storage)
    assert put(0).json()["size"] == 10_000
