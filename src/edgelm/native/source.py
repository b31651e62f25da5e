"""The source of llama.cpp: it travels in a pinned source distribution, and lies unpacked in the cache.

The command that fetches it is logged (`edgelm.native.source`, level INFO) as it would be typed.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from edgelm.data.folder import DataFolder, cache_folder
from edgelm.errors import BadFile, Offline
from edgelm.files import sha256_file
from edgelm.folders import new_folder
from edgelm.native.lock import alone

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
ARCHIVE = f"llama_cpp_python-{VERSION}.tar.gz"

Progress = Callable[[str, int, int], object]  # what is being done, how much of it is, of how much

_log = logging.getLogger(__name__)

_PIP_SECONDS = 900
# What a build reads: other backends, tools, tests and media stay behind.
_WANTED = {"CMakeLists.txt", "LICENSE", "licenses", "cmake", "include", "src", "vendor", "ggml"}
_BACKENDS = PurePosixPath("ggml/src")


def native_folder() -> Path:
    """Where sources and runners are kept."""
    return cache_folder() / "native"


def source(progress: Progress = lambda what, done, of: None) -> Path:
    """The folder of llama.cpp's source; fetched and unpacked once.

    Raises:
        Offline: the package index cannot be reached; the mend says what to place where.
        BadFile: what came, or was placed there, is not the pinned file.
        NoSpace: the disk cannot hold it.
    """
    folder = native_folder() / f"llama.cpp-{VERSION}"
    if folder.is_dir():
        return folder
    label = f"fetch llama.cpp ({PACKAGE} {VERSION})"
    with alone(folder, lambda: progress("wait for another process that fetches llama.cpp", 0, 1)):
        if folder.is_dir():  # another process has brought it meanwhile
            return folder
        progress(label, 0, 2)
        with tempfile.TemporaryDirectory() as empty:
            archive = _placed() or _fetched(Path(empty))
            _require_pinned(archive)
            progress(label, 1, 2)
            with new_folder(folder) as fresh:
                _unpack(archive, fresh)
        progress(label, 2, 2)
    return folder


def _placed() -> Path | None:
    """The archive, where somebody placed it by hand."""
    path = native_folder() / ARCHIVE
    return path if path.is_file() else None


def _place_by_hand() -> str:
    return f"get {ARCHIVE} from the package index and place it at {native_folder() / ARCHIVE}"


def _fetched(folder: Path) -> Path:
    """Ask pip, which knows the user's package index, mirrors and certificates."""
    what = f"the source of llama.cpp ({PACKAGE} {VERSION}) cannot be fetched"
    if DataFolder().offline:
        raise Offline(what, why="EDGELM_OFFLINE is set", mend=_place_by_hand())
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
        "--no-binary", PACKAGE, "--require-hashes", "-r", str(wanted), "--dest", str(folder),
    ]  # fmt: skip
    _log.info("$ %s", shlex.join(command))
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Offline(what, why=f"pip took more than {_PIP_SECONDS} s", mend=_place_by_hand()) from None
    archive = folder / ARCHIVE
    if result.returncode or not archive.is_file():
        why = (result.stderr.strip().splitlines() or ["pip brought another file"])[-1]
        raise Offline(what, why=why, mend=_place_by_hand())
    return archive


def _require_pinned(archive: Path) -> None:
    found = sha256_file(archive)
    if found != SHA256:
        raise BadFile(
            f"{archive} is not the pinned file",
            why=f"sha256 {found[:12]}… instead of {SHA256[:12]}…",
            mend=f"remove it, or {_place_by_hand()}",
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the plain files of llama.cpp that a build reads."""
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                name = _inner_name(member.name)
                stream = opened.extractfile(member) if name is not None and member.isfile() else None
                if name is not None and stream is not None:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    with stream, (folder / name).open("xb") as sink:
                        shutil.copyfileobj(stream, sink)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BadFile(f"{archive} cannot be unpacked", why=str(error), mend="remove it, then run it again") from None


def _inner_name(name: str) -> PurePosixPath | None:
    """A member's path below llama.cpp's folder; None if it is not wanted there."""
    parts = PurePosixPath(name).parts
    if parts[1:3] != ("vendor", "llama.cpp") or len(parts) < 4 or ".." in parts or parts[3] not in _WANTED:
        return None
    inner = PurePosixPath(*parts[3:])
    is_backend = inner.is_relative_to(_BACKENDS) and len(inner.parts) > 3 and inner.parts[2] != "ggml-cpu"
    return None if is_backend else inner
