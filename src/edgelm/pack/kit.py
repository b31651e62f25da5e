"""The starting kit's submission folder, read as a stranger's: nothing of it is run, no link followed, all with limits.

Saved_Model.txt             where the checkpoints can be had
Compile_Model.txt           where the compiled models can be had
Results.csv                 the team's own figures
Model_Opencompass.py        the model's class for OpenCompass
Configuration_Opencompass.py
Source-Code/
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadFile, InputError, MissingInput
from edgelm.files import read_bytes
from edgelm.pack.model import Entry
from edgelm.pack.source import LEFT_OUT
from edgelm.report import Report
from edgelm.results.base import Claims, Expected, shown
from edgelm.results.held import expected
from edgelm.results.read import KIT_NAME, read_file
from edgelm.rules import Rules
from edgelm.submission import README

SAVED, COMPILED, CODE = "Saved_Model.txt", "Compile_Model.txt", "Source-Code"
PROGRAMS = ("Model_Opencompass.py", "Configuration_Opencompass.py")
NAMES = (SAVED, COMPILED, KIT_NAME, *PROGRAMS, CODE, README)
MAX_TEXT = 64 << 10  # bytes of a file that holds addresses
MAX_FILES = 20_000
MAX_BYTES = 2 << 30  # of all source together
_ADDRESS = re.compile(r"https?://[^\s<>\"'`)\]]+")
_ADDRESSES = 8  # that are shown of a file


@dataclass(frozen=True)
class Kit:
    """What a kit's folder holds. Names are the kit's own; files are there under any spelling of case."""

    path: Path
    found: Mapping[str, str]  # how each is spelled here, of those that are there
    saved: tuple[str, ...]  # addresses of checkpoints
    compiled: tuple[str, ...]  # addresses of compiled models
    claims: Claims | None
    source: Mapping[str, Path]  # files for the package's source, by name

    @property
    def absent(self) -> list[str]:
        """The kit's files that are not there."""
        return [name for name in NAMES if name not in self.found and name != README]

    @property
    def respelled(self) -> list[str]:
        """Files as they are spelled here, where the kit spells them otherwise."""
        return [here for name, here in self.found.items() if here != name]


def held(entries: Mapping[str, Entry], rules: Rules, slots: Iterable[str]) -> Expected:
    """What a kit's figures are held against: checkpoints and reports given beside it, as far as they can be read."""
    sizes: dict[str, int] = {}
    reports: dict[str, Report] = {}
    for slot, entry in entries.items():
        with contextlib.suppress(InputError):
            sizes[slot] = Checkpoint(entry.checkpoint).bytes
        for folder in entry.reports:
            with contextlib.suppress(InputError):
                report = Report.load(folder)
                reports[slot] = reports[slot] | report if slot in reports else report
    return expected(rules, slots, sizes=sizes, reports=reports)


def read_kit(folder: Path, against: Expected) -> Kit:
    """What a kit's folder holds; its figures are held `against` what is known otherwise.

    Raises:
        MissingInput: there is no such folder, or it holds none of the kit's files.
        BadFile: it holds a link or device where source is read, or more than is taken.
    """
    if not folder.is_dir():
        raise MissingInput(f"there is no folder {folder}", mend="give the folder of a starting kit's submission")
    found = _spelled(folder)
    if not found.keys() - {README}:
        raise MissingInput(f"{folder} holds none of the starting kit's files", why=f"these are {', '.join(NAMES[:-1])}",
                           mend="give the folder in which they lie")  # fmt: skip
    figures = found.get(KIT_NAME)
    return Kit(
        folder, found, _addresses(folder, found.get(SAVED)), _addresses(folder, found.get(COMPILED)),
        read_file(folder / figures, against) if figures else None, _source(folder, found),
    )  # fmt: skip


def _spelled(folder: Path) -> dict[str, str]:
    """How the kit's names are spelled in a folder. A plain file goes before one under another spelling."""
    here: dict[str, str] = {}
    for number, entry in enumerate(os.scandir(folder)):
        if number >= MAX_FILES:
            raise BadFile(f"{folder} holds more than {MAX_FILES:,} files", mend="give the submission's folder alone")
        here[entry.name] = entry.name
    folded = {name.casefold(): name for name in sorted(here, reverse=True)}
    spelled = {name: here.get(name) or folded.get(name.casefold()) for name in NAMES}
    found = {name: other for name, other in spelled.items() if other}
    for name in found.values():
        mode = (folder / name).lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise BadFile(f"{folder / name} is a link or a device", mend="put the file itself in its place")
    return found


def _addresses(folder: Path, name: str | None) -> tuple[str, ...]:
    """The first addresses in a text file, shortened for showing."""
    if name is None:
        return ()
    text = read_bytes(folder / name, MAX_TEXT).decode("utf-8", errors="replace")
    return tuple(shown(each, 200) for each in list(dict.fromkeys(_ADDRESS.findall(text)))[:_ADDRESSES])


def _source(folder: Path, found: Mapping[str, str]) -> dict[str, Path]:
    """Source files by name: those of the source folder, the two for OpenCompass, the kit's README if it has none."""
    code = folder / found[CODE] if CODE in found else None
    files = {name: code / name for name in _plain_tree(code)} if code else {}
    for name in (*PROGRAMS, README):
        if name in found and name not in files:
            files[name] = folder / found[name]
    return files


def _plain_tree(folder: Path) -> Iterator[str]:
    """Relative names of the plain files below a folder.

    Raises:
        BadFile: there is a link or device among them, or more than is taken.
    """
    total = number = 0
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted([*names, *(each for each in folders if Path(here, each).is_symlink())]):
            path = Path(here, name)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise BadFile(f"{path} is a link or a device", mend="put the file itself in its place")
            number, total = number + 1, total + status.st_size
            if number > MAX_FILES or total > MAX_BYTES:
                raise BadFile(f"{folder} holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes",
                              mend="leave out data and weights: they are no source")  # fmt: skip
            yield path.relative_to(folder).as_posix()
