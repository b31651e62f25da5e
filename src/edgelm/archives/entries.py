"""What an archive says that it holds, and which of it is safe to unpack."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

LONGEST_NAME, LONGEST_PATH = 255, 1024  # bytes: what file systems take
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control and format characters, halves of pairs, line separators


@dataclass(frozen=True)
class Entry:
    """One entry of an archive, as its header describes it."""

    name: str  # with / between folders
    size: int  # bytes, unpacked
    is_folder: bool = False
    is_plain: bool = True  # a plain file or a folder, all of whose bytes are stored

    @property
    def parts(self) -> list[str]:
        """Its folders and its own name."""
        return self.name.rstrip("/").split("/")


def entry_problem(entry: Entry, seen: set[str]) -> str:
    """Why an entry is not safe to unpack beside those `seen` so far (which it joins); empty if it is."""
    if problem := _name_problem(entry):
        return problem
    if not entry.is_plain or entry.size < 0:
        return "is a link or a device, or a file with holes"
    name = folded(entry.name.rstrip("/"))
    parts = name.split("/")
    folders = {"/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + entry.is_folder)}
    if name in seen and not entry.is_folder:
        return "comes twice"
    if any(folder[:-1] in seen for folder in folders) or (f"{name}/" in seen and not entry.is_folder):
        return "is both a file and a folder"
    seen |= folders if entry.is_folder else folders | {name}
    return ""


def _name_problem(entry: Entry) -> str:
    """What is wrong with a name by itself, on any system that it may be unpacked on."""
    name, parts = entry.name, entry.parts
    if not {"", ".", ".."}.isdisjoint(parts) or "\\" in name or ":" in parts[0]:
        return "leaves the folder"
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        return "has a name with invisible or broken characters"
    if len(name.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in parts):
        return "has too long a name"
    if any(part[-1] in " ." or part.partition(".")[0].casefold() in _DEVICES for part in parts):
        return "has a name that some systems change or reserve"
    return ""


def folded(name: str) -> str:
    """Names that some file system takes for the same are equal in this form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(name: str) -> str:
    """A name as it can be printed: what is broken or invisible in it escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)
