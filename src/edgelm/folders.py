"""Output folders that appear whole or not at all, whatever ends the process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgelm.errors import BadOption
from edgelm.files import disk_errors, make_parent


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears whole or not at all.

    Yields a temporary folder beside `path`; it takes the name `path` when the block ends well and is removed otherwise.
    What a killed process left of the same name is removed first.

    Raises:
        BadOption: `path` exists already and is not an empty folder, or it was filled by somebody else meanwhile (the
            temporary folder is kept then, and named).
        NoSpace: the disk is full.
    """
    require_fresh(path)
    make_parent(path)
    with disk_errors(path):
        _sweep(path)
        partial = Path(tempfile.mkdtemp(prefix=_partial_prefix(path), dir=path.parent))
        lock = os.open(partial, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go by the system when this process ends, however it ends
            partial.chmod(0o755)
            yield partial
            _take_name(partial, path)
        except BaseException as error:
            if not isinstance(error, _Kept):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            os.close(lock)


class _Kept(BadOption):
    """The output's name was taken meanwhile; the work is kept under its temporary name."""


def _take_name(partial: Path, path: Path) -> None:
    try:
        if path.is_dir():
            path.rmdir()
        partial.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise _Kept(f"{path} was filled by something else meanwhile", mend=f"the result is kept in {partial}") from None


def _partial_prefix(path: Path) -> str:
    return f".{path.name}.partial-"


def _sweep(path: Path) -> None:
    """Remove what killed processes left of an output of this name: temporary folders that nobody holds a lock on."""
    for left in path.parent.iterdir():
        if left.name.startswith(_partial_prefix(path)) and left.is_dir() and not left.is_symlink():
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            except BlockingIOError:
                continue
            finally:
                os.close(lock)


def require_fresh(path: Path) -> None:
    """Refuse an output path that would overwrite something, or that is no name for a new folder.

    Raises:
        BadOption: say which.
    """
    with disk_errors(path):
        if path.name in ("", "..") or path.is_symlink():
            raise BadOption(f"{path} is no name for a new folder", mend="give a name that is not there yet")
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise BadOption(f"{path} exists already", mend="choose another -o, or remove it first")
