"""Uploads over HTTP: what is missing, parts kept or not, files that are there already, who may send what."""

from __future__ import annotations

import base64
import errno
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from edgelm.server import chores, possession, room, uploads
from edgelm.server import storage as storage_module
from edgelm.server.database import Database
from edgelm.server.refusals import TooMuch
from edgelm.server.state import Server
from edgelm.server.storage import DiskFull
from edgelm.server.tables import Notice, Team, Upload, Wanted

from .conftest import Promised

DATA = random.Random(5).randbytes(35_000)
NAME = sha256(DATA).hexdigest()
PART = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture
def red(team: str, bearer: Callable[..., dict[str, str]]) -> dict[str, str]:
    return bearer("red-captain")


@pytest.fixture
def package(make_package: Callable[..., Path]) -> Path:
    return make_package("package", {"data.txt": DATA, "empty.txt": b""})


def begin(app: TestClient, who: dict[str, str], package: Path, **changes: Any) -> Any:
    data = (package / "edgelm.json").read_bytes()
    if changes:
        data = json.dumps({**json.loads(data), **changes}).encode()
    return app.post("/uploads", content=data, headers={"Content-Type": "application/json", **who})


def send_all(app: TestClient, who: dict[str, str], package: Path) -> None:
    """Whatever of a package is missing."""
    paths = {each["sha256"]: package / each["path"]
             for each in json.loads((package / "edgelm.json").read_bytes())["files"]}  # fmt: skip
    for each in begin(app, who, package).json()["missing"]:
        data, headers = paths[each["sha256"]].read_bytes(), {"Upload-Offset": str(each["offset"]), **PART, **who}
        assert app.patch(f"/blobs/{each['sha256']}", content=data[each["offset"] :], headers=headers).is_success


def send(app: TestClient, who: dict[str, str], data: bytes, offset: int, where: str = f"/blobs/{NAME}") -> Any:
    checksum = base64.b64encode(sha256(data).digest()).decode()
    headers = {"Upload-Offset": str(offset), "Upload-Checksum": f"sha256 {checksum}", **PART, **who}
    return app.patch(where, content=data, headers=headers)


def test_what_is_missing_comes_part_by_part(
    app: TestClient, red: dict[str, str], package: Path, server: Server
) -> None:
    begun = begin(app, red, package)
    assert begun.status_code == 201
    wanted = {each["sha256"]: (each["size"], each["offset"]) for each in begun.json()["missing"]}
    assert wanted[NAME] == (35_000, 0) and len(wanted) == 3, "the file without a byte needs not come"
    for offset in range(0, 35_000, 10_000):
        head = app.head(f"/blobs/{NAME}", headers=red)
        assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (str(offset), "35000")
        sent = send(app, red, DATA[offset : offset + 10_000], offset)
        assert sent.status_code == 204 and sent.headers["Upload-Offset"] == str(min(offset + 10_000, 35_000))
    assert app.head(f"/blobs/{NAME}", headers=red).headers["Upload-Offset"] == "35000"
    assert server.storage.path(NAME).read_bytes() == DATA
    left = app.get(f"/uploads/{begun.json()['id']}", headers=red).json()["missing"]
    assert NAME not in {each["sha256"] for each in left} and len(left) == 2
    assert begin(app, red, package).json()["id"] == begun.json()["id"], "begun again, it is the same"


def test_a_part_that_is_damaged_late_or_too_large_changes_nothing(
    app: TestClient, red: dict[str, str], package: Path
) -> None:
    begin(app, red, package)
    good = {"Upload-Offset": "0", **PART, **red}
    wrong = base64.b64encode(sha256(b"other").digest()).decode()
    for headers, data, status in (
        ({"Upload-Checksum": f"sha256 {wrong}"}, DATA[:10], 460),
        ({"Upload-Checksum": "md5 abc"}, DATA[:10], 400),
        ({"Upload-Checksum": f"sha256 {base64.b64encode(sha256(DATA).digest()).decode()}"}, DATA, 413),
        ({"Upload-Offset": "7"}, DATA[:10], 409),
        ({"Upload-Offset": "-7"}, DATA[:10], 422),
        ({"Content-Type": "text/plain"}, DATA[:10], 415),
        ({}, DATA + b"!", 413),
    ):
        answer = app.patch(f"/blobs/{NAME}", content=data, headers={**good, **headers})
        assert answer.status_code == status, (headers, answer.text)
        assert answer.json()["what"]
        assert app.head(f"/blobs/{NAME}", headers=red).headers["Upload-Offset"] == "0"


