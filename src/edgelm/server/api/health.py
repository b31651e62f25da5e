"""How the server is: what an operator looks at, and the settings that it runs by."""

from __future__ import annotations

import platform

from fastapi import APIRouter

from edgelm import __version__
from edgelm.server import audit, outbox
from edgelm.server.calling import Asking, Served
from edgelm.server.fields import Body

router = APIRouter(prefix="/admin", tags=["health"])
# Settings that organisers see; passwords, keys and the database's address are not among them.
_SHOWN = (
    "rules", "install", "public_url", "max_package", "team_bytes", "reserve", "upload_days", "part", "login_hours",
    "second_factor", "login_tries", "changes", "smoke_runs", "lease_seconds", "smtp_host", "smtp_from", "log_format",
)  # fmt: skip


class HealthView(Body):
    """Versions, room on the disk in bytes, what waits to be sent, and settings by their names."""

    version: str
    python: str
    database: str  # its kind
    free: int
    reserve: int  # that uploads leave free
    unsent: dict[str, int]  # messages by channel
    entries: int  # of the audit log
    signs: bool  # whether final boards and heads of the log are signed
    settings: dict[str, str | bool | int]


@router.get("/health", response_model=HealthView)
def show(server: Served, who: Asking) -> HealthView:
    """How the server is."""
    who.require("organiser")
    settings = server.settings
    with server.database.read() as session:
        return HealthView(
            version=__version__, python=platform.python_version(), database=server.database.engine.dialect.name,
            free=server.storage.free(), reserve=settings.reserve,
            unsent={channel: outbox.waiting(session, channel, server.clock()) for channel in ("mail", "webhook")},
            entries=audit.head(session)[0], signs=settings.signing_key is not None,
            settings={name: getattr(settings, name) for name in _SHOWN},
        )  # fmt: skip
