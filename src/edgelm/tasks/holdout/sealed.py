"""A hold-out as one encrypted file: what lies on a worker's disk, and the folder in memory that it is opened into.

The file is a zip archive of the folder, salt included, under ChaCha20-Poly1305; the key, 32 random bytes, is a file of
its own. Nobody without the key reads a byte, and a byte that was changed is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from edgelm.errors import BadFile
from edgelm.files import make_parent, read_bytes
from edgelm.tasks.holdout.folder import LARGEST, SALT, HoldOut

_MAGIC, _NONCE = b"edgelm-holdout-1\n", 12
_PREFIX = "edgelm-holdout-"
_MEMORY = Path("/dev/shm")


def make_key(path: Path) -> None:
    """Write a new key, readable by its owner alone; one that is there stays."""
    make_parent(path)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")


def read_key(path: Path) -> bytes:
    """The key in a file.

    Raises:
        MissingInput: there is none.
        BadFile: it holds something else.
    """
    text = read_bytes(path, 1000).strip()
    if not re.fullmatch(rb"[0-9a-f]{64}", text):
        raise BadFile(f"{path} holds no key", why="64 hexadecimal digits are needed", mend="restore it from its copy")
    return bytes.fromhex(text.decode())


def sealed(folder: Path, key: bytes) -> bytes:
    """A hold-out folder, encrypted.

    Raises:
        MissingInput, BadFile: see `HoldOut`.
    """
    data, archive = HoldOut(folder), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for name in data.files:
            files.writestr(name, data.read(name))
        if data.salt:
            files.writestr(SALT, data.salt.hex() + "\n")
    nonce = secrets.token_bytes(_NONCE)
    return _MAGIC + nonce + ChaCha20Poly1305(key).encrypt(nonce, archive.getvalue(), _MAGIC)


@contextlib.contextmanager
def unsealed(file: Path, key: bytes) -> Iterator[Path]:
    """The folder that was sealed, in memory where the system has such a place, for as long as the block runs.

    Raises:
        MissingInput: there is no such file.
        BadFile: it is no sealed hold-out, was changed, or has another key.
    """
    data = read_bytes(file)
    if not data.startswith(_MAGIC):
        raise BadFile(f"{file} is no sealed hold-out", mend="make it by `edgelm holdout seal`")
    nonce, body = data[len(_MAGIC) :][:_NONCE], data[len(_MAGIC) + _NONCE :]
    try:
        archive = ChaCha20Poly1305(key).decrypt(nonce, body, _MAGIC)
    except (InvalidTag, ValueError):
        raise BadFile(f"{file} cannot be opened", why="it was changed, or the key is another's") from None
    with _folder() as folder, zipfile.ZipFile(io.BytesIO(archive)) as files:
        for each in files.infolist():
            if each.file_size > LARGEST:
                raise BadFile(f"{file} holds a file that is too large")
            files.extract(each, folder)
        yield folder


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder that this process alone sees and removes; those that killed processes left are removed, too."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for left in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _held(left):
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place) as name, _held(Path(name)):
        inner = Path(name) / "holdout"
        inner.mkdir()
        yield inner


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, which the system lets go of when this process ends.

    Raises:
        OSError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
