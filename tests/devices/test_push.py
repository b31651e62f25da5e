"""Files arrive whole or not at all, and what arrived before a lost connection is not sent again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from edgelm.devices.push import PARTIAL, digest, push, remove
from edgelm.devices.transport import Link, Unreachable
from edgelm.errors import BadFile, EdgelmError
from edgelm.files import sha256_bytes

DATA = bytes(range(256)) * 12_000  # three chunks


@dataclasses.dataclass(frozen=True)
class Counting(Link):
    """Counts the bytes that are fed, and breaks down after some."""

    fed: list[int] = dataclasses.field(default_factory=list)
    most: int = 2**40

    def feed(self, argv: Sequence[str], chunks: Iterable[bytes], **times: float) -> str:
        def counted() -> Iterable[bytes]:
            for chunk in chunks:
                left = self.most - sum(self.fed)
                self.fed.append(min(len(chunk), left))
                yield chunk[:left]
                if len(chunk) > left:
                    return

        told = super().feed(argv, counted(), **times)
        if sum(self.fed) >= self.most:
            raise Unreachable("the cable was pulled")
        return told


@pytest.fixture
def device(tmp_path: Path) -> Path:
    folder = tmp_path / "on the device"
    folder.mkdir()
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "model.gguf"
    file.write_bytes(DATA)
    return file


def counting(most: int = 2**40) -> Counting:
    return Counting("here", ("sh", "-c"), "/", most=most)


def silent(what: str, done: int, of: int) -> None:
    pass


def test_a_file_arrives_with_its_digest_and_may_be_run(device: Path, file: Path) -> None:
    told: list[tuple[str, int, int]] = []
    push(counting(), file, f"{device}/x", sha256_bytes(DATA), lambda *all: told.append(all))
    assert (device / "x").read_bytes() == DATA
    assert (device / "x").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in device.iterdir()] == ["x"]
    assert told[-1] == ("pushing model.gguf", len(DATA), len(DATA)) and len(told) == 3


@pytest.mark.parametrize("size", [0, 1])
def test_small_files_arrive_too(size: int, device: Path, file: Path) -> None:
    file.write_bytes(b"x" * size)
    push(counting(), file, f"{device}/x", sha256_bytes(b"x" * size), silent)
    assert (device / "x").read_bytes() == b"x" * size


@pytest.mark.parametrize("most", [1, 2**20, 2**20 + 7, len(DATA) - 1])
def test_after_a_lost_connection_the_rest_alone_is_sent(most: int, device: Path, file: Path) -> None:
    with pytest.raises(Unreachable):
        push(counting(most), file, f"{device}/x", sha256_bytes(DATA), silent)
    assert [path.name for path in device.iterdir()] == [f"x{PARTIAL}"]
    second = counting()
    told: list[int] = []
    push(second, file, f"{device}/x", sha256_bytes(DATA), lambda what, done, of: told.append(done))
    assert sum(second.fed) == len(DATA) - most
    assert min(told) > most  # nothing is read again while the device waits
    assert (device / "x").read_bytes() == DATA and not (device / f"x{PARTIAL}").exists()


@pytest.mark.parametrize("left", [b"something else", DATA + b"more"])
def test_what_is_no_beginning_of_the_file_is_removed_and_all_is_sent(left: bytes, device: Path, file: Path) -> None:
    (device / f"x{PARTIAL}").write_bytes(left)
    link = counting()
    push(link, file, f"{device}/x", sha256_bytes(DATA), silent)
    assert sum(link.fed) == len(DATA) and (device / "x").read_bytes() == DATA


def test_a_file_that_is_not_the_one_listed_is_named_and_nothing_of_it_stays(device: Path, file: Path) -> None:
    with pytest.raises(BadFile, match="is not the file that its bundle lists") as caught:
        push(counting(), file, f"{device}/x", sha256_bytes(b"another"), silent)
    assert str(file) in caught.value.what and "anew" in caught.value.mend
    assert not list(device.iterdir())


def test_bytes_that_changed_on_the_way_are_noticed(device: Path, file: Path) -> None:
    class Flips(Link):
        def feed(self, argv: Sequence[str], chunks: Iterable[bytes], **times: float) -> str:
            return super().feed(argv, [b"?" + chunk[1:] for chunk in chunks], **times)

    with pytest.raises(BadFile, match=r"model\.gguf arrived on here with changed bytes"):
        push(Flips("here", ("sh", "-c"), "/"), file, f"{device}/x", sha256_bytes(DATA), silent)
    assert not list(device.iterdir())


def test_a_device_without_the_program_for_digests_is_told_apart_from_changed_bytes(device: Path, file: Path) -> None:
    (device / "sh").symlink_to("/bin/sh")
    link = Link("here", ("env", f"PATH={device}", "sh", "-c"), "/")
    (device / "x").write_bytes(b"x")
    with pytest.raises(EdgelmError, match="lacks a program") as caught:
        digest(link, f"{device}/x", 1)
    assert "sha256sum" in caught.value.why


def test_removing_what_is_not_there_is_no_fault(device: Path) -> None:
    (device / "a b").mkdir()
    (device / "a b" / "c").write_bytes(b"x")
    remove(counting(), f"{device}/a b", f"{device}/none")
    assert not list(device.iterdir())
