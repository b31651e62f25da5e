"""Figures for an operator's monitoring, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import func, select

from edgelm.server import audit, outbox, queue, states
from edgelm.server.state import Server
from edgelm.server.tables import Job, Submission

_STATES = (
    ("jobs", Job, (queue.WAITING, queue.LEASED, queue.DONE, queue.FAILED, queue.CANCELLED)),
    ("submissions", Submission, tuple(states.NEXT)),
)


class _Now:
    """What stands in the database and on the disk when it is asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """The figures of now."""
        with self._server.database.read() as session:
            for name, table, known in _STATES:
                family = GaugeMetricFamily(f"edgelm_{name}", f"How many {name} are in a state.", labels=["state"])
                counts = session.execute(select(table.state, func.count()).group_by(table.state))
                found = {state: count for state, count in counts}  # noqa: C416 - `dict` takes it for a mapping
                for state in known:  # none is said to be 0, so that an alarm knows it from a figure that is lacking
                    family.add_metric([state], found.get(state, 0))
                yield family
            family = GaugeMetricFamily("edgelm_notices_unsent", "Messages that wait to go out.", labels=["channel"])
            for channel in ("mail", "webhook"):
                family.add_metric([channel], outbox.waiting(session, channel, self._server.clock()))
            yield family
            oldest = session.scalar(select(func.min(Job.created)).where(Job.state == "waiting"))
            waited = 0 if oldest is None else max(0, self._server.clock() - oldest) / 1e6
            yield _gauge("edgelm_job_waits_seconds", "How long the first job in the queue has waited.", waited)
            yield _gauge("edgelm_audit_entries", "Entries of the audit log.", audit.head(session)[0])
        yield _gauge("edgelm_disk_free_bytes", "Free bytes where packages lie.", self._server.storage.free())


def page(server: Server) -> bytes:
    """All figures as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(server.requests)
    registry.register(_Now(server))
    return generate_latest(registry)


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
