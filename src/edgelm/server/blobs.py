"""The table of stored files: what stands in it is looked after."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.files import parse_json
from edgelm.server.storage import Storage
from edgelm.server.tables import Blob

_AT_ONCE = 5000  # rows asked for in one statement
_DIGEST = re.compile("[0-9a-f]{64}")


def enter(session: Session, storage: Storage, digests: Collection[str], now: int) -> None:
    """Enter files that are whole in the storage, unless they are known."""
    ordered = sorted(digests)
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        known = set(session.scalars(select(Blob.sha256).where(Blob.sha256.in_(some))))
        session.add_all(Blob(sha256=sha256, size=storage.size(sha256), created=now)
                        for sha256 in some if sha256 not in known)  # fmt: skip
    session.flush()


def named_in(session: Session, record: bytes) -> set[str]:
    """The files that a JSON record names by their digests, wherever in it.

    Raises:
        BadFile: it is no JSON.
    """
    told = {text for text in _texts(parse_json(record, "a result")) if _DIGEST.fullmatch(text)}
    return {sha256 for sha256 in told if session.get(Blob, sha256) is not None}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
