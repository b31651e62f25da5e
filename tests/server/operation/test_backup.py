"""A backup taken while others write restores elsewhere, on either kind of database, to the same rows, log and files."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported
from edgelm.files import sha256_bytes, sha256_file
from edgelm.server import audit, competition, dump, notices, outbox
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.backup import ABOUT, ROWS, take
from edgelm.server.blobs import enter
from edgelm.server.database import Database
from edgelm.server.journals import Journals
from edgelm.server.restore import restore
from edgelm.server.scrub import damaged, scrub
from edgelm.server.settings import Settings, read_settings
from edgelm.server.state import Server
from edgelm.server.storage import Storage
from edgelm.server.tables import Audit, File, Finding, Fingerprint, Job, Notice, Phase, Submission

START = 1_735_689_600_000_000
DAY = 86_400 * 10**6


@pytest.fixture
def full(server: Server) -> Server:
    """A server with a submission of two files, and values of all kinds in its rows."""
    digests = [server.storage.put(text.encode()) for text in ("one", "two" * 1000)]
    with server.database.write() as session:
        session.add(Phase(name="scored", kind="scored", opens=START, closes=START + DAY))
        session.add(Submission(id="s1", team_id="red", user_id="ann", track="compression", phase="scored",
                               manifest=digests[0], title="größer 大 \u2028", received=START, state="scored",
                               changed=START))  # fmt: skip
        session.flush()
        enter(session, server.storage, digests, START)
        session.add_all(File(submission_id="s1", path=str(number), sha256=digest)
                        for number, digest in enumerate(digests))  # fmt: skip
        session.add(Finding(submission_id="s1", number=1, body={"code": "X", "deep": [1, 0.5, None, True, "ä"]}))
        session.add(Job(id="j1", key="j1", submission_id="s1", kind="evaluate", tags=[], state="done", created=START))
        session.flush()
        session.add(Fingerprint(job_id="j1", sketch=b"\0", answers=bytes(range(256))))
        audit.record(session, SYSTEM, "test", "s1", START, reason="weil")
        competition.announce(session, Actor("olga", "organiser"), "Hello", "all", START)
    return server


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Callable[[str], str]:
    """`elsewhere("postgresql")`: the address of an empty database without tables; "" for SQLite in the folder."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return ""
        made = request.getfixturevalue("made_postgresql")(f"restored_{sha256_bytes(bytes(tmp_path))[:16]}")
        database = Database(made)
        database.migrate("base")
        database.close()
        return str(made)

    return make


def rows(database: Database) -> list[bytes]:
    with database.read() as session:
        return list(dump.lines(session))


def restored(out: Path) -> Server:
    settings = read_settings(out)
    return Server(settings, Database(settings.database_url))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_all_is_equal_afterwards(full: Server, tmp_path: Path, elsewhere: Any, kind: str) -> None:
    taken = take(full.settings, tmp_path / "backups", START)
    snapshot = restore(tmp_path / "backups", tmp_path / "new", database=elsewhere(kind))
    again = restored(tmp_path / "new")
    assert again.database.engine.dialect.name == kind
    assert rows(again.database) == rows(full.database) and snapshot == taken.snapshot
    assert taken.lost == snapshot.absent == [] and taken.added == 2
    assert sorted(again.storage.all()) == sorted(full.storage.all()) and damaged(again.storage) == []
    with again.database.write() as session:
        assert audit.first_break(session) is None
        assert audit.head(session) == (snapshot.audit, snapshot.head) == (2, snapshot.head)
        assert scrub(session, again.storage, START).lost == []
        competition.announce(session, Actor("olga", "organiser"), "It goes on", "", START)
    again.database.close()


def test_one_moment_is_kept_while_others_write(full: Server, tmp_path: Path) -> None:
    """A team and the log's entry on it belong together; so do a file and the row that names it."""
    ended, failed = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            for number in itertools.count():
                digest = full.storage.put(f"more {number}".encode())
                with full.database.write() as session:
                    enter(session, full.storage, [digest], START)
                    session.add(File(submission_id="s1", path=f"more/{number}", sha256=digest))
                    audit.record(session, SYSTEM, "more", digest, START)
                if ended.is_set():
                    return
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            take(full.settings, tmp_path / "backups", START + number * 10**6)
    finally:
        ended.set()
        writer.join()
    assert not failed
    for number, snapshot in enumerate(sorted((tmp_path / "backups").glob("2*"))):
        found = restore(snapshot, tmp_path / f"new-{number}")
        assert found.absent == [] and found.rows["file"] == found.audit == found.rows["audit"]
        again = restored(tmp_path / f"new-{number}")
        with again.database.read() as session:
            written = set(session.scalars(select(Audit.object).where(Audit.action == "more")))
        assert written <= set(again.storage.all())
        again.database.close()


