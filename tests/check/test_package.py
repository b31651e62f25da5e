"""Archives: what is refused before anything is unpacked, and a sound zip that is checked like its folder."""

from __future__ import annotations

import copy
import io
import os
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.run import check
from edgelm.files import tree_files
from edgelm.rules import Rules


def entry(name: str, kind: int = stat.S_IFREG) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    return info


def zipped_bomb(archive: zipfile.ZipFile) -> None:
    with archive.open("zeros.bin", "w") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))


def overlap(archive: zipfile.ZipFile) -> None:
    """A directory that names the same bytes twice, once by a name that they do not have."""
    archive.writestr("a", "x" * 100)
    twin = copy.copy(archive.getinfo("a"))
    twin.filename = "b"
    archive.filelist.append(twin)


def renamed(archive: zipfile.ZipFile) -> None:
    """A directory that calls an entry otherwise than the entry itself."""
    archive.writestr("a", "x" * 100)
    archive.getinfo("a").filename = "b"


def lying(archive: zipfile.ZipFile) -> None:
    """A 64-bit size that is not the entry's."""
    archive.writestr("a", "x" * 100)
    archive.getinfo("a").file_size = 5 << 30


ZIPS: list[tuple[str, Callable[[zipfile.ZipFile], object]]] = [
    ("PKG-02", lambda z: z.writestr("/etc/passwd", "x")),
    ("PKG-02", lambda z: z.writestr("models/../../escape", "x")),
    ("PKG-02", lambda z: z.writestr("C:\\escape", "x")),
    ("PKG-02", lambda z: z.writestr(entry("link", stat.S_IFLNK), "/etc/passwd")),
    ("PKG-02", lambda z: z.writestr(entry("pipe", stat.S_IFIFO), "")),
    ("PKG-02", lambda z: z.writestr(entry("device", stat.S_IFCHR), "")),
    ("PKG-02", lambda z: [z.writestr(entry("card.json"), text) for text in ("1", "2")]),
    ("PKG-02", lambda z: [z.writestr(name, "x") for name in ("card.json", "Card.json")]),
    ("PKG-02", lambda z: [z.writestr(name, "x") for name in ("caf\u00e9", "cafe\u0301")]),
    ("PKG-02", lambda z: z.writestr("a/./b", "x")),
    ("PKG-02", lambda z: [z.writestr(name, "x") for name in ("a", "a/b")]),
    ("PKG-02", lambda z: z.writestr("n" * 300, "x")),
    ("PKG-02", lambda z: z.writestr("/".join(["folder"] * 200), "x")),
    ("PKG-02", lambda z: z.writestr("gpj.\u202eexe", "x")),
    ("PKG-02", lambda z: z.writestr("source/aux.py", "x")),
    ("PKG-02", lambda z: z.writestr("source/run.py.", "x")),
    ("PKG-03", zipped_bomb),
    ("PKG-01", overlap),
    ("PKG-01", renamed),
    ("PKG-03", lying),
]  # fmt: skip


def member(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tarred(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def sparse() -> bytes:
    """A file of one gibibyte that is all hole."""
    info = tarfile.TarInfo("hole")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 30)}
    info.size = 512
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"0\n".ljust(512, b"\0")))
    return data.getvalue()


def large_header() -> bytes:
    """A name of 200 megabytes."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 200 << 20
    return info.tobuf() + bytes(200 << 20) + bytes(1024)


def many_headers() -> bytes:
    """Names of names of names."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5
    return (info.tobuf() + b"name".ljust(512, b"\0")) * 20_000 + bytes(1024)


def negative() -> bytes:
    """A size below zero, which would lead back to the beginning."""
    block = bytearray(tarred(member("a", data=b"x"))[:512])
    block[124:136] = b"\xff" * 10 + b"\xfc\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


TARS: list[tuple[str, Callable[[], bytes]]] = [
    ("PKG-02", lambda: tarred(member("/etc/passwd", data=b"x"))),
    ("PKG-02", lambda: tarred(member("models/../../escape", data=b"x"))),
    ("PKG-02", lambda: tarred(member("link", tarfile.SYMTYPE, linkname="/etc/passwd"))),
    ("PKG-02", lambda: tarred(member("link", tarfile.LNKTYPE, linkname="../../secret"))),
    ("PKG-02", lambda: tarred(member("pipe", tarfile.FIFOTYPE))),
    ("PKG-02", lambda: tarred(member("device", tarfile.CHRTYPE))),
    ("PKG-02", lambda: tarred(member("disk", tarfile.BLKTYPE))),
    ("PKG-02", lambda: tarred(member("a", data=b"1"), member("a", data=b"2"))),
    ("PKG-02", lambda: tarred(member("a", data=b"1"), member("A", data=b"2"))),
    ("PKG-02", lambda: tarred(member("a", data=b"1"), member("a/b", data=b"2"))),
    ("PKG-02", lambda: tarred(member("n" * 300, data=b"x"))),
    ("PKG-02", lambda: tarred(member("bad\udcff", data=b"x"))),
    ("PKG-02", lambda: tarred(member("NUL.txt", data=b"x"))),
    ("PKG-02", sparse),
    ("PKG-01", large_header),
    ("PKG-01", many_headers),
    ("PKG-01", negative),
    ("PKG-01", lambda: tarred(member("a", data=b"x" * 5000))[:3000]),
    ("PKG-01", lambda: tarred(member("a", data=b"x")) + b"more"),
    ("PKG-01", lambda: tarred(member("a", data=b"x"))[:1024] + b"no header".ljust(512, b"!") + bytes(1024)),
    ("PKG-03", lambda: tarred(member("a", data=bytes(65 << 20)))),
]  # fmt: skip


