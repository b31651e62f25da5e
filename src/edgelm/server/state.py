"""What every part of a running server works with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from edgelm.plugins import parse
from edgelm.rules.base import Rules
from edgelm.server.clock import Clock, utc_now
from edgelm.server.database import Database
from edgelm.server.settings import Settings


@dataclass(frozen=True)
class Server:
    """Settings, tables and the clock of one competition."""

    settings: Settings
    database: Database
    clock: Clock = utc_now

    @cached_property
    def rules(self) -> Rules:
        """The rules in force."""
        rules: Rules = parse("rules", self.settings.rules)
        return rules
