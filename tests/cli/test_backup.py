"""`edgelm backup` and `edgelm restore`: what they print, and that what is wrong with the input ends them with 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from edgelm.server.blobs import enter
from edgelm.server.settings import Settings
from edgelm.server.start import start
from edgelm.server.tables import Revision


@pytest.fixture
def competition(tmp_path):
    """A server's folder, whose server runs."""
    server = start(Settings(folder=tmp_path / "competition"))
    yield tmp_path / "competition"
    server.database.close()


def test_there_and_back(edgelm, competition, tmp_path):
    code, out, err = edgelm("backup", competition, "-o", tmp_path / "backups")
    assert code == 0 and Path(out.strip()).parent == tmp_path / "backups" and "head of the audit log: " in err
    head = err.partition("head of the audit log: ")[2].split()[0]
    code, out, err = edgelm("restore", tmp_path / "backups", "-o", tmp_path / "new", "--expect-head", head)
    assert (code, out.strip()) == (0, str(tmp_path / "new")) and head in err
    code, out, _ = edgelm("backup", tmp_path / "new", "-o", tmp_path / "others", "--json")
    assert code == 0 and json.loads(out)["head"] == head


def test_what_is_lost_is_a_finding(edgelm, competition, tmp_path):
    server = start(Settings(folder=competition))
    with server.database.write() as session:
        digest = server.storage.put(b"x")
        enter(session, server.storage, [digest], 0)
        session.add(Revision(track="compression", number=1, state="draft", standings=digest, entries=digest,
                             decisions=digest, created=0, reason=""))  # fmt: skip
    server.database.close()
    server.storage.path(digest).unlink()
    code, _, err = edgelm("backup", competition, "-o", tmp_path / "backups")
    assert code == 1 and f"lost or damaged on the server: {digest}" in err


@pytest.mark.parametrize(("words", "said"), [
    (("backup", "{}/none", "-o", "{}/b"), "holds no server"), (("backup", "{}/competition", "-o", "{}/file"), "file"),
    (("restore", "{}/none", "-o", "{}/new"), "holds no backup"),
    (("restore", "{}/b", "-o", "{}/competition"), "exists"),
    (("restore", "{}/b", "-o", "{}/new", "--expect-head", "0" * 64), "another history"),
    (("restore", "{}/b", "-o", "{}/new", "--database", "sqlite:///{}/competition/edgelm.db"), "holds tables already"),
])  # fmt: skip
def test_what_is_refused(edgelm, competition, tmp_path, words, said):
    (tmp_path / "file").touch()
    if words[0] == "restore":
        edgelm("backup", competition, "-o", tmp_path / "b")
    code, out, err = edgelm(*(word.format(tmp_path) for word in words))
    assert (code, out) == (2, "") and said in err and "mend: " in err
    assert not (tmp_path / "new").exists()
