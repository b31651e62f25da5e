"""A folder of data files: a local one, or the cache that fetches from upstream what it lacks.

Every file is held against a sha256 before it is used: the upstream ones of `sources.tsv`, or those of the folder's
own `suite.json`, which makes the folder a suite of its own (such as the miniature one) with its own protocol names.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

from edgelm.data.fetch import fetch, place_by_hand
from edgelm.data.sources import source, sources
from edgelm.errors import BadFile, MissingInput, Offline
from edgelm.files import canonical_json, parse_json, read_bytes, read_json, sha256_bytes
from edgelm.rules.base import HOLDOUT

UPSTREAM = "opencompass-0.3.1"
SUITE = "suite.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OFF = ("", "0", "false", "no", "off")  # values of EDGELM_OFFLINE that leave the network on


def cache_folder() -> Path:
    """Where fetched files are kept: `EDGELM_CACHE`, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EDGELM_CACHE") or Path(base) / "edgelm")


class DataFolder:
    """Data files by name.

    Args:
        root: a local folder; `EDGELM_DATA` or none at all (the cache alone) if not given.
        offline: never use the network; as `EDGELM_OFFLINE` says if not given.
    """

    def __init__(self, root: Path | None = None, *, offline: bool | None = None) -> None:
        named = os.environ.get("EDGELM_DATA")
        self.root = root or (Path(named) if named else None)
        self.offline = os.environ.get("EDGELM_OFFLINE", "") not in _OFF if offline is None else offline
        if self.root is not None and not self.root.is_dir():
            raise MissingInput(f"there is no data folder {self.root}", mend="check --data or EDGELM_DATA")

    @cached_property
    def _own(self) -> dict[str, Any] | None:
        """The contents of the folder's `suite.json`, if it is a suite of its own."""
        path = self.root / SUITE if self.root else None
        if path is None or not path.is_file():
            return None
        suite = read_json(path)
        sound = isinstance(suite, dict) and isinstance(suite.get("name"), str) and _are_digests(suite.get("files"))
        if not sound:
            raise BadFile(f"{path} describes no suite", why="it needs name and files {path: sha256}", mend="write both")
        if suite["name"] in (UPSTREAM, HOLDOUT) or not _NAME.fullmatch(suite["name"]):
            raise BadFile(f"{path} cannot name a suite '{suite['name']}'",
                          why="its own name, of letters, digits, dots and hyphens, tells its scores from the official "
                          "ones and from a hold-out's", mend="give it another name")  # fmt: skip
        return suite

    @property
    def suite(self) -> str:
        """The name of the suite: OpenCompass's for upstream data, its own for a folder with `suite.json`."""
        return self._own["name"] if self._own else UPSTREAM

    @property
    def upstream(self) -> bool:
        """Whether the files are the upstream ones."""
        return self._own is None

    @property
    def names(self) -> Collection[str]:
        """The files that it may hold: those of its own suite, else all upstream ones."""
        return self._own["files"] if self._own else sources()

    def sha256(self, name: str) -> str:
        """The digest that a file must have.

        Raises:
            MissingInput: the suite has no such file.
            UnknownName: no such source.
        """
        if self._own is None:
            return source(name).sha256
        if name not in self._own["files"]:
            raise MissingInput(f"the suite {self.suite} has no {name}", mend=f"see files in {SUITE}")
        return self._own["files"][name]

    def here(self, name: str) -> Path | None:
        """The file of that name (or its gzipped form) in the folder itself, if it is there."""
        return _find(self.root, name)

    def path(self, name: str) -> Path:
        """The file of that name (or its gzipped form), fetched first if it is nowhere here.

        Raises:
            Offline: it would have to be fetched and may not be.
            MissingInput: it is not in a suite of its own.
        """
        cache = cache_folder() / "data" if self.upstream else None  # a suite of its own is whole or damaged
        if found := self.here(name) or _find(cache, name):
            return found
        if self._own is not None:
            raise MissingInput(f"{self.root} lacks {name}", mend="write the suite again: edgelm data miniature")
        wanted = source(name)
        if self.offline:
            raise Offline(f"{name} is not here, and the network is off", mend=place_by_hand(wanted))
        target = cache_folder() / "data" / name
        fetch(wanted, target)
        return target

    def read(self, name: str) -> bytes:
        """The uncompressed bytes of a file, held against its sha256.

        Raises:
            BadFile: damaged, or another edition than the pinned one.
        """
        expected = self.sha256(name)
        path = self.path(name)
        command = "edgelm data pull" if self.upstream else "edgelm data miniature"
        again = f"remove it and make it anew: {command}"
        data = read_bytes(path) if name.endswith(".gz") else unzipped(path, again)
        if not data:
            raise BadFile(f"{path} is empty", mend=again)
        found = sha256_bytes(data)
        if found != expected:
            raise BadFile(
                f"{path} is not the pinned edition of {name}",
                why=f"sha256 {found[:12]}… instead of {expected[:12]}…",
                mend=f"{again}; or describe your own suite in {SUITE}" if self.upstream else again,
            )
        return data

    def jsonl(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSON-lines file.

        Raises:
            BadFile: a line is no JSON object, with its number.
        """
        return json_lines(self.read(name), name)

    def digest(self, names: list[str]) -> str:
        """The identity of some files together."""
        return sha256_bytes(canonical_json({name: self.sha256(name) for name in names}))


def json_lines(content: bytes, name: str) -> list[dict[str, Any]]:
    """The rows of JSON lines; `name` says where they are from.

    Raises:
        BadFile: a line is no JSON object, with its number.
    """
    lines = content.split(b"\n")
    rows = [parse_json(line, f"line {n} of {name}") for n, line in enumerate(lines, 1) if line.strip()]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise BadFile(f"{name} holds no rows" if not rows else f"{name} holds lines that are no objects",
                      mend="fetch it again: edgelm data pull")  # fmt: skip
    return rows


def unzipped(path: Path, mend: str) -> bytes:
    """The bytes of a file, uncompressed if it is called .gz; `mend` is for one that is damaged.

    Raises:
        MissingInput: there is no such file.
        BadFile: it cannot be read, or is no sound gzip file.
    """
    data = read_bytes(path)
    return gunzipped(data, path, mend) if path.suffix == ".gz" else data


def gunzipped(data: bytes, where: object, mend: str) -> bytes:
    """What a gzip file holds; `where` names it, and `mend` is for one that is damaged.

    Raises:
        BadFile: it is no sound gzip file.
    """
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"{where} is no sound gzip file", why=str(error), mend=mend) from None


def _find(folder: Path | None, name: str) -> Path | None:
    """The file of that name below a folder, or else its gzipped form."""
    paths = (folder / name, folder / f"{name}.gz") if folder else ()
    return next((path for path in paths if path.is_file()), None)


def _are_digests(files: object) -> bool:
    return isinstance(files, dict) and all(isinstance(value, str) and len(value) == 64 for value in files.values())
