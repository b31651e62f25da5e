"""Figures for an operator's monitoring, in the format of Prometheus."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select

from edgelm.server import audit
from edgelm.server.state import Server
from edgelm.server.tables import Job, Notice, Submission


class _Now:
    """What stands in the database and on the disk when it is asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        with self._server.database.read() as session:
            for name, table in (("jobs", Job), ("submissions", Submission)):
                family = GaugeMetricFamily(f"edgelm_{name}", f"How many {name} are in a state.", labels=["state"])
                for state, count in session.execute(select(table.state, func.count()).group_by(table.state)):
                    family.add_metric([state], count)
                yield family
            unsent = select(func.count()).select_from(Notice).where(Notice.sent.is_(None), Notice.channel != "page")
            oldest = session.scalar(select(func.min(Job.created)).where(Job.state == "waiting"))
            yield _gauge("edgelm_notices_unsent", "Messages that wait to go out.", session.scalar(unsent) or 0)
            waited = 0 if oldest is None else max(0, self._server.clock() - oldest) / 1e6
            yield _gauge("edgelm_job_waits_seconds", "How long the first job in the queue has waited.", waited)
            yield _gauge("edgelm_audit_entries", "Entries of the audit log.", audit.head(session)[0])
        free = shutil.disk_usage(self._server.settings.folder).free
        yield _gauge("edgelm_disk_free_bytes", "Free bytes where packages lie.", free)


def page(server: Server) -> bytes:
    """All figures as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(server.requests)
    registry.register(_Now(server))
    return generate_latest(registry)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
