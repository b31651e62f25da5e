"""The source of llama.cpp: the pinned archive and no other, only what a build reads, nothing half unpacked."""

from __future__ import annotations

import io
import logging
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import BadFile, Offline
from edgelm.files import sha256_file, tree_files
from edgelm.native import source

INNER = "llama_cpp_python-0.3.36/vendor/llama.cpp"
KEPT = {
    "CMakeLists.txt", "LICENSE", "src/llama.cpp", "src/models/llama.cpp", "include/llama.h", "ggml/src/ggml.c",
    "ggml/src/ggml-cpu/ops.cpp", "ggml/src/CMakeLists.txt", "vendor/nlohmann/json.hpp",
}  # fmt: skip
LEFT = {"tools/server/server.cpp", "media/logo.png", "ggml/src/ggml-cuda/mmq.cu", "README.md", "common/common.cpp"}


def write_archive(path: Path, more: dict[str, bytes] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {f"{INNER}/{name}": name.encode() for name in KEPT | LEFT}
    names |= {"llama_cpp_python-0.3.36/setup.py": b"x"} | (more or {})
    with tarfile.open(path, "w:gz") as archive:
        for name, data in names.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo(f"{INNER}/src/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


def pin(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    monkeypatch.setattr(source, "SHA256", sha256_file(archive))


def test_what_a_build_reads_is_unpacked_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = cache / source.ARCHIVE
    write_archive(archive, {f"{INNER}/src/../../../../out": b"x", "/etc/out": b"x"})
    pin(monkeypatch, archive)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was asked"))
    seen: list[tuple[str, int, int]] = []
    folder = source.source(lambda *step: seen.append(step))
    assert set(tree_files(folder)) == KEPT
    assert seen[-1][1:] == (2, 2)
    archive.unlink()
    assert source.source() == folder


def test_another_archive_is_refused_and_nothing_unpacked(cache: Path) -> None:
    write_archive(cache / source.ARCHIVE)
    with pytest.raises(BadFile, match="not the pinned file"):
        source.source()
    assert not list(cache.glob("llama*[0-9]"))


def test_one_that_breaks_off_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = cache / source.ARCHIVE
    write_archive(archive)
    archive.write_bytes(archive.read_bytes()[:-40])
    pin(monkeypatch, archive)
    with pytest.raises(BadFile, match="cannot be unpacked"):
        source.source()
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_offline_says_what_to_place_where(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELM_OFFLINE", "1")
    with pytest.raises(Offline) as caught:
        source.source()
    assert str(cache / source.ARCHIVE) in caught.value.mend


def test_pip_fetches_it_with_the_users_settings(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgelm.native.source")
    write_archive(tmp_path / "origin.tar.gz")
    pin(monkeypatch, tmp_path / "origin.tar.gz")

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        wanted = Path(command[command.index("-r") + 1]).read_text()
        assert source.SHA256 in wanted
        folder = Path(command[command.index("--dest") + 1])
        (folder / source.ARCHIVE).write_bytes((tmp_path / "origin.tar.gz").read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert (source.source() / "src" / "llama.cpp").is_file()
    (shown,) = caplog.messages
    assert shown.startswith("$ ")
    assert " -m pip " in shown


@pytest.mark.parametrize("stderr", ["ERROR: no route to host\n", ""])
def test_what_pip_says_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch, stderr: str) -> None:
    answer = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(Offline, match=stderr.strip() or "another file"):
        source.source()


def test_a_pip_that_hangs_is_ended(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **settings: Any) -> None:
        raise subprocess.TimeoutExpired(command, settings["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Offline, match="took more than"):
        source.source()
