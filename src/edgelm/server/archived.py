"""A small package that came as one archive, as browsers without scripts send it: its files go where uploads go."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgelm.archives.unpack import unpack
from edgelm.checkpoint import validate
from edgelm.errors import InputError
from edgelm.files import parse_json
from edgelm.server.packages import PREFIX
from edgelm.server.refusals import Refused
from edgelm.server.storage import Storage
from edgelm.submission import MANIFEST, Manifest

MOST_PACKED = 60 * 2**20  # bytes
_MOST = 512 * 2**20  # bytes that it unpacks to
_CHUNK = 2**20


@contextmanager
def unpacked(storage: Storage, archive: IO[bytes]) -> Iterator[Path]:
    """The folder of an archive while the block runs.

    Raises:
        Refused: it is no archive, one that is not unpacked, larger than is allowed, or without a manifest.
    """
    storage.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=storage.folder) as name:
        packed, folder = Path(name) / "archive", Path(name) / "package"
        with packed.open("wb") as file:
            shutil.copyfileobj(archive, file, _CHUNK)
        folder.mkdir()
        try:
            unpack(packed, folder, max_bytes=_MOST)
        except InputError as error:  # which names the file as it lies here
            what, why = (text.replace(str(packed), "the archive") for text in (error.what, error.why))
            raise Refused(what, why=why, mend=error.mend, code="PKG-01") from None
        if not (folder / MANIFEST).is_file():
            why = f"the archive has no {MANIFEST} at its top"
            raise Refused("this is no package", why=why, mend="pack it again: edgelm pack", code="PKG-04")
        yield folder


def send(storage: Storage, team_id: str, folder: Path, missing: Collection[str]) -> set[str]:
    """Bring the files of a package whose digests an upload lacks, and give those that came; the folder may lack some.

    Raises:
        Damaged: a file is not what the manifest says.
        Busy: another request writes to one of them.
    """
    manifest = validate(Manifest, parse_json((folder / MANIFEST).read_bytes(), MANIFEST), MANIFEST)
    sent: set[str] = set()
    for entry in manifest.files:
        path = folder / entry.path
        if entry.sha256 in missing and entry.sha256 not in sent and path.is_file():
            with storage.arriving(team_id, entry.sha256, entry.size) as arriving, path.open("rb") as file:
                file.seek(arriving.kept)
                while chunk := file.read(_CHUNK):
                    arriving.write(chunk)
                arriving.keep()
            sent.add(entry.sha256)
    return sent