def test_bytes_with_another_digest_are_forgotten(app: TestClient, red: dict[str, str], package: Path) -> None:
    begin(app, red, package)
    answer = app.patch(f"/blobs/{NAME}", content=DATA[::-1], headers={"Upload-Offset": "0", **PART, **red})
    assert (answer.status_code, answer.json()["code"]) == (460, "PKG-05")
    assert app.head(f"/blobs/{NAME}", headers=red).headers["Upload-Offset"] == "0"
    assert app.patch(f"/blobs/{NAME}", content=DATA, headers={"Upload-Offset": "0", **PART, **red}).status_code == 204


def test_browsers_speak_tus(app: TestClient, red: dict[str, str], package: Path, server: Server) -> None:
    begin(app, red, package)
    spoken = {"Tus-Resumable": "1.0.0", **red}
    told = app.options("/tus").headers
    assert (told["Tus-Version"], told["Tus-Extension"]) == ("1.0.0", "creation,checksum")
    metadata = f"filename {base64.b64encode(b'a b').decode()},sha256 {base64.b64encode(NAME.encode()).decode()}"
    made = app.post("/tus", headers={"Upload-Length": "35000", "Upload-Metadata": metadata, **spoken})
    assert made.status_code == 201
    where = made.headers["Location"]
    assert app.head(where, headers=red).status_code == 412, "another version of tus"
    assert app.head(where, headers=spoken).headers["Upload-Offset"] == "0"
    for start in (0, 20_000):
        headers = {"Upload-Offset": str(start), **PART, **spoken}
        assert app.patch(where, content=DATA[start : start + 20_000], headers=headers).status_code == 204
    assert server.storage.holds(NAME)
    for length, named in (("5", metadata), ("35000", "sha256 !!"), ("35000", ""), ("35000", "sha256 AAAA")):
        answer = app.post("/tus", headers={"Upload-Length": length, "Upload-Metadata": named, **spoken})
        assert answer.status_code == (409 if named == metadata else 400)


