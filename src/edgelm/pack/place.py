"""How files come into a package: large ones as hard links, small ones as copies, some not at all.

A link takes no room and no time. Where the file system allows none, the file is copied, and the reason is kept.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgelm.archives.entries import Entry, entry_problem, shown
from edgelm.errors import BadFile
from edgelm.files import sha256_file, tree_files

LINK_FROM = 1 << 16  # bytes: larger files are hard-linked rather than copied
Progress = Callable[[int], object]  # told the bytes read


@dataclass
class Places:
    """The files of a package that is being filled.

    Args:
        folder: of the package.
        elsewhere: names of files that are listed, and lie behind a link of the web instead.
    """

    folder: Path
    elsewhere: frozenset[str] = frozenset()
    left_out: dict[str, Path] = field(default_factory=dict)  # where those that lie elsewhere lie here
    digests: dict[str, str] = field(default_factory=dict)  # by name, of files that were read before
    copied: Counter[str] = field(default_factory=Counter)  # bytes that could not be linked, by the system's reason

    def put(self, origin: Path, name: str, *, link: bool = True, sha256: str = "") -> None:
        """Take a file into the package; as a link if it is large, unless it may be written to again (`link`).

        Raises:
            BadFile: no archive could hold a file of that name.
        """
        if problem := entry_problem(Entry(name, 0), set()):
            raise BadFile(f"{shown(str(origin))} cannot be in a package", why=f"{shown(name)} {problem}",
                          mend="rename it, or leave it out")  # fmt: skip
        if sha256:
            self.digests[name] = sha256
        if name in self.elsewhere:
            self.left_out[name] = origin
            return
        target, origin = self.folder / name, origin.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (link and self._linked(origin, target)):
            shutil.copyfile(origin, target)

    def _linked(self, origin: Path, target: Path) -> bool:
        size = origin.stat().st_size
        if size < LINK_FROM:
            return False
        try:
            os.link(origin, target)
        except OSError as error:
            self.copied[error.strerror or str(error)] += size
            return False
        return True

    def entries(self, progress: Progress | None) -> list[dict[str, object]]:
        """Path, size and sha256 of every file, those that lie elsewhere among them; each is read once in all."""
        names = sorted({*tree_files(self.folder), *self.left_out}, key=os.fsencode)
        return [self._entry(name, progress) for name in names]

    def left_out_entries(self, progress: Progress | None) -> list[dict[str, object]]:
        """The same of those that lie elsewhere alone."""
        return [self._entry(name, progress) for name in sorted(self.left_out, key=os.fsencode)]

    def _entry(self, name: str, progress: Progress | None) -> dict[str, object]:
        path = self.left_out.get(name, self.folder / name)
        if name not in self.digests:
            self.digests[name] = sha256_file(path, progress)
        return {"path": name, "size": path.stat().st_size, "sha256": self.digests[name]}

    @property
    def said(self) -> Iterable[str]:
        """What is to be said about files that were copied although they are large."""
        return (f"{size:,} bytes were copied, not linked: {reason}" for reason, size in self.copied.items())


def walk(folder: Path, left_out: set[str]) -> Iterator[str]:
    """Relative names of the files below a folder, behind links too, sorted; nothing that is called as in `left_out`."""
    for here, folders, names in os.walk(folder, followlinks=True):
        place = Path(here)
        folders[:] = sorted(name for name in folders if name not in left_out and not _leads_back(place, name))
        for name in sorted(names):
            if name not in left_out and (place / name).is_file():
                yield (place / name).relative_to(folder).as_posix()


def _leads_back(place: Path, name: str) -> bool:
    """Whether a folder is a link to one that it stands in."""
    return place.resolve().is_relative_to((place / name).resolve())
