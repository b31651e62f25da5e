"""One file from upstream into the cache: resumed where it broke off, checked against its sha256, then renamed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx

from edgelm.data.partial import Partial, partial
from edgelm.data.sources import Source
from edgelm.errors import BadFile, NoSpace, Offline
from edgelm.files import disk_errors

Progress = Callable[[int, int | None], object]  # told the bytes that are here, and of how many as far as that is known

_PIP_SECONDS = 300
_WEB_SECONDS = 30  # without a byte
_PLAIN = {"Accept-Encoding": "identity"}  # lengths and ranges are then those of the file itself


def fetch(source: Source, target: Path, progress: Progress = lambda here, of: None) -> None:
    """Bring a source to `target`.

    What has come of a download that broke off stays beside the target, and the next call goes on from there.

    Raises:
        Offline: upstream cannot be reached; the mend says what to place where.
        BadFile: what came is not the pinned file; nothing of it is kept.
        NoSpace: the disk cannot hold it.
    """
    with disk_errors(target), partial(target) as part:
        if target.is_file():  # another process has brought it meanwhile
            return
        bring = _from_index if source.url.startswith("pypi:") else _from_web
        resumed = part.size > 0
        bring(source, part, progress)
        if part.sha256() != source.sha256 and resumed:  # its beginning was another edition's
            part.clear()
            bring(source, part, progress)
        found = part.sha256()
        if found != source.sha256:
            part.clear()
            raise BadFile(
                f"{source.url} is not the pinned file",
                why=f"sha256 {found[:12]}… instead of {source.sha256[:12]}…",
                mend=place_by_hand(source),
            )
        part.take_name(target)


def length(source: Source) -> int | None:
    """How many bytes upstream says that a source has; None if it does not say or cannot be reached."""
    if source.url.startswith("pypi:"):
        return None
    try:
        head = httpx.head(source.url, headers=_PLAIN, follow_redirects=True, timeout=_WEB_SECONDS)
    except httpx.HTTPError:
        return None
    said = head.headers.get("Content-Length", "")
    return int(said) if head.is_success and said.isdecimal() else None


def upstream(source: Source) -> str:
    """Where a person finds a source."""
    return f"the package index ({source.url[5:]})" if source.url.startswith("pypi:") else source.url


def place_by_hand(source: Source) -> str:
    """What a person without the network can do."""
    return (
        f"get it from {upstream(source)} and place it at {source.name} in the folder that EDGELM_DATA or --data names"
    )


def _unreachable(source: Source, why: str) -> Offline:
    return Offline(f"{source.name} cannot be fetched", why=why, mend=place_by_hand(source))


def _from_web(source: Source, part: Partial, progress: Progress) -> None:
    """Receive what is missing; a connection that breaks is made anew as long as each brings something."""
    while True:
        before = part.size
        try:
            _receive(source, part, progress)
            return
        except httpx.TransportError as error:
            if part.size <= before:
                kept = f"; {part.size:,} bytes are kept, and the next try goes on from there" if part.size else ""
                raise _unreachable(source, f"{error or type(error).__name__}{kept}") from None
        except httpx.HTTPError as error:
            raise _unreachable(source, str(error)) from None


def _receive(source: Source, part: Partial, progress: Progress) -> None:
    """One request for the rest of a file."""
    headers = _PLAIN | ({"Range": f"bytes={part.size}-"} if part.size else {})
    with httpx.stream("GET", source.url, headers=headers, follow_redirects=True, timeout=_WEB_SECONDS) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
            return  # nothing is missing, or it is another file: the digest tells
        response.raise_for_status()
        if not _goes_on(response, part.size):
            part.clear()
        packed = "Content-Encoding" in response.headers  # some servers pack what was asked for plain
        said = "" if packed else response.headers.get("Content-Length", "")
        total = part.size + int(said) if said.isdecimal() else None
        _require_space(source, part, total)
        progress(part.size, total)
        for chunk in response.iter_bytes() if packed else response.iter_raw():
            part.write(chunk)
            progress(part.size, total)


def _goes_on(response: httpx.Response, size: int) -> bool:
    """Whether a server sends the rest that was asked for; some send the whole file instead."""
    sent = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == httpx.codes.PARTIAL_CONTENT and sent is not None and int(sent[1]) == size


def _require_space(source: Source, part: Partial, total: int | None) -> None:
    free = free_bytes(part.path.parent)
    if total is not None and total - part.size > free:
        raise NoSpace(
            f"{source.name} does not fit on the disk of {part.path.parent}",
            why=f"{total - part.size:,} bytes are missing, {free:,} are free",
            mend="free some space, or name another cache folder in EDGELM_CACHE",
        )


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that a folder stands on, or would stand on if it were made."""
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.is_dir())).free


def _from_index(source: Source, part: Partial, progress: Progress) -> None:
    """Ask pip, which knows the user's package index, mirrors and certificates."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
            "--only-binary=:all:", "--dest", folder, source.url.removeprefix("pypi:"),
        ]  # fmt: skip
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise _unreachable(source, f"pip took more than {_PIP_SECONDS} s") from None
        package = Path(folder) / Path(source.name).name
        if result.returncode or not package.is_file():
            raise _unreachable(source, (result.stderr.strip().splitlines() or ["pip brought another file"])[-1])
        part.clear()
        part.write(package.read_bytes())
        progress(part.size, part.size)
