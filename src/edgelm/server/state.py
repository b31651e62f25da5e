"""What every part of a running server works with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property, partial

from edgelm.plugins import parse
from edgelm.rules.base import Rules
from edgelm.server import competition, rulebook
from edgelm.server.admission import Admission
from edgelm.server.clock import Clock, utc_now
from edgelm.server.counts import Requests
from edgelm.server.database import Database
from edgelm.server.kept import Kept
from edgelm.server.leases import Leases, Steady
from edgelm.server.passwords import Passwords
from edgelm.server.rates import Rates
from edgelm.server.settings import Settings
from edgelm.server.storage import Storage
from edgelm.server.watching import Watch


@dataclass(frozen=True)
class Server:
    """Settings, tables and the clock of one competition."""

    settings: Settings
    database: Database
    clock: Clock = utc_now
    rates: Rates = field(default_factory=Rates)
    requests: Requests = field(default_factory=Requests)
    steady: Steady = time.monotonic
    looks: Admission = field(default_factory=partial(Admission, "packages that are looked at", each=1, all=4, wait=5))
    streams: Admission = field(
        default_factory=partial(Admission, "submissions that are watched", each=10, all=500, wait=30)
    )

    @property
    def rules(self) -> Rules:
        """The rules in force: those that were published last, or before that the settings'."""
        with self.database.read() as session:
            published = competition.in_force(session)
        return rulebook.rules_of(published) if published else self._first_rules

    @cached_property
    def _first_rules(self) -> Rules:
        rules: Rules = parse("rules", self.settings.rules)
        return rules

    @cached_property
    def passwords(self) -> Passwords:
        """What makes and compares digests of passwords."""
        return Passwords(self.settings.password_memory)

    @cached_property
    def leases(self) -> Leases:
        """Which workers are silent."""
        return Leases(self.settings.lease_seconds, self.steady)

    @cached_property
    def watch(self) -> Watch:
        """Whether anything has happened to the submissions that are watched."""
        return Watch(self.steady)

    @cached_property
    def kept(self) -> Kept:
        """Pages as all visitors see them."""
        return Kept(self.settings.page_seconds, self.steady)

    @cached_property
    def storage(self) -> Storage:
        """Where files lie, by digest."""
        return Storage(self.settings.blobs)
