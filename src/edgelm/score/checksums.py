"""The list of a folder's files with their sha256, in the form of `sha256sum`, and what speaks against it.

SHA256SUMS        one line a file: digest, two blanks, path; sorted. `sha256sum -c SHA256SUMS` reads it too
SHA256SUMS.sig    Ed25519 over its bytes, if the organiser has signed
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgelm.errors import BadFile
from edgelm.files import read_bytes, sha256_file, tree_files

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\0\\]+)", re.ASCII)
_LARGEST = 64 << 20  # bytes of a list


def checksums(folder: Path) -> bytes:
    """The list of all files below the folder but itself and its signature."""
    names = [name for name in tree_files(folder) if name not in (SUMS, SIGNATURE)]
    return "".join(f"{sha256_file(folder / name)}  {name}\n" for name in names).encode()


def listed(folder: Path) -> dict[str, str]:
    """The sha256 of every file that the folder's list names, by path.

    Raises:
        MissingInput: there is no list.
        BadFile: it is no such list, or names a file outside or twice.
    """
    path, found = folder / SUMS, dict[str, str]()
    try:
        lines = read_bytes(path, _LARGEST).decode().split("\n")
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is no list of checksums", why=str(error), mend="take the published one") from None
    for number, line in enumerate(lines[:-1], start=1):
        entry = _LINE.fullmatch(line)
        place = PurePosixPath(entry[2]) if entry else PurePosixPath("/")
        if not entry or place.is_absolute() or ".." in place.parts or str(place) != entry[2] or entry[2] in found:
            why = f"line {number} is no digest and path of its own below the folder"
            raise BadFile(f"{path} is no list of checksums", why=why, mend="take the published one")
        found[entry[2]] = entry[1]
    if lines[-1] or not found:
        raise BadFile(f"{path} is no list of checksums", why="it is empty or torn", mend="take the published one")
    return found


def against_list(folder: Path) -> Iterator[str]:
    """Every file that is missing, a link, changed or not listed; nothing if the folder is as its list says.

    Raises:
        MissingInput, BadFile: see `listed`; a file is a link.
    """
    names = listed(folder)
    for name, digest in sorted(names.items()):
        path = folder / name
        below = (PurePosixPath(name), *PurePosixPath(name).parents)[:-1]  # the board's own folder may be reached by one
        if any((folder / part).is_symlink() for part in below):
            raise BadFile(f"{path} is a link", why="a board is made of plain files", mend="take the published one")
        if not path.is_file():
            yield f"{name} is missing"
        elif (found := sha256_file(path)) != digest:
            yield f"{name} has sha256 {found[:12]}…, listed is {digest[:12]}…"
    for name in tree_files(folder, links=True):
        if name not in names and name not in (SUMS, SIGNATURE):
            yield f"{name} is not listed"
