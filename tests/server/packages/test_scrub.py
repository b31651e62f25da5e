"""What the tables name stays, what nothing names goes after a day, and what is lost or damaged is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.files import sha256_bytes
from edgelm.server import blobs, queue, records
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import utc_now
from edgelm.server.scrub import damaged, scrub
from edgelm.server.state import Server
from edgelm.server.tables import Blob, File, Submission, Upload, Wanted

DAY = 86_400 * 10**6


@pytest.fixture
def named(server: Server, handed_in: Callable[..., str]) -> dict[str, str]:
    """Digests by what names them."""
    put = server.storage.put
    found = {name: put(name.encode()) for name in ("file", "manifest", "wanted", "upload", "stray")}
    one = handed_in("one")
    with server.database.write() as session:
        session.get_one(Submission, one).manifest = found["manifest"]
        session.add_all(Blob(sha256=found[name], size=len(name), created=0) for name in ("file", "stray"))
        session.add(
            Upload(
                id="begun",
                team_id="red",
                user_id="red-captain",
                manifest=found["upload"],
                track="",
                nonce="",
                created=0,
                expires=2**62,
            )
        )
        session.flush()
        session.add_all([File(submission_id="one", path="file", sha256=found["file"]),
                         Wanted(upload_id="begun", sha256=found["wanted"], size=6)])  # fmt: skip
    return found


def partly(server: Server, owner: str, digest: str) -> Path:
    with server.storage.arriving(owner, digest, 10) as arriving:
        arriving.write(b"half")
        arriving.keep()
    return server.storage.folder / "arriving" / owner / digest


def test_a_scrub_that_was_broken_off_is_ended_by_the_next(server: Server, named: dict[str, str]) -> None:
    """The file was removed, and the server killed before its row was: nothing that anybody needs is lost."""
    server.storage.path(named["stray"]).unlink()
    with server.database.write() as session:
        assert scrub(session, server.storage, utc_now()) == ([], [])
        assert session.get(Blob, named["stray"]) is None and session.get(Blob, named["file"]) is not None


def test_only_what_nothing_names_goes_and_only_after_a_day(server: Server, named: dict[str, str]) -> None:
    wanted, other = partly(server, "red", named["wanted"]), partly(server, "blue", named["wanted"])
    rest = server.storage.path(named["file"]).parent / ".torn"
    rest.write_bytes(b"")
    with server.database.write() as session:
        assert scrub(session, server.storage, utc_now()).removed == []
    assert other.exists() and rest.exists()
    with server.database.write() as session:
        assert scrub(session, server.storage, utc_now() + 2 * DAY) == ([], [named["stray"]])
        assert session.get(Blob, named["stray"]) is None
    assert set(server.storage.all()) == set(named.values()) - {named["stray"]}
    assert server.storage.arrived("red", named["wanted"]) == 4 and wanted.exists()
    assert not other.exists() and not rest.exists() and not list(other.parent.iterdir())


def test_what_a_result_names_is_kept_with_it(server: Server, handed_in: Callable[..., str]) -> None:
    report, answers, other = (server.storage.put(name) for name in (b"report", b"answers", b"other"))
    result = server.storage.put(json.dumps({"models": {"m": {"report": report, "answers": {"t": answers}}}}).encode())
    one = handed_in("one", "running")
    with server.database.write() as session:
        blobs.enter(session, server.storage, {report, answers, other, result}, 0)
        job = queue.enqueue(session, SYSTEM, key="e", submission_id=one, kind="evaluate", now=0)
        names = blobs.named_in(session, server.storage.read(result, 1000))
        records.evaluated(session, SYSTEM, job, result, names, 0)
    with server.database.write() as session:
        assert scrub(session, server.storage, utc_now() + 2 * DAY).removed == [other]
    assert all(server.storage.holds(each) for each in (report, answers, result))


def test_what_is_lost_or_damaged_is_found(server: Server, named: dict[str, str]) -> None:
    assert damaged(server.storage) == []
    path = server.storage.path(named["file"])
    path.chmod(0o644)
    path.write_bytes(b"FILE")
    assert damaged(server.storage) == [named["file"]] and sha256_bytes(b"FILE") != named["file"]
    path.unlink()
    with server.database.write() as session:
        assert scrub(session, server.storage, utc_now()).lost == [named["file"]]
