"""Archives: what is refused before anything is unpacked, and a sound zip that is checked like its folder."""

from __future__ import annotations

import copy
import os
import stat
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


def bomb(archive: zipfile.ZipFile) -> None:
    with archive.open("zeros.bin", "w") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))


def overlap(archive: zipfile.ZipFile) -> None:
    """A directory that names the same bytes twice, once by a name that they do not have."""
    archive.writestr("a", "x" * 100)
    twin = copy.copy(archive.getinfo("a"))
    twin.filename = "b"
    archive.filelist.append(twin)


ATTACKS: list[tuple[str, Callable[[zipfile.ZipFile], object]]] = [
    ("PKG-02", lambda z: z.writestr("/etc/passwd", "x")),
    ("PKG-02", lambda z: z.writestr("models/../../escape", "x")),
    ("PKG-02", lambda z: z.writestr("C:\\escape", "x")),
    ("PKG-02", lambda z: z.writestr(entry("link", stat.S_IFLNK), "/etc/passwd")),
    ("PKG-02", lambda z: z.writestr(entry("pipe", stat.S_IFIFO), "")),
    ("PKG-02", lambda z: [z.writestr(entry("card.json"), text) for text in ("1", "2")]),
    ("PKG-02", lambda z: [z.writestr(name, "x") for name in ("card.json", "Card.json")]),
    ("PKG-02", lambda z: z.writestr("a/./b", "x")),
    ("PKG-03", bomb),
    ("PKG-01", overlap),
    ("PKG-02", lambda z: [z.writestr(name, "x") for name in ("a", "a/b")]),
    ("PKG-01", lambda z: z.writestr("n" * 300, "x")),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("code", "attack"), ATTACKS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(ATTACKS)])
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch, code: str, attack: Any
) -> None:
    path, scratch = tmp_path / "attack.zip", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        attack(archive)
    findings = check(path, rules)
    assert {finding.code for finding in findings} == {code}
    assert not list(scratch.iterdir())
    assert [found.name for found in tmp_path.iterdir() if found != scratch] == ["attack.zip"]


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


def test_a_sound_zip_is_checked_like_its_folder(clean: Path, package: Any, tmp_path: Path, rules: Rules) -> None:
    assert check(zipped(clean, tmp_path / "clean.zip"), rules) == []
    package.edit_card(parameters=5)
    assert check(zipped(package.path, tmp_path / "broken.zip"), rules) == check(package.path, rules) != []


def test_names_that_differ_by_case_are_found_in_a_folder(package: Any, rules: Rules) -> None:
    (package.path / "source/readme.md").write_text("x")
    package.relist()
    found = {finding.path for finding in check(package.path, rules) if finding.code == "PKG-02"}
    assert found == {"source/README.md", "source/readme.md"}


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


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in tree_files(folder):
            archive.write(folder / name, name)
    return path
