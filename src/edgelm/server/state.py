"""What every part of a running server works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from edgelm.plugins import parse
from edgelm.rules.base import Rules
from edgelm.server.clock import Clock, utc_now
from edgelm.server.counts import Requests
from edgelm.server.database import Database
from edgelm.server.passwords import Passwords
from edgelm.server.rates import Rates
from edgelm.server.settings import Settings
from edgelm.server.storage import Storage


@dataclass(frozen=True)
class Server:
    """Settings, tables and the clock of one competition."""

    settings: Settings
    database: Database
    clock: Clock = utc_now
    rates: Rates = field(default_factory=Rates)
    requests: Requests = field(default_factory=Requests)

    @cached_property
    def rules(self) -> Rules:
        """The rules in force."""
        rules: Rules = parse("rules", self.settings.rules)
        return rules

    @cached_property
    def passwords(self) -> Passwords:
        """What makes and compares digests of passwords."""
        return Passwords(self.settings.password_memory)

    @cached_property
    def storage(self) -> Storage:
        """Where files lie, by digest."""
        return Storage(self.settings.blobs)