def test_files_are_stored_once_for_all_snapshots(full: Server, tmp_path: Path) -> None:
    out = tmp_path / "backups"
    take(full.settings, out, START)
    inodes = {path: path.stat().st_ino for path in out.glob("blobs/*/*")}
    with full.database.write() as session:
        three = full.storage.put(b"three")
        enter(session, full.storage, [three], START)
        session.add(File(submission_id="s1", path="3", sha256=three))
    assert take(full.settings, out, START + 10**6).added == 1
    assert len(list(out.glob("blobs/*/*"))) == 3
    assert inodes == {path: path.stat().st_ino for path in inodes}


def test_the_latest_snapshot_is_taken_unless_another_is_named(full: Server, tmp_path: Path) -> None:
    first = take(full.settings, tmp_path / "backups", START)
    with full.database.write() as session:
        competition.announce(session, Actor("olga", "organiser"), "later", "", START)
    second = take(full.settings, tmp_path / "backups", START + 10**6)
    assert restore(tmp_path / "backups", tmp_path / "a").head == second.snapshot.head
    assert restore(first.path, tmp_path / "b", expected=first.snapshot.head).head == first.snapshot.head


def test_an_old_backup_does_not_pass_for_a_newer_one(full: Server, tmp_path: Path) -> None:
    old = take(full.settings, tmp_path / "backups", START)
    with full.database.write() as session:
        competition.announce(session, Actor("olga", "organiser"), "later", "", START)
    with full.database.read() as session:
        head = audit.head(session)[1]
    with pytest.raises(BadFile, match="from before what was expected"):
        restore(old.path, tmp_path / "new", expected=head)
    assert not (tmp_path / "new").exists()
    take(full.settings, tmp_path / "backups", START + 10**6)
    restore(tmp_path / "backups", tmp_path / "new", expected=old.snapshot.head)  # it goes on from there


def test_settings_without_their_secrets_unless_asked(full: Server, tmp_path: Path) -> None:
    folder = full.settings.folder
    settings = Settings(folder=folder, database=full.settings.database, title='a "title"', smtp_password="pw-1",
                        reference={"phi-2": Path("/ref")}, second_factor=False)  # fmt: skip
    plain, whole = tmp_path / "plain", tmp_path / "whole"
    taken = take(settings, plain, START)
    assert "pw-1" not in (taken.path / ABOUT).read_text() and "database" not in taken.snapshot.settings
    restore(plain, tmp_path / "a")
    found = read_settings(tmp_path / "a")
    assert (found.title, found.second_factor, found.reference) == ('a "title"', False, {"phi-2": Path("/ref")})
    kept = take(settings, whole, START, secrets=True)
    assert kept.snapshot.settings["smtp_password"] == "pw-1"
    restore(whole, tmp_path / "b")
    assert read_settings(tmp_path / "b").smtp_password.get_secret_value() == "pw-1"
    for private in (plain, taken.path, tmp_path / "a", tmp_path / "b" / "server.toml"):
        assert private.stat().st_mode & 0o077 == 0


def test_what_is_lost_on_the_server_is_said_and_the_rest_is_kept(full: Server, tmp_path: Path) -> None:
    one, two = sorted(full.storage.all())
    full.storage.path(one).unlink()
    full.storage.path(two).chmod(0o644)
    full.storage.path(two).write_bytes(b"other")
    assert take(full.settings, tmp_path / "backups", START).lost == [one, two]
    assert restore(tmp_path / "backups", tmp_path / "new").absent == [one, two]


def test_journals_are_kept_to_their_last_whole_line_and_go_on_after(full: Server, tmp_path: Path) -> None:
    before = Journals(full.settings.journals)
    before.append("job", "phi-2", 0, b'{"a": 1}\n')
    with before.path("job", "phi-2").open("ab") as file:
        file.write(b'{"torn')
    take(full.settings, tmp_path / "backups", START)
    restore(tmp_path / "backups", tmp_path / "new")
    after = Journals(read_settings(tmp_path / "new").journals)
    assert after.read("job", "phi-2", 0, 100) == b'{"a": 1}\n'
    after.append("job", "phi-2", 9, b'{"b": 2}\n')
    assert damaged(Storage(tmp_path / "backups" / "blobs")) == []  # what is written after does not reach the backup


# Refusals


def _cut(place: Path) -> None:
    (place / ROWS).write_bytes((place / ROWS).read_bytes()[:-20])


def _with_lines(place: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    """Change rows, and the digest with them: what only somebody does who means to."""
    lines = [json.loads(line) for line in gzip.decompress((place / ROWS).read_bytes()).splitlines()]
    (place / ROWS).write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in change(lines))))
    about = json.loads((place / ABOUT).read_text())
    about["sha256"] = sha256_file(place / ROWS)
    (place / ABOUT).write_text(json.dumps(about))


def _without(word: str) -> Callable[[Path], None]:
    """Leave out the rows that hold a value."""
    return lambda place: _with_lines(
        place, lambda lines: [each for each in lines if isinstance(each, dict) or word not in each]
    )