def refused(path: Path, scratch: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The codes found for an archive, which leaves nothing behind anywhere."""
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    started = time.process_time()
    findings = check(path, rules)
    assert time.process_time() - started < 20
    assert not list(scratch.iterdir())
    assert [found.name for found in path.parent.iterdir() if found != scratch] == [path.name]
    assert all(found.path for found in findings)
    return {finding.code for finding in findings}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("code", "attack"), ZIPS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(ZIPS)])
def test_a_hostile_zip_is_refused_and_leaves_nothing(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch, code: str, attack: Any
) -> None:
    path = tmp_path / "attack.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        attack(archive)
    found = refused(path, tmp_path / "scratch", rules, monkeypatch)
    assert code in found and found <= {"PKG-01", "PKG-02", "PKG-03"}


@pytest.mark.parametrize("ending", ["tar", "tar.zst"])
@pytest.mark.parametrize(("code", "attack"), TARS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(TARS)])
def test_a_hostile_tar_is_refused_and_leaves_nothing(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch, code: str, attack: Any, ending: str
) -> None:
    path, data = tmp_path / f"attack.{ending}", attack()
    if ending == "tar" and code == "PKG-03":
        pytest.skip("it is as large as what it holds")
    path.write_bytes(compressed(data) if ending == "tar.zst" else data)
    found = refused(path, tmp_path / "scratch", rules, monkeypatch)
    assert code in found and found <= {"PKG-01", "PKG-02", "PKG-03"}


def compressed(data: bytes) -> bytes:
    return bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(data))


def test_a_million_entries_are_not_read(tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of a million entries, each of the same empty file."""
    local = b"PK\3\4" + struct.pack("<5H3I2H", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    central = b"PK\1\2" + struct.pack("<6H3I5H2I", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = central * 1_000_000
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(directory), len(local), 0)  # it claims one
    (tmp_path / "attack.zip").write_bytes(local + directory + end)
    tracemalloc.start()
    try:
        assert refused(tmp_path / "attack.zip", tmp_path / "scratch", rules, monkeypatch) == {"PKG-03"}
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_a_few_kilobytes_do_not_become_gigabytes(tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 1 << 30
    head = member("zeros.bin", size=size)[0].tobuf(tarfile.GNU_FORMAT)
    compressor = pytest.importorskip("zstandard").ZstdCompressor()
    path = tmp_path / "attack.tar.zst"
    with path.open("wb") as file, compressor.stream_writer(file, closefd=False) as writer:
        writer.write(head)
        for _ in range(size >> 24):
            writer.write(bytes(1 << 24))
        writer.write(bytes(1024))
    assert refused(tmp_path / "attack.tar.zst", tmp_path / "scratch", rules, monkeypatch) == {"PKG-03"}


@pytest.mark.parametrize(("before", "behind"), [(b"#!/bin/sh\n", b""), (b"", b"more")])
def test_bytes_before_and_behind_a_zip_are_refused(
    clean: Path, tmp_path: Path, rules: Rules, before: bytes, behind: bytes
) -> None:
    path = zipped(clean, tmp_path / "package.zip")
    path.write_bytes(before + path.read_bytes() + behind)
    assert [finding.code for finding in check(path, rules)] == ["PKG-01"]


def test_an_archive_in_an_archive_stays_packed(package: Any, tmp_path: Path, rules: Rules) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        zipped_bomb(archive)
    package.write("source/inner.zip", inner.getvalue())
    assert check(zipped(package.path, tmp_path / "package.zip"), rules) == []


@pytest.mark.parametrize("cut", [0, 1, 100, -30])
def test_a_file_that_is_no_whole_zip_is_refused(clean: Path, tmp_path: Path, rules: Rules, cut: int) -> None:
    path = zipped(clean, tmp_path / "package.zip")
    path.write_bytes(path.read_bytes()[:cut])
    assert [finding.code for finding in check(path, rules)] == ["PKG-01"]


def test_a_damaged_entry_is_refused(clean: Path, tmp_path: Path, rules: Rules) -> None:
    path = zipped(clean, tmp_path / "package.zip")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert [finding.code for finding in check(path, rules)] == ["PKG-01"]


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.zst"])
def test_a_sound_archive_is_checked_like_its_folder(package: Any, tmp_path: Path, rules: Rules, ending: str) -> None:
    pack = {"zip": zipped, "tar": tarred_folder, "tar.zst": compressed_folder}[ending]
    assert check(pack(package.path, tmp_path / f"clean.{ending}"), rules, values=True) == []
    package.edit_card(parameters=5)
    assert check(pack(package.path, tmp_path / f"broken.{ending}"), rules) == check(package.path, rules) != []


def checkpoint_alone(folder: Path) -> Path:
    return folder / "models/base/checkpoint"


def one_folder_down(folder: Path) -> Path:
    outer = folder.parent / "outer"
    outer.mkdir()
    folder.rename(outer / "good")
    return outer


def emptied(folder: Path) -> Path:
    (folder.parent / "empty").mkdir()
    return folder.parent / "empty"


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize(("change", "what", "mend"), [
    (checkpoint_alone, "this is a checkpoint, not a package", "edgelm pack SLOT="),
    (one_folder_down, "what belongs there lies in good/", "good/"), (emptied, "this is an empty", "edgelm pack"),
])  # fmt: skip
def test_what_is_no_package_is_called_by_its_name_and_nothing_else_is_said(
    package: Any, tmp_path: Path, rules: Rules, change: Any, what: str, mend: str, archived: bool
) -> None:
    place = change(package.path)
    (found,) = check(zipped(place, tmp_path / "a.zip") if archived else place, rules)
    assert (found.code, found.path) == ("PKG-04", "edgelm.json")
    assert what in found.what and mend in found.mend


def test_a_manifest_that_is_absent_has_no_field_to_mend(package: Any, rules: Rules) -> None:
    (package.path / "edgelm.json").unlink()
    (found,) = (one for one in check(package.path, rules) if one.code == "PKG-04")
    assert found.what == "there is no file edgelm.json" and found.mend == "pack again: edgelm pack"


def test_a_tar_of_the_folder_itself_is_checked_like_it(clean: Path, tmp_path: Path, rules: Rules) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(clean, ".")  # as `tar -cf a.tar -C good .` does
    assert check(tmp_path / "a.tar", rules) == []


def test_names_that_differ_by_case_are_found_in_a_folder(package: Any, rules: Rules) -> None:
    (package.path / "source/readme.md").write_text("x")
    package.relist()
    found = {finding.path for finding in check(package.path, rules) if finding.code == "PKG-02"}
    assert found == {"source/README.md", "source/readme.md"}


@pytest.mark.parametrize("names", [
    ("source/aux.py",), ("source/run.py.",), ("source/a\u202eb",), ("source/" + "/".join(["n" * 200] * 6),),
    ("source/caf\u00e9", "source/cafe\u0301"), ("source/a\\b",), ("source/Sub/a", "source/sub/b"),
])  # fmt: skip
def test_a_folder_is_judged_as_its_zip_is(package: Any, tmp_path: Path, rules: Rules, names: tuple[str, ...]) -> None:
    for name in names:
        package.write(name)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in tree_files(package.path):
            archive.write(package.path / name, name)
    found = [{one.code for one in check(path, rules)} for path in (package.path, tmp_path / "a.zip")]
    assert found == [{"PKG-02"}, {"PKG-02"}]


@pytest.mark.parametrize("name", ["edgelm.json", "models/base/report/report.json", "source/pipe"])
def test_a_pipe_in_a_folder_is_found_and_never_opened(package: Any, rules: Rules, name: str) -> None:
    (package.path / name).unlink(missing_ok=True)
    os.mkfifo(package.path / name)
    assert [(finding.code, finding.path) for finding in check(package.path, rules)] == [("PKG-02", name)]


def test_a_link_out_of_a_folder_is_found_and_not_followed(package: Any, tmp_path: Path, rules: Rules) -> None:
    (tmp_path / "secret").write_text('{"format": "secret"}')
    (package.path / "edgelm.json").unlink()
    (package.path / "edgelm.json").symlink_to(tmp_path / "secret")
    assert [finding.code for finding in check(package.path, rules)] == ["PKG-02"]


@pytest.mark.parametrize(("name", "size"), [("models/base/card.json", 65 << 20),
                                            ("models/base/report/answers/gsm8k.jsonl", (1 << 30) + 1)])  # fmt: skip
def test_records_too_large_for_the_memory_are_not_read(package: Any, rules: Rules, name: str, size: int) -> None:
    os.truncate(package.path / name, size)  # a hole: it takes no space
    assert [(finding.code, finding.path) for finding in check(package.path, rules)] == [("PKG-03", name)]


def test_what_is_neither_folder_nor_file_is_refused(tmp_path: Path, rules: Rules) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [finding.code for finding in check(tmp_path / "pipe", rules)] == ["PKG-01"]


def tarred_folder(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "models", "models")  # with entries for folders
        for name in tree_files(folder):
            if not name.startswith("models/"):
                archive.add(folder / name, name)
    return path


def compressed_folder(folder: Path, path: Path) -> Path:
    path.write_bytes(compressed(tarred_folder(folder, path).read_bytes()))
    return path


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in tree_files(folder):
            archive.write(folder / name, name)
    return path
