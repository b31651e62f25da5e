"""The code of a submission, which the page of its result leads to once the board is final."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.server.fields import Body
from edgelm.server.storage import Storage
from edgelm.server.tables import Blob, File, Submission
from edgelm.submission import MODELS, SOURCE

_CODE = re.compile(rf"LICENSE|{SOURCE}/.+|{MODELS}/.+/code/.+")  # what lies where, as packages have it
_CHUNK = 2**20  # bytes


class SourceFile(Body):
    """A file of a package's code."""

    path: str
    size: int  # bytes
    sha256: str


def files(session: Session, one: Submission) -> list[SourceFile]:
    """The code of a submission, by path."""
    rows = select(File.path, Blob.size, File.sha256).join(Blob, Blob.sha256 == File.sha256)
    rows = rows.where(File.submission_id == one.id).order_by(File.path)
    return [SourceFile(path=path, size=size, sha256=sha256)
            for path, size, sha256 in session.execute(rows) if _CODE.fullmatch(path)]  # fmt: skip


def archive(storage: Storage, folder: str, files: Sequence[SourceFile]) -> Iterator[bytes]:
    """The files that lie here as a .tar, piece by piece: however large they are, little is held in memory.

    Args:
        storage: where they lie.
        folder: that the archive has them in.
        files: which.
    """
    for each in files:
        if not storage.holds(each.sha256):
            continue
        entry = tarfile.TarInfo(f"{folder}/{each.path}")
        entry.size, entry.mode = each.size, 0o644
        yield entry.tobuf(tarfile.PAX_FORMAT)
        with storage.path(each.sha256).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
        yield bytes(-each.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
