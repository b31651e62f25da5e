"""What a deploy target is: it turns a checkpoint into a bundle, the folder that goes onto the device.

A bundle holds the target's files and `bundle.json`, written last, which lists them with their digests.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from edgelm import __version__
from edgelm.bundle import BUNDLE_LIST
from edgelm.checkpoint import Checkpoint
from edgelm.files import sha256_file, tree_files, write_json
from edgelm.folders import new_folder
from edgelm.plugins import spec_of

FORMAT = 1

Progress = Callable[[str, int, int], object]  # what is being done, bytes done, bytes in all


class Target(Protocol):
    """A plug-in of `deploy/`: a frozen dataclass of options."""

    @property
    def tools(self) -> dict[str, str]:
        """Name and version of each outside tool that shapes the bundle."""
        ...

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        """Write the bundle's files, all but `bundle.json`, into the folder `out`.

        Raises:
            Unsupported: the target cannot run this checkpoint.
        """
        ...


def deploy(checkpoint: Checkpoint, target: Target, out: Path, progress: Progress = lambda what, done, of: None) -> None:
    """Make the bundle of a checkpoint as the new folder `out`, which appears whole or not at all.

    Raises:
        BadOption: `out` exists already.
        Unsupported: the target cannot run this checkpoint.
    """
    with new_folder(out) as folder:
        target.build(checkpoint, folder, progress)
        write_json(folder / BUNDLE_LIST, _describe(checkpoint, target, folder, progress))


def _describe(checkpoint: Checkpoint, target: Target, folder: Path, progress: Progress) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "target": spec_of(target),
        "name": checkpoint.card.slot or checkpoint.card.base or checkpoint.path.resolve().name,
        "config": checkpoint.config,
        "checkpoint": checkpoint.compute_digest(counted("read", checkpoint.path, progress)),
        "files": {
            file: {"sha256": sha256_file(folder / file, counted("check", folder / file, progress)),
                   "size": (folder / file).stat().st_size}
            for file in tree_files(folder)
        },
        "tools": target.tools,
        "made_by": f"edgelm {__version__}",
    }  # fmt: skip


def counted(what: str, path: Path, progress: Progress) -> Callable[[int], object]:
    """Turn "so many bytes more" into "so many bytes of all"."""
    files = [path / name for name in tree_files(path)] if path.is_dir() else [path]
    total, done = sum(file.stat().st_size for file in files), 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        progress(what, done, total)

    return add