def _other_reason(place: Path) -> None:
    _with_lines(place, lambda lines: [["anders" if field == "weil" else field for field in each]
                                      if isinstance(each, list) else each for each in lines])  # fmt: skip


def _no_file(place: Path) -> None:
    next(place.parent.glob("blobs/*/*")).unlink()


def _damaged_file(place: Path) -> None:
    path = next(place.parent.glob("blobs/*/*"))
    path.unlink()
    path.write_bytes(b"other")


@pytest.mark.parametrize(("harm", "said"), [
    (_cut, "is damaged"), (_without("ann"), "cannot be restored"), (_without("weil"), "is incomplete"),
    (_other_reason, "audit log .* is broken"), (_no_file, "missing or damaged"), (_damaged_file, "missing or damaged"),
    (lambda place: (place / ABOUT).write_text("{}"), "another form"),
    (lambda place: (place / ABOUT).write_text("{"), "backup.json"),
    (lambda place: _with_lines(place, lambda lines: [{"table": "user", "columns": ["id"]}, ["x"]]), "other columns"),
    (lambda place: _with_lines(place, lambda lines: [["x"]]), "cannot be restored"),
])  # fmt: skip
def test_what_is_harmed_is_refused_whole(
    full: Server, tmp_path: Path, elsewhere: Any, harm: Callable[[Path], Any], said: str
) -> None:
    harm(take(full.settings, tmp_path / "backups", START).path)
    database = elsewhere(full.database.engine.dialect.name)
    with pytest.raises((BadFile, Unsupported), match=said):
        restore(tmp_path / "backups", tmp_path / "new", database=database)
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".new*"))
    if database:  # it is as empty as before, and can be used
        Database(database).migrate()


def test_nothing_is_written_over(full: Server, tmp_path: Path, url: str) -> None:
    take(full.settings, tmp_path / "backups", START)
    with pytest.raises(BadOption, match="exists already"):
        take(full.settings, tmp_path / "backups", START)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").touch()
    with pytest.raises(BadOption, match="exists already"):
        restore(tmp_path / "backups", tmp_path / "new")
    with pytest.raises(BadOption, match="holds tables already"):
        restore(tmp_path / "backups", tmp_path / "other", database=url)
    assert len(rows(full.database)) > 20


def test_what_is_no_server_and_what_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="holds no server"):
        take(Settings(folder=tmp_path / "none"), tmp_path / "backups", START)
    with pytest.raises(MissingInput, match="holds no backup"):
        restore(tmp_path / "none", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["nonsense", "postgresql+psycopg://edgelm@/x?host=/nowhere"])
def test_a_database_that_does_not_answer(full: Server, tmp_path: Path, address: str) -> None:
    take(full.settings, tmp_path / "backups", START)
    with pytest.raises(BadOption, match="database"):
        restore(tmp_path / "backups", tmp_path / "new", database=address)
    assert not (tmp_path / "new").exists()


def test_tables_of_another_version(full: Server, tmp_path: Path) -> None:
    full.database.migrate("base")
    with pytest.raises(Unsupported, match="version none"):
        take(full.settings, tmp_path / "backups", START)


def test_tables_go_down_and_up_again_with_equal_rows(full: Server, tmp_path: Path) -> None:
    """Down to nothing and up to this version, filled again from what was written before."""
    before = rows(full.database)
    with full.database.read() as session, (tmp_path / ROWS).open("wb") as file:
        dump.write(session, file)
    full.database.migrate("base")
    full.database.migrate()
    with full.database.write() as session:
        assert not any(dump.counts(session).values())
        dump.read(session, tmp_path / ROWS)
        assert audit.first_break(session) is None
    assert rows(full.database) == before
    with pytest.raises(Exception, match="appended"), full.database.write() as session:
        session.execute(delete(Audit))


def test_no_link_that_bears_a_secret_is_kept(full: Server, tmp_path: Path) -> None:
    with full.database.write() as session:
        notices.tell_address(session, "bob@example.org", "Set a new password", "Open this.", START, "https://x/secret")
        before = outbox.waiting(session, "mail", START)
    take(full.settings, tmp_path / "backups", START)
    restore(tmp_path / "backups", tmp_path / "new")
    again = restored(tmp_path / "new")
    with again.database.read() as session:
        (mail,) = session.scalars(select(Notice).where(Notice.target == "bob@example.org"))
        assert (mail.body, mail.link) == ("Open this.", "")
        assert outbox.waiting(session, "mail", START) == before - 1  # it is not sent without its link
    again.database.close()


def test_what_no_row_names_any_more_is_left_out(full: Server, tmp_path: Path) -> None:
    with full.database.write() as session:
        enter(session, full.storage, [full.storage.put(b"an older board")], START)
    taken = take(full.settings, tmp_path / "backups", START)
    restore(tmp_path / "backups", tmp_path / "new")
    again = restored(tmp_path / "new")
    with again.database.write() as session:
        assert scrub(session, again.storage, START).lost == []
    assert (taken.added, len(list(again.storage.all()))) == (2, 2)
    again.database.close()
