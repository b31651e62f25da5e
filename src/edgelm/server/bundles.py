"""The result bundle of a final board: what `edgelm replay` computes again, as one archive that never changes.

rules.json, marks/, TRACK/    as `edgelm score` writes them
evaluations/ID.json           what each evaluation ran in, and what it names
server.json                   the audit log's last entry when it was made, and whether the server has signed
SHA256SUMS, SHA256SUMS.sig    all files, and the signature, if the server has a key
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.orm import Session

from edgelm.files import tree_files, write_json
from edgelm.score.board import Board
from edgelm.score.entries import Entry
from edgelm.score.publish import write_board
from edgelm.score.signature import private_key
from edgelm.score.write import MARKS
from edgelm.server import audit, entries
from edgelm.server.packages import PREFIX
from edgelm.server.state import Server

SERVER, EVALUATIONS = "server.json", "evaluations"


class Basis(NamedTuple):
    """What of the tables goes into a bundle."""

    evaluations: dict[str, str]  # digests of results, by submission
    audit: int  # number of the log's last entry, and its hash
    head: str


def basis(session: Session, server: Server, received: Iterable[Entry]) -> Basis:
    """What a bundle of entries has of the tables as they are."""
    jobs = ((entry, entries.evaluation_of(session, server, entry)) for entry in received)
    evaluations = {entry.submission: job.result for entry, job in jobs if job and job.result}
    return Basis(evaluations, *audit.head(session))


def bundled(server: Server, track: str, board: Board, received: Sequence[Entry], basis: Basis) -> str:
    """Make the bundle of a final board in the storage; its digest. That takes minutes for a thousand submissions.

    Raises:
        MissingInput, BadFile: the server's key cannot be read, or a file that the board rests on is gone.
    """
    storage, key = server.storage, server.settings.signing_key
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=storage.folder) as name:
        folder, archive = Path(name) / f"{track}-{board.revision}", Path(name) / "bundle.tar"
        for place in (MARKS, EVALUATIONS):
            (folder / place).mkdir(parents=True)
        for digest in {
            digest for entry in received for model in entry.models.values() for digest in model.marks.values()
        }:
            os.link(storage.path(digest), folder / MARKS / f"{digest}.json")
        for submission, result in basis.evaluations.items():
            os.link(storage.path(result), folder / EVALUATIONS / f"{submission}.json")
        write_json(folder / SERVER, {"audit": basis.audit, "head": basis.head, "signed": key is not None})
        sign = private_key(key).sign if key else None
        write_board(folder, server.rules, {track: received}, board, page=False, sign=sign)
        _pack(folder, archive)
        return storage.take(archive)


def _pack(folder: Path, archive: Path) -> None:
    """The same bytes for the same files: in order, of nobody, without times."""
    with tarfile.open(archive, "w") as tar:
        for name in tree_files(folder):
            path = folder / name
            entry = tarfile.TarInfo(f"{folder.name}/{name}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)
