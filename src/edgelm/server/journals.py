"""Journals: what a job has answered so far, kept as it is made, so that another worker goes on from there.

A journal is a file of whole lines that only grows, one for each model of a job. A worker adds lines at its end and
nowhere else; whether it may is decided by its lease, in the transaction that this is called in.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgelm.server.refusals import Conflict, Refused, TooMuch
from edgelm.server.storage import room

MOST = 512 << 20  # bytes of a journal


class Journals:
    """The journals of all jobs.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, job_id: str, name: str) -> Path:
        """Where a journal lies; it need not exist."""
        return self._folder / job_id / f"{name}.jsonl"

    def size(self, job_id: str, name: str) -> int:
        """Bytes of a journal: where the next lines go."""
        try:
            return self.path(job_id, name).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, job_id: str, name: str, offset: int, most: int) -> bytes:
        """At most so many bytes from an offset on."""
        try:
            with self.path(job_id, name).open("rb") as file:
                file.seek(offset)
                return file.read(most)
        except FileNotFoundError:
            return b""

    def copy(self, from_job: str, to_job: str) -> None:
        """Begin a job's journals with those of another; it has none of its own yet.

        Raises:
            DiskFull: the disk has no room for them.
        """
        source, target = self._folder / from_job, self._folder / to_job
        if source.is_dir():
            try:
                with room():
                    target.mkdir()
                    for path in source.iterdir():
                        shutil.copyfile(path, target / path.name)
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise

    def append(self, job_id: str, name: str, offset: int, lines: bytes) -> int:
        """Add whole lines at the end, and hand them to the disk.

        Returns:
            The journal's new size.

        Raises:
            Refused: the last line is not whole.
            Conflict: `offset` is not the journal's end.
            TooMuch: it would be longer than `MOST`.
            DiskFull: the journal is as it was.
        """
        if not lines.endswith(b"\n"):
            raise Refused("a journal takes whole lines", mend="send them up to the last line feed")
        size = self.size(job_id, name)
        if offset < size and self.read(job_id, name, offset, len(lines)) == lines:
            return size  # the answer was lost on its way
        if offset != size:
            raise Conflict(f"the journal {name} ends at {size:,} bytes, not at {offset:,}", mend="go on from its end")
        if size + len(lines) > MOST:
            raise TooMuch(
                f"the journal {name} would have more than {MOST:,} bytes", mend="the job has too many answers"
            )
        path = self.path(job_id, name)
        rest = memoryview(lines)
        with room():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:
                try:
                    while rest:  # a disk that fills up takes a part without complaint, and refuses the rest
                        rest = rest[file.write(rest) :]
                    os.fdatasync(file.fileno())
                except OSError:
                    file.truncate(size)
                    raise
        return size + len(lines)
