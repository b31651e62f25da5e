"""The audit log as organisers read it, the heads that all may keep, and the export."""

from __future__ import annotations

import csv
import io
import subprocess
from zipfile import ZipFile

import pytest
from sqlalchemy import text

from edgelm.score.signature import public_key
from edgelm.server import audit, audit_heads, export
from edgelm.server.audit import Actor
from edgelm.server.clock import DAY
from edgelm.server.tables import Appeal, Audit, Head

OLGA = Actor("olga", "organiser")


@pytest.fixture
def entries(server):
    """The first ten entries, a second apart; logins have others, later."""
    with server.database.write() as session:
        for number in range(10):
            action = "slot.grant" if number % 2 else "slotting"
            audit.record(session, OLGA if number < 4 else audit.SYSTEM, action, f"team-{number % 3}", number * 10**6)


def numbers(client, **asked):
    answer = client.get("/admin/audit", params={"until": 10**7, **asked})
    assert answer.status_code == 200, answer.text
    return [entry["number"] for entry in answer.json()["entries"]]


def test_entries_are_found_by_who_what_and_when(entries, ada):
    assert numbers(ada) == list(range(10, 0, -1))
    assert numbers(ada, actor="olga") == [4, 3, 2, 1]
    assert numbers(ada, action="slot.") == [10, 8, 6, 4, 2]
    assert numbers(ada, action="slot_") == [] and numbers(ada, action="%") == []
    assert numbers(ada, object="team-0") == [10, 7, 4, 1]
    assert numbers(ada, since=3 * 10**6, until=5 * 10**6) == [5, 4]
    assert numbers(ada, actor="olga", action="slot.grant", object="team-0") == [4]


def test_entries_come_in_pages(entries, ada):
    seen, before = [], 2**63 - 1
    while before is not None:
        page = ada.get("/admin/audit", params={"before": before, "limit": 4, "until": 10**7}).json()
        seen += [entry["number"] for entry in page["entries"]]
        before = page["next"]
    assert seen == list(range(10, 0, -1))
    assert ada.get("/admin/audit", params={"limit": 0}).status_code == 422


def test_the_first_break_of_the_chain_is_found(server, entries, ada):
    found = ada.post("/admin/audit/verify").json()
    assert (found["first_break"], found["first_lost_head"]) == (None, None)
    with server.database.read() as session:
        assert (found["entries"], found["head"]) == audit.head(session)
    with server.database.write() as session:  # as someone would who owns the machine
        if session.bind.dialect.name == "sqlite":
            for name in session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
                session.execute(text(f"DROP TRIGGER {name}"))
        else:
            session.execute(text("ALTER TABLE audit DISABLE TRIGGER USER"))
        session.execute(text("UPDATE audit SET reason = 'other' WHERE number = 4"))
    assert ada.post("/admin/audit/verify").json()["first_break"] == 4


def test_a_head_is_kept_each_day_and_a_rewritten_log_is_known_by_it(server, entries, ada, competition):
    with server.database.read() as session:
        last, _ = audit.head(session)
    for _ in range(2):
        audit_heads.keep(server)
    competition.clock.now += DAY
    audit_heads.keep(server)  # nothing has happened
    (head,) = competition.browser().get("/audit/heads").json()
    assert (head["number"], head["signature"]) == (last, "")
    with server.database.write() as session:
        audit.record(session, OLGA, "slot.grant", "x", 1)
    audit_heads.keep(server)
    assert [each["number"] for each in competition.browser().get("/audit/heads").json()] == [last + 1, last]
    with server.database.write() as session:  # a chain that holds in itself, and is another
        session.get_one(Head, last).hash = "f" * 64
    found = ada.post("/admin/audit/verify").json()
    assert (found["first_break"], found["first_lost_head"]) == (None, last)
    with server.database.write() as session:  # restored from before that entry
        session.get_one(Head, last).hash = session.get_one(Audit, last).hash
        session.add(Head(number=last + 2, hash="f" * 64, created=0, signature=""))
    assert ada.post("/admin/audit/verify").json()["first_lost_head"] == last + 2


def test_heads_are_signed_with_the_operators_key(server, entries, competition, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    object.__setattr__(server, "settings", server.settings.model_copy(update={"signing_key": key}))
    audit_heads.keep(server)
    (head,) = competition.browser().get("/audit/heads").json()
    public_key(key.with_suffix(".pub")).verify(bytes.fromhex(head["signature"]), head["signed"].encode())
    assert f"entry 10, sha256 {head['hash']}" in head["signed"]


def test_the_export_has_all_tables_and_no_secret(server, entries, competition, ada):
    one = competition.scored("=red")
    competition.browser("Ann", team="=red")
    with server.database.write() as session:
        session.add(Appeal(submission_id=one, user_id="", text="=1+1", created=1))
    answer = ada.get("/admin/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        tables = {name: list(csv.DictReader(io.StringIO(packed.read(name).decode()))) for name in packed.namelist()}
    assert [row["text"] for row in tables["appeals.csv"]] == ["'=1+1"]
    assert [row["name"] for row in tables["teams.csv"]] == ["'=red"]
    assert [row["id"] for row in tables["submissions.csv"]] == [one]
    assert [row["action"] for row in tables["audit.csv"]][-1] == "export"
    assert [row["number"] for row in tables["audit.csv"]][:10] == [f"{number}" for number in range(1, 11)]
    assert {"password", "second_factor", "sha256"}.isdisjoint(column for rows in tables.values() for row in rows
                                                              for column in row)  # fmt: skip


def test_whoever_downloads_slowly_holds_no_connection(server, entries, competition, monkeypatch):
    monkeypatch.setattr(export, "_PIECE", 100)
    slow = export.pieces(export.archive(server.database, server.storage.folder))
    first = next(slow)
    assert server.database.engine.pool.checkedout() == 0
    competition.scored("late")
    with ZipFile(io.BytesIO(first + b"".join(slow))) as packed:
        assert len(packed.read("audit.csv").splitlines()) == 11 and b"late" not in packed.read("teams.csv")
    assert not [each for each in server.storage.folder.iterdir() if each.is_file()]
