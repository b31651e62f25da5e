"""What a server counts of its own answers, for an operator's monitoring."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Requests:
    """What was answered, how, and how fast; by route, not by address, whose number has no end."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "edgelm_answers", "Answers by method, route and status.", ("method", "route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram("edgelm_answer_seconds", "Time of an answer.", registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._answers.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._seconds.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What was counted."""
        yield from self.registry.collect()
