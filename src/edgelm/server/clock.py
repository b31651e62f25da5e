"""The one clock of a server: whole microseconds of UTC, as they stand in the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], int]  # microseconds since 1970, UTC
SECOND = 10**6
DAY = 24 * 60 * 60 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> int:
    """The time of this machine."""
    return time.time_ns() // 1000


def moment(microseconds: int) -> datetime:
    """A time of the database as an instant."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(instant: datetime) -> int:
    """An instant as the database has it."""
    return (instant - _EPOCH) // timedelta(microseconds=1)
