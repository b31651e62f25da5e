"""What a worker works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgelm.check.fetch import Fetcher
from edgelm.server.worker.cache import Cache
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Executor, Limits
from edgelm.server.worker.model_box import ModelBox


@dataclass(frozen=True)
class Secrets:
    """What a worker knows and no model may see.

    Attributes:
        seed: file with the secret that the order of the questions follows from; an order that all may know if None.
        holdouts: sealed files of hold-outs.
        key: file with the key that opens them.
    """

    seed: Path | None = None
    holdouts: tuple[Path, ...] = ()
    key: Path | None = None


@dataclass(frozen=True)
class Bench:
    """What a worker works with.

    Attributes:
        calls: to the server.
        executor: that runs the steps.
        box: that models run in.
        folder: holds fetched files, and a folder for each job.
        data: the data folder; what is cached if None.
        engine: spec of the engine that asks.
        device: spec of the device that is measured.
        limits: of each step.
        secrets: of this worker.
        cache_bytes: that fetched files have on the disk, as long as jobs hold no more.
        fetcher: of files that packages only link.
    """

    calls: Calls
    executor: Executor
    box: ModelBox
    folder: Path
    data: Path | None = None
    engine: str = "local"
    device: str = "local"
    limits: Limits = field(default_factory=Limits)
    secrets: Secrets = field(default_factory=Secrets)
    cache_bytes: int = 256 << 30
    fetcher: Fetcher = field(default_factory=Fetcher)

    @property
    def cache(self) -> Cache:
        """Where fetched files lie."""
        return Cache(self.folder / "cache", self.cache_bytes)