def test_what_one_team_brought_another_need_not_bring(
    app: TestClient, red: dict[str, str], package: Path, server: Server, bearer: Any, add_team: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    begin(app, red, package)
    app.patch(f"/blobs/{NAME}", content=DATA, headers={"Upload-Offset": "0", **PART, **red})
    blue = bearer(f"{add_team('blue')}-member")
    begun = begin(app, blue, package).json()
    (asked,) = [each for each in begun["missing"] if each["sha256"] == NAME]
    assert asked["proof"] == [[0, 35_000]] and all(not each["proof"] for each in begun["missing"] if each != asked)
    assert app.head(f"/blobs/{NAME}", headers=blue).headers["Upload-Offset"] == "0", "to name it is not to have it"

    def prove(data: bytes) -> set[str]:
        shown = sha256(begun["nonce"].encode() + data).hexdigest()
        answer = app.post(f"/uploads/{begun['id']}/proofs", json={"proofs": {NAME: shown}}, headers=blue)
        return {each["sha256"] for each in answer.json()["missing"]}

    def read(*asked: Any) -> str:
        with server.database.write():  # which waits for nobody
            return proof(*asked)

    proof = possession.proof
    monkeypatch.setattr(possession, "proof", read)
    monkeypatch.setattr("edgelm.server.database._PATIENCE", 1)
    assert NAME in prove(DATA[:-1]) and NAME in prove(b"")
    assert NAME not in prove(DATA)
    assert app.head(f"/blobs/{NAME}", headers=blue).headers["Upload-Offset"] == "35000"
    assert sum(server.storage.path(name).stat().st_size == 35_000 for name in server.storage.all()) == 1


@pytest.mark.parametrize("size", [0, 1, 34_999, 35_001])
def test_nothing_is_proved_over_another_size_than_the_file_has(
    app: TestClient, red: dict[str, str], package: Path, server: Server, bearer: Any, add_team: Any, size: int
) -> None:
    begin(app, red, package)
    send_all(app, red, package)
    blue = bearer(f"{add_team('blue')}-member")
    files = json.loads((package / "edgelm.json").read_bytes())["files"]
    lied = [{**each, "size": size} if each["sha256"] == NAME else each for each in files]
    unknown = [{**each, "sha256": "0" * 64} if each["sha256"] == NAME else each for each in lied]
    begun = begin(app, blue, package, files=lied).json()

    def lacked(upload: Any, sha256: str) -> Any:
        return next(each for each in upload["missing"] if each["sha256"] == sha256)

    assert lacked(begun, NAME)["proof"] == []
    as_others = lacked(begin(app, blue, package, files=unknown).json(), "0" * 64)
    assert {**lacked(begun, NAME), "sha256": ""} == {**as_others, "sha256": ""}, "it does not show that it is known"
    for data in (b"", DATA[:size]):
        proofs = {NAME: sha256(begun["nonce"].encode() + data).hexdigest()}
        told = app.post(f"/uploads/{begun['id']}/proofs", json={"proofs": proofs}, headers=blue).json()
        assert lacked(told, NAME)
    if size:
        headers = {"Upload-Offset": "0", **PART, **blue}
        sent = app.patch(f"/blobs/{NAME}", content=DATA[:size].ljust(size), headers=headers)
        assert (sent.status_code, sent.json()["code"]) == (460, "PKG-05")
    honest = begin(app, blue, package, title="honest").json()
    assert lacked(honest, NAME)["proof"] == [[0, 35_000]]
    proofs = {NAME: sha256(honest["nonce"].encode() + DATA).hexdigest()}
    told = app.post(f"/uploads/{honest['id']}/proofs", json={"proofs": proofs}, headers=blue).json()
    assert NAME not in {each["sha256"] for each in told["missing"]}
    assert lacked(app.get(f"/uploads/{begun['id']}", headers=blue).json(), NAME), "not with that size"


def test_who_proves_nothing_sends_the_file_anew(
    app: TestClient, red: dict[str, str], package: Path, server: Server, bearer: Any, add_team: Any
) -> None:
    begin(app, red, package)
    app.patch(f"/blobs/{NAME}", content=DATA, headers={"Upload-Offset": "0", **PART, **red})
    blue = bearer(f"{add_team('blue')}-member")
    begin(app, blue, package)
    wrong = app.patch(f"/blobs/{NAME}", content=DATA[::-1], headers={"Upload-Offset": "0", **PART, **blue})
    assert wrong.status_code == 460 and app.head(f"/blobs/{NAME}", headers=blue).headers["Upload-Offset"] == "0"
    assert app.patch(f"/blobs/{NAME}", content=DATA, headers={"Upload-Offset": "0", **PART, **blue}).is_success
    assert NAME not in {each["sha256"] for each in begin(app, blue, package).json()["missing"]}
    assert server.storage.path(NAME).read_bytes() == DATA


def test_a_team_has_so_many_bytes_and_the_disk_is_promised_once(
    team: str, package: Path, server: Server, monkeypatch: pytest.MonkeyPatch, add_team: Any
) -> None:
    rows = {"a" * 64: 600, "b" * 64: 300}

    def start(session: Any, who: str, digest: str) -> None:
        session.add(Upload(id=digest[:16], team_id=who, user_id=f"{who}-captain", manifest=digest, track="", nonce="",
                           created=0, expires=2**62))  # fmt: skip
        session.flush()
        session.add(Wanted(upload_id=digest[:16], sha256=digest, size=rows[digest]))
        session.flush()

    blue = add_team("blue")
    monkeypatch.setattr(type(server.storage), "free", lambda _: 1000)
    with server.database.write() as session:
        start(session, team, "a" * 64)
        room.require_quota(session, server.storage, team, {"a" * 64: 600, "c" * 64: 400}, 1000)
        with pytest.raises(TooMuch, match="1,001"):
            room.require_quota(session, server.storage, team, {"c" * 64: 401}, 1000)
        room.require_quota(session, server.storage, blue, {"c" * 64: 1000}, 1000)
        room.require_disk(session, server.storage, {"c" * 64: 300}, 100)
        start(session, blue, "b" * 64)
        with pytest.raises(DiskFull, match="no room") as refused:
            room.require_disk(session, server.storage, {"c" * 64: 1}, 100)
        assert "900 of others" in refused.value.why and refused.value.mend


def test_what_is_promised_is_what_has_not_come_and_is_still_wanted(
    app: TestClient, red: dict[str, str], package: Path, server: Server, promised: Promised
) -> None:
    size = sum(each["size"] for each in begin(app, red, package).json()["missing"])
    send(app, red, DATA[:10_000], 0)
    with server.storage.arriving("red", "d" * 64, 500) as arriving:  # that no upload wants any more
        arriving.write(bytes(400))
        arriving.keep()
    assert promised() == size - 10_000
    begin(app, red, package, title="again")
    assert promised() == size - 10_000, "what two uploads of a team want comes once"
    send_all(app, red, package)
    assert promised() == 0


def test_room_is_looked_for_while_others_write_and_not_file_by_file(
    app: TestClient, red: dict[str, str], package: Path, server: Server, bearer: Any, add_team: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    blue, looks = bearer(f"{add_team('blue')}-member"), Counter[str]()
    many = [{"path": f"source/{n}", "size": 1, "sha256": f"{n:064x}"} for n in range(2000)]
    assert begin(app, blue, package, files=many).status_code == 201

    def free(_: Any) -> int:
        with server.database.write():  # which waits for nobody
            looks["free"] += 1
        return 10**12

    def arrived(*asked: Any) -> int:
        looks["arrived"] += 1
        with server.database.write():
            return at(*asked)

    at = type(server.storage).arrived
    monkeypatch.setattr(type(server.storage), "free", free)
    monkeypatch.setattr(type(server.storage), "arrived", arrived)
    monkeypatch.setattr("edgelm.server.database._PATIENCE", 1)
    begun = begin(app, red, package)
    assert begun.status_code == 201 and looks == {"free": 1, "arrived": len(begun.json()["missing"])}


def test_two_packages_that_begin_at_once_are_not_promised_the_same_room(
    app: TestClient, red: dict[str, str], package: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(each["size"] for each in json.loads((package / "edgelm.json").read_bytes())["files"])

    def free(_: Any) -> int:
        time.sleep(0.3)  # so that both would have looked before either began
        return server.settings.reserve + size + size // 2

    monkeypatch.setattr(type(server.storage), "free", free)
    changed = [{"path": "source/README.md", "size": size, "sha256": letter * 64} for letter in "ab"]
    with ThreadPoolExecutor(2) as pool:
        answers = [each.status_code for each in pool.map(lambda file: begin(app, red, package, files=[file]), changed)]
    assert sorted(answers) == [201, 507]


def test_parts_leave_the_reserve_free(
    app: TestClient, red: dict[str, str], package: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(app, red, package)
    with monkeypatch.context() as patch:
        patch.setattr(type(server.storage), "free", lambda _: server.settings.reserve - 1)
        answer = send(app, red, DATA[:10_000], 0)
        assert answer.status_code == 507 and answer.json()["mend"]
    assert app.head(f"/blobs/{NAME}", headers=red).headers["Upload-Offset"] == "0"
    assert send(app, red, DATA[:10_000], 0).is_success


def test_an_upload_that_nobody_goes_on_with_is_given_up(
    app: TestClient, red: dict[str, str], package: Path, server: Server, clock: Any
) -> None:
    id = begin(app, red, package).json()["id"]
    send(app, red, DATA[:10_000], 0)
    days = server.settings.upload_days * 86_400
    clock.pass_seconds(days - 1)
    assert begin(app, red, package).json()["id"] == id, "begun again, it is kept for longer"
    clock.pass_seconds(days - 1)
    chores.expire(server)
    assert app.get(f"/uploads/{id}", headers=red).status_code == 200
    clock.pass_seconds(1)
    chores.expire(server)
    assert app.get(f"/uploads/{id}", headers=red).status_code == 404 and not server.storage.arrived("red", NAME)
    with server.database.read() as session:
        assert session.scalars(select(Notice).filter_by(channel="page")).one().user_id == "red-captain"


def test_teams_do_not_see_each_others_uploads(
    app: TestClient, red: dict[str, str], package: Path, bearer: Any, add_team: Any
) -> None:
    id = begin(app, red, package).json()["id"]
    send(app, red, DATA[:10], 0)
    blue = bearer(f"{add_team('blue')}-captain")
    for who, status in ((blue, 404), ({}, 401), (bearer("red-member"), 200)):
        assert app.get(f"/uploads/{id}", headers=who).status_code == status
        assert app.head(f"/blobs/{NAME}", headers=who).status_code == status
    assert send(app, blue, DATA[:10], 0).status_code == 404
    assert send(app, bearer("red-captain", "read"), DATA[:10], 10).status_code == 403
    assert app.delete(f"/uploads/{id}", headers=blue).status_code == 404
    assert app.delete(f"/uploads/{id}", headers=red).status_code == 204
    assert send(app, red, DATA[10:20], 10).status_code == 404


@pytest.mark.parametrize(("changes", "status", "code"), [
    ({"track": "none"}, 400, "PKG-04"), ({"format": "one"}, 400, "PKG-04"), ({"rules": "0" * 64}, 400, "SUB-06"),
    ({"files": [{"path": "a", "size": 2**70, "sha256": NAME}]}, 400, "PKG-05"),
    ({"files": [{"path": "a", "size": 2**60, "sha256": NAME}]}, 413, "PKG-07"),
    ({"files": [{"path": "a", "size": 1, "sha256": NAME}, {"path": "b", "size": 2, "sha256": NAME}]}, 400, "PKG-05"),
    ({"files": [{"path": "a", "size": 1, "sha256": NAME}, {"path": "a/b", "size": 1, "sha256": NAME}]}, 400, "PKG-02"),
    ({"files": [{"path": "EDGELM.json", "size": 1, "sha256": NAME}]}, 400, "PKG-02"),
    ({"files": [{"path": "../a", "size": 1, "sha256": NAME}]}, 400, "PKG-04"),
    ({"files": [{"path": "a\u0000", "size": 1, "sha256": NAME}]}, 400, "PKG-04"),
    ({"files": [{"path": "x" * 256, "size": 1, "sha256": NAME}]}, 400, "PKG-02"),
    ({"track": "from-scratch"}, 409, "SUB-01"),
])  # fmt: skip
def test_a_package_that_cannot_be_handed_in_is_refused_before_it_is_uploaded(
    app: TestClient, red: dict[str, str], package: Path, database: Database, changes: Any, status: int, code: str
) -> None:
    with database.write() as session:
        session.get_one(Team, "red").tracks = ["compression"]
    answer = begin(app, red, package, **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert {"what", "why", "mend"} <= set(answer.json())


def test_a_team_begins_so_many_uploads(app: TestClient, red: dict[str, str], package: Path) -> None:
    ids = [begin(app, red, package, title=str(number)).json()["id"] for number in range(5)]
    assert begin(app, red, package, title="6").status_code == 409
    assert app.delete(f"/uploads/{ids[0]}", headers=red).status_code == 204
    assert begin(app, red, package, title="6").status_code == 201


def test_the_uploads_of_a_team_have_so_many_files(
    app: TestClient, red: dict[str, str], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "ENTRIES", 7)
    first = begin(app, red, package)
    assert first.status_code == 201
    answer = begin(app, red, package, title="2")
    assert answer.status_code == 409 and "DELETE" in answer.json()["mend"]
    assert "8 files, at most 7" in answer.json()["what"] and "4" in answer.json()["why"]
    assert begin(app, red, package).json()["id"] == first.json()["id"], "it goes on"
    assert app.delete(f"/uploads/{first.json()['id']}", headers=red).status_code == 204
    assert begin(app, red, package, title="2").status_code == 201


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000])
def test_what_is_no_manifest_is_said(app: TestClient, red: dict[str, str], body: bytes) -> None:
    answer = app.post("/uploads", content=body, headers=red)
    assert (answer.status_code, answer.json()["code"]) == (400, "PKG-04")


def test_a_full_disk_is_said_and_the_upload_goes_on_later(
    app: TestClient, red: dict[str, str], package: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(server.storage), "free", lambda _: 2**30)
        assert begin(app, red, package).status_code == 507
    begin(app, red, package)
    send(app, red, DATA[:10_000], 0)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage_module.os, "fdatasync", full)
        answer = send(app, red, DATA[10_000:20_000], 10_000)
        assert answer.status_code == 507 and answer.json()["mend"]
    assert app.head(f"/blobs/{NAME}", headers=red).headers["Upload-Offset"] == "10000"
    assert app.patch(
        f"/blobs/{NAME}", content=DATA[10_000:], headers={"Upload-Offset": "10000", **PART, **red}
    ).is_success
    assert server.storage.holds(NAME)


def test_a_team_sees_what_it_has_begun_and_what_is_lacking(
    app: TestClient, red: dict[str, str], add_team: Any, bearer: Any, package: Path, make_package: Any, clock: Any
) -> None:
    begin(app, red, package)
    send(app, red, DATA[:10_000], 0)
    clock.pass_seconds(1)
    begin(app, red, make_package("later"))
    later, first = app.get("/uploads", headers=red).json()["uploads"]
    sizes = {each["sha256"]: each["size"] for each in json.loads((package / "edgelm.json").read_bytes())["files"]}
    assert (first["title"], first["track"], later["title"]) == ("package", "compression", "later")
    assert (first["size"], first["lacking"]) == (sum(sizes.values()), 3)
    assert first["left"] == first["size"] - 10_000
    assert first["expires"] - first["begun"] == 14 * 86_400 * 10**6
    blue = bearer(f"{add_team('blue')}-captain")
    assert app.get("/uploads", headers=blue).json() == {"uploads": [], "most": 5}
    assert app.delete(f"/uploads/{first['id']}", headers=red).status_code == 204
    assert [each["id"] for each in app.get("/uploads", headers=red).json()["uploads"]] == [later["id"]]
