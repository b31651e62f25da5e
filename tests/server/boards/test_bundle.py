"""The bundle of a final board is what `edgelm replay` accepts, and never changes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile

import pytest

from edgelm.score.replay import counted, replay
from edgelm.score.signature import against_signature, public_key
from edgelm.server import audit, boards, bundles, database
from edgelm.server.clock import DAY
from edgelm.server.scrub import scrub
from edgelm.server.tables import Audit

from .conftest import TRACK


@pytest.fixture
def field(competition, ada, bo):
    competition.scored("red", (1, 1, 0), (1, 0), 1, 10)
    competition.scored("red", (1, 0, 0), (1, 1), 2, 20)
    competition.scored("blue", (0, 0, 1), (0, 0), 3, 30, eligible=False)
    return competition.scored("green", (0, 0, 1), (1, 1), 3, 40)


@pytest.fixture
def unpacked(tmp_path):
    def unpack(data, name="bundle"):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(tmp_path / name, filter="data")
        [folder] = (tmp_path / name).iterdir()
        return folder

    return unpack


def fetched(competition):
    answer = competition.browser().get(f"/boards/{TRACK}/bundle")
    assert answer.status_code == 200, answer.text
    return answer.content


def test_replay_gives_the_same_bytes(competition, field, ada, bo, published, unpacked):
    published("provisional")
    offence = {"offence": "dtype", "evidence": "int8 tensors"}
    assert competition.decide(f"submissions/{field}/disqualify", offence, ada, bo).status_code == 200
    assert competition.decide("void", {"track": TRACK, "task": "chid"}, ada).status_code == 201
    competition.clock.pass_seconds(8 * 86_400)
    assert competition.decide("publish", {"track": TRACK, "state": "final"}, ada, bo).status_code == 200
    folder = unpacked(fetched(competition))
    assert list(replay(folder)) == []
    assert counted(folder) == (8, 4)  # two tasks of four submissions have marks, their hold-outs have none
    standings = competition.browser().get(f"/boards/{TRACK}/standings").content
    assert (folder / TRACK / "standings.json").read_bytes() == standings
    assert json.loads(standings)["state"] == "final"


def test_what_was_changed_in_it_is_found(competition, field, published, unpacked):
    published("final")
    folder = unpacked(fetched(competition))
    path = next((folder / "marks").iterdir())
    path.write_bytes(path.read_bytes().replace(b"1000000", b"0", 1))
    assert list(replay(folder))


def test_it_has_each_evaluation_and_the_logs_head(competition, field, published, unpacked):
    published("final")
    folder = unpacked(fetched(competition))
    assert len(list((folder / "evaluations").iterdir())) == 4
    assert json.loads((folder / "evaluations" / f"{field}.json").read_bytes())["eligible"] is True
    said = json.loads((folder / "server.json").read_bytes())
    with competition.server.database.read() as session:
        last, _ = audit.head(session)
        entry = session.get_one(Audit, said["audit"])
    assert said == {"audit": last - 2, "head": entry.hash, "signed": False}  # then came the decision and its board


@pytest.fixture
def meanwhile(competition, field, ada, bo, published, monkeypatch):
    """`meanwhile(do)`: have a final board published, with something done while its bundle is made; the answer."""
    monkeypatch.setattr(database, "_PATIENCE", 0.1)  # who had to wait for the bundle would wait for ever
    published("provisional")
    competition.clock.pass_seconds(8 * 86_400)

    def publish(do):
        made = []

        def make(*words):
            if not made:
                do()
            made.append(bundles.bundled(*words))
            return made[-1]

        monkeypatch.setattr(boards, "bundled", make)
        return competition.decide("publish", {"track": TRACK, "state": "final"}, ada, bo)

    return publish


def test_nobody_waits_while_it_is_made(competition, meanwhile):
    answer = meanwhile(lambda: competition.browser("Late"))
    assert answer.status_code == 200, answer.text
    assert competition.board()["state"] == "final" and fetched(competition)


def test_a_board_that_changes_while_it_is_made_is_not_final(competition, meanwhile, ada, bo):
    answer = meanwhile(lambda: competition.decide("void", {"track": TRACK, "task": "chid"}, ada))
    assert answer.status_code == 409 and "changed" in answer.json()["what"]
    board = competition.board()
    assert (board["state"], board["void"]) == ("provisional", ["chid"])
    [decision] = ada.get("/admin/decisions", params={"undecided": True}).json()
    assert bo.post(f"/admin/decisions/{decision['id']}/second").status_code == 200
    assert competition.board()["state"] == "final" and fetched(competition)


def test_it_is_made_once(competition, field, published):
    published("final")
    first = fetched(competition)
    competition.scored("late", (1, 1), (1, 1), 1, 99)
    competition.follow()
    assert fetched(competition) == first


def test_it_is_signed_with_the_servers_key(competition, field, published, unpacked, tmp_path):
    key = tmp_path / "organiser"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    settings = competition.server.settings
    object.__setattr__(competition.server, "settings", settings.model_copy(update={"signing_key": key}))
    published("final")
    folder = unpacked(fetched(competition))
    assert against_signature(folder, public_key(key.with_name("organiser.pub"))) == ""
    assert json.loads((folder / "server.json").read_bytes())["signed"] is True


def test_a_key_that_cannot_be_read_leaves_the_board_as_it_was(competition, field, ada, bo, published, tmp_path):
    settings = competition.server.settings.model_copy(update={"signing_key": tmp_path / "none"})
    object.__setattr__(competition.server, "settings", settings)
    published("provisional")
    competition.clock.pass_seconds(8 * 86_400)
    answer = competition.decide("publish", {"track": TRACK, "state": "final"}, ada, bo)
    assert answer.status_code == 400 and "none" in answer.json()["what"]
    assert competition.board()["state"] == "provisional"


def test_the_scrub_keeps_all_that_boards_name(competition, field, published):
    published("final")
    server = competition.server
    before = fetched(competition)
    for digest in server.storage.all():
        os.utime(server.storage.path(digest), (0, 0))
    with server.database.write() as session:
        found = scrub(session, server.storage, server.clock() + 9 * DAY)
    assert found.lost == []
    assert fetched(competition) == before and competition.board()["state"] == "final"
    for number in (1, 2, 3, 4):
        assert competition.board(revision=number)["lines"]


def test_a_bundle_whose_file_is_lost_is_said_to_be(competition, field, ada, bo, published):
    published("provisional")
    competition.clock.pass_seconds(8 * 86_400)
    assert competition.decide("publish", {"track": TRACK, "state": "final"}, ada, bo).status_code == 200
    storage = competition.server.storage
    with competition.server.database.read() as session:
        lost = boards.latest(session, TRACK).bundle
    storage.path(lost).unlink()
    answer = competition.browser().get(f"/boards/{TRACK}/bundle")
    assert answer.status_code == 404 and "lost" in answer.json()["what"]
