"""How often something may be tried, by whom: kept in memory, for the server is one process."""

from __future__ import annotations

import math
import time
from ipaddress import ip_address

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from edgelm.server.refusals import TooOften


class Rates:
    """Counts of the last while."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def require(self, limit: RateLimitItem, *who: str) -> None:
        """Let through who may try, without counting it.

        Raises:
            TooOften: they tried too often.
        """
        if not self._limiter.test(limit, *who):
            raise self._too_often(limit, *who)

    def hit(self, limit: RateLimitItem, *who: str) -> None:
        """Count a try.

        Raises:
            TooOften: it is one too many; it does not count.
        """
        if not self._limiter.hit(limit, *who):
            raise self._too_often(limit, *who)

    def _too_often(self, limit: RateLimitItem, *who: str) -> TooOften:
        reset = self._limiter.get_window_stats(limit, *who).reset_time
        return TooOften("asked too often", why=f"{limit} is allowed", wait=max(1, math.ceil(reset - time.time())))


def network(address: str) -> str:
    """What one person has of addresses: one of IPv4, the first half of one of IPv6."""
    try:
        found = ip_address(address)
    except ValueError:  # a socket of this machine has none
        return address
    return found.exploded[:19] if found.version == 6 else str(found)
