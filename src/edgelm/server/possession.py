"""Proof that whoever names a file has it: bytes of it from places that were not known before, digested with a nonce.

What another team brought need not come again, but knowing its digest, which is on boards, does not make it one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import NamedTuple

from edgelm.files import sha256_bytes

_RANGES, _LENGTH = 16, 2**16  # asked of a file; of a smaller one, all of it


class Range(NamedTuple):
    """Bytes of a file."""

    offset: int
    length: int


def asked(nonce: str, sha256: str, size: int) -> list[Range]:
    """Which bytes of a file are to be shown, in their order; of the size that it has, not that its asker says."""
    if size <= _RANGES * _LENGTH:
        return [Range(0, size)]
    draws = (sha256_bytes(f"{nonce} {sha256} {number}".encode()) for number in range(_RANGES))
    return sorted(Range(int(draw, 16) % (size - _LENGTH + 1), _LENGTH) for draw in draws)


def proof(nonce: str, path: Path, ranges: Sequence[Range]) -> str:
    """What only who has the file can tell: sha256 over the nonce and those bytes."""
    digest = new_sha256(nonce.encode())
    with path.open("rb") as file:
        for offset, length in ranges:
            file.seek(offset)
            digest.update(file.read(length))
    return digest.hexdigest()
