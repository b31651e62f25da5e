"""A hold-out's folder: its files by digest, and the salted digest of all of them that can be published beforehand."""

from __future__ import annotations

import re
import secrets
import stat
from functools import cached_property
from pathlib import Path
from typing import Any

from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, MissingInput
from edgelm.files import canonical_json, read_bytes, sha256_bytes, sha256_file, write_bytes
from edgelm.rules.base import HOLDOUT

SALT = "salt"  # the file that holds it, as 64 hexadecimal digits
MOST_FILES = 1_000
LARGEST = 256 << 20  # bytes of a file


class HoldOut(DataFolder):
    """The files of a folder outside the project, as they are now. Hidden files and `__pycache__` are not part of it.

    Every task in it goes by the digest of the whole folder, salt included: a report then names the very digest that was
    published, and a guess at the contents cannot be tried against it.

    Raises:
        MissingInput: there is no such folder.
        BadFile: a link, a special file, a file too large, or too many.
    """

    root: Path

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise MissingInput(f"there is no hold-out folder {root}", mend="check the path")
        super().__init__(root, offline=True)
        self.files = {name: sha256_file(root / name) for name in _plain_files(root) if name != SALT}

    @cached_property
    def _own(self) -> dict[str, Any]:
        """The suite that its protocols name, and the files."""
        return {"name": HOLDOUT, "files": self.files}

    @cached_property
    def salt(self) -> bytes:
        """The secret that keeps the published digest from being guessed at; none before one was made."""
        return read_salt(self.root / SALT) if (self.root / SALT).exists() else b""

    def make_salt(self) -> None:
        """Write a new salt, readable by its owner alone, unless there is one."""
        if not self.salt:
            write_bytes(self.root / SALT, secrets.token_hex(32).encode() + b"\n")
            (self.root / SALT).chmod(0o600)
            del self.salt

    def sha256(self, name: str) -> str:
        """The digest of a file when the folder was opened.

        Raises:
            MissingInput: the folder has no such file; a path that leads out of it is none.
        """
        if name not in self.files:
            raise MissingInput(f"the hold-out {self.root} has no file {name}",
                               mend="name a file in the folder, by its path below it")  # fmt: skip
        return self.files[name]

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            MissingInput: the folder has no such file.
            BadFile: it changed since the folder was opened.
        """
        expected = self.sha256(name)
        data = read_bytes(self.root / name, LARGEST)
        if sha256_bytes(data) != expected:
            raise BadFile(f"{self.root / name} changed while it was read", mend="run again when nobody edits it")
        return data

    def digest(self, names: list[str] | None = None) -> str:
        """The identity of the folder, whichever of its files are named: sha256 of the salt and the listing.

        The listing is canonical JSON of every file's path and sha256, the salt its 32 bytes.
        """
        return digest_of(self.salt, self.files)


def digest_of(salt: bytes, files: dict[str, str]) -> str:
    """The sha256 of a salt followed by the canonical listing of files with their sha256."""
    return sha256_bytes(salt + canonical_json(files))


def read_salt(path: Path) -> bytes:
    """The 32 bytes of a salt file.

    Raises:
        MissingInput: there is none.
        BadFile: it holds something else.
    """
    text = read_bytes(path, 1000).strip()
    if not re.fullmatch(rb"[0-9a-f]{64}", text):
        raise BadFile(f"{path} holds no salt", why="64 hexadecimal digits are needed",
                      mend="restore it; without it a published digest cannot be confirmed")  # fmt: skip
    return bytes.fromhex(text.decode())


def _plain_files(root: Path) -> list[str]:
    """All files of the folder by their paths below it, sorted."""
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if any(part.startswith(".") or part == "__pycache__" for part in Path(name).parts):
            continue
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise BadFile(f"{path} is a link or no plain file", why="what it leads to is not part of the hold-out",
                          mend="put a copy in its place")  # fmt: skip
        if status.st_size > LARGEST:
            raise BadFile(f"{path} is too large", why=f"{status.st_size:,} bytes, {LARGEST:,} are read",
                          mend="part it into several packs")  # fmt: skip
        found.append(_utf8(name, path))
        if len(found) > MOST_FILES:
            raise BadFile(f"{root} holds more than {MOST_FILES:,} files", mend="is it the right folder?")
    return found


def _utf8(name: str, path: Path) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadFile(f"{path!r} has a name that is not UTF-8", mend="rename it") from None
    return name
