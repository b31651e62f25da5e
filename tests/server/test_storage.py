"""Files appear whole or not at all: parts verified, a process killed anywhere, a disk that fills up."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edgelm.server import storage as module
from edgelm.server.refusals import TooMuch
from edgelm.server.storage import Busy, Damaged, DiskFull, Storage

DATA = random.Random(7).randbytes(300_000)
NAME = sha256(DATA).hexdigest()
TEAM = "red"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "blobs")


def send(storage: Storage, data: bytes = DATA, name: str = NAME, *, part: int = 100_000) -> None:
    """The rest of a file, part by part, each with its checksum."""
    while not storage.holds(name):
        with storage.arriving(TEAM, name, len(data)) as arriving:
            piece = data[arriving.kept : arriving.kept + part]
            arriving.write(piece)
            arriving.keep(sha256(piece).digest())


def test_a_file_is_there_once_its_last_part_is(storage: Storage) -> None:
    for end in (100_000, 200_000):
        with storage.arriving(TEAM, NAME, len(DATA)) as arriving:
            arriving.write(DATA[arriving.kept : end])
            arriving.keep()
        assert storage.arrived(TEAM, NAME) == end and not storage.holds(NAME)
    send(storage)
    assert storage.path(NAME).read_bytes() == DATA and list(storage.all()) == [NAME]
    assert not storage.path(NAME).stat().st_mode & 0o222
    assert storage.arrived(TEAM, NAME) == 0 and not list((storage.folder / "arriving" / TEAM).iterdir())


def test_a_damaged_part_is_forgotten_and_those_before_it_are_kept(storage: Storage) -> None:
    with storage.arriving(TEAM, NAME, len(DATA)) as arriving:
        arriving.write(DATA[:1000])
        arriving.keep(sha256(DATA[:1000]).digest())
        arriving.write(b"x" * 1000)
        with pytest.raises(Damaged):
            arriving.keep(sha256(DATA[1000:2000]).digest())
    assert storage.arrived(TEAM, NAME) == 1000
    send(storage)
    assert storage.holds(NAME)


def test_a_whole_with_another_digest_is_forgotten(storage: Storage) -> None:
    wrong = DATA[:-1] + b"?"
    with pytest.raises(Damaged) as refused:
        send(storage, wrong)
    assert refused.value.code == "PKG-05"
    assert storage.arrived(TEAM, NAME) == 0 and not list(storage.all())
    send(storage)
    assert storage.holds(NAME)


def test_what_was_not_kept_is_forgotten(storage: Storage) -> None:
    with storage.arriving(TEAM, NAME, len(DATA)) as arriving:
        arriving.write(DATA[:5000])
    assert storage.arrived(TEAM, NAME) == 0
    with storage.arriving(TEAM, NAME, len(DATA)) as arriving:
        assert arriving.kept == 0


def test_no_more_than_the_size_is_taken(storage: Storage) -> None:
    with storage.arriving(TEAM, NAME, 10) as arriving, pytest.raises(TooMuch):
        arriving.write(b"x" * 11)


def test_one_request_at_a_time_writes_a_file_and_teams_do_not_meet(storage: Storage) -> None:
    with storage.arriving(TEAM, NAME, len(DATA)):
        with pytest.raises(Busy), storage.arriving(TEAM, NAME, len(DATA)):
            pass
        with storage.arriving("blue", NAME, len(DATA)) as arriving:
            arriving.write(b"garbage")
            arriving.keep()
    assert storage.arrived(TEAM, NAME) == 0 and storage.arrived("blue", NAME) == 7
    storage.forget("blue", NAME)
    assert storage.arrived("blue", NAME) == 0


@pytest.mark.parametrize("data", [b"", b"a few bytes"])
def test_bytes_at_hand_are_stored_once(storage: Storage, data: bytes) -> None:
    name = storage.put(data)
    inode = storage.path(name).stat().st_ino
    assert storage.put(data) == name and storage.path(name).stat().st_ino == inode
    assert storage.read(name, 100) == data and list(storage.all()) == [name]


@pytest.mark.parametrize("call", ["fdatasync", "write_bytes", "_install"])
def test_a_full_disk_is_said_and_costs_what_was_not_kept(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with storage.arriving(TEAM, NAME, len(DATA)) as arriving:
        arriving.write(DATA[:1000])
        arriving.keep()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    end = len(DATA) if call == "_install" else 5000
    with monkeypatch.context() as patch:
        patch.setattr(module if call != "fdatasync" else module.os, call, full)
        with storage.arriving(TEAM, NAME, len(DATA)) as arriving, pytest.raises(DiskFull):
            arriving.write(DATA[1000:end])
            arriving.keep()
    assert storage.arrived(TEAM, NAME) == 1000
    assert (storage.folder / "arriving" / TEAM / NAME).stat().st_size == 1000, "room was not given back"
    send(storage)
    assert storage.holds(NAME)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192k", "none", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        storage = Storage(small / "blobs")
        with pytest.raises(DiskFull):
            send(storage, part=64_000)
        assert 64_000 <= storage.arrived(TEAM, NAME) <= 192_000
        with pytest.raises(DiskFull):
            storage.put(DATA)
        subprocess.run(["mount", "-o", "remount,size=1m", small], check=True)
        send(storage, part=64_000)
        assert storage.path(NAME).read_bytes() == DATA
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_process_killed_at_every_point_leaves_whole_files_or_none(tmp_path: Path) -> None:
    """Each time one call later, until the process gets through; forked, because starting Python takes long."""
    deaths = 0
    while True:
        storage = Storage(tmp_path / str(deaths))
        child = os.fork()
        if child == 0:
            try:
                _die_at(deaths + 1)
                send(storage)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert list(storage.all()) in ([], [NAME])
        kept = storage.arrived(TEAM, NAME)
        assert kept in (0, 100_000, 200_000)
        send(storage)
        assert storage.path(NAME).read_bytes() == DATA, f"after death {deaths}"
        deaths += 1
    assert deaths > 20


def _die_at(left: int) -> None:
    """Kill this process before or after the n-th call that changes the disk."""

    def dying(call: Any) -> Any:
        def instead(*args: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **named)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return instead

    for name in ("fdatasync", "fsync"):
        setattr(os, name, dying(getattr(os, name)))
    for name in ("replace", "unlink", "chmod", "mkdir"):
        setattr(Path, name, dying(getattr(Path, name)))
    module.sha256_file = dying(module.sha256_file)
