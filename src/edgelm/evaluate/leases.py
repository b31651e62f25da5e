"""Who answers what: chunks of requests, lent to workers for a time and lent anew when a worker is lost.

Requests that an engine answers together are never parted (a `Unit`). A chunk is a share of what still waits, so that
chunks shrink towards the end and workers finish together; it comes from one group of like prompts, which share their
beginning, and the longest are lent first. Nothing here knows what a worker is: see `workers`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby

from edgelm.engines.base import Request
from edgelm.tasks.base import Sample

SHARES = 2  # a chunk is the part of all waiting work that each worker would get, over this
DEATHS = 3  # workers that a unit may outlive before it is set aside

Group = tuple[str, str | None]  # a task's label and the subset


@dataclass(frozen=True)
class Unit:
    """Requests that are answered together; `cost` is the work expected, `deaths` the workers that ended over it."""

    group: Group
    requests: tuple[Request, ...]
    cost: int
    deaths: int = 0


def units(label: str, rows: Iterable[tuple[Sample, Request]], together: int) -> list[Unit]:
    """The rows of a task in units of `together` consecutive places; rows that are not asked leave gaps."""
    parts = groupby(sorted(rows, key=lambda row: row[1].index), key=lambda row: row[1].index // together)
    made = []
    for _, part in parts:
        unit = list(part)
        requests = tuple(request for _, request in unit)
        made.append(Unit((label, unit[0][0].subset), requests, sum(map(_work, requests))))
    return made


def _work(request: Request) -> int:
    """What a request may cost, in characters read; a token made costs about as much as 16 characters read."""
    read = sum(len(turn.text) for turn in request.prompt.turns) + sum(map(len, request.choices))
    return read + (0 if request.choices else 16 * request.max_tokens)


@dataclass
class _Lease:
    units: list[Unit]
    group: Group
    answered: set[str] = field(default_factory=set)
    renewed: float = 0.0


class Leases:
    """The book of what waits, what is lent to whom, and what was set aside.

    Args:
        units: all that is to be answered.
        workers: how many share it.
        patience: seconds without a sign after which a worker is taken for lost.
        clock: tells seconds.
    """

    def __init__(
        self, units: Iterable[Unit], workers: int, *, patience: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._workers, self._patience, self._clock = workers, patience, clock
        self._waiting: dict[Group, list[Unit]] = {}
        self._lent: dict[int, _Lease] = {}
        self._last: dict[int, Group] = {}  # the group that a worker had before
        self.set_aside: list[Unit] = []
        for unit in units:
            self._waiting.setdefault(unit.group, []).append(unit)
        for waiting in self._waiting.values():
            waiting.sort(key=lambda unit: unit.cost)  # the longest last, where it is taken from

    @property
    def done(self) -> bool:
        """Whether nothing waits and nothing is lent."""
        return not self._lent and not any(self._waiting.values())

    def lend(self, worker: int) -> list[Request]:
        """The next chunk for a worker, in the order of the rows; empty if nothing waits now."""
        assert worker not in self._lent, "one chunk at a time"
        group = self._group_for(worker)
        if group is None:
            return []
        chunk = self._take(group)
        self._last[worker] = group
        self._lent[worker] = _Lease(chunk, group, renewed=self._clock())
        return sorted((request for unit in chunk for request in unit.requests), key=lambda request: request.index)

    def _group_for(self, worker: int) -> Group | None:
        """The worker's own group while it lasts, then the one with the most work for each worker that is at it."""
        waiting = {group: sum(unit.cost for unit in units) for group, units in self._waiting.items() if units}
        if self._last.get(worker) in waiting:
            return self._last[worker]
        busy = [lease.group for lease in self._lent.values()]
        return max(waiting, key=lambda group: waiting[group] / (1 + busy.count(group)), default=None)

    def _take(self, group: Group) -> list[Unit]:
        """A share of all waiting work from one group. What has outlived a worker is lent alone, to see whose it was."""
        share = sum(unit.cost for units in self._waiting.values() for unit in units) / (SHARES * self._workers)
        waiting = self._waiting[group]
        chunk = [waiting.pop()]
        cost = chunk[0].cost
        while waiting and not chunk[0].deaths and not waiting[-1].deaths and cost + waiting[-1].cost <= share:
            chunk.append(waiting.pop())
            cost += chunk[-1].cost
        return chunk

    def answered(self, worker: int, keys: Collection[str]) -> None:
        """A worker has sent answers, or with none a sign of life. One that was taken for lost has no lease any more."""
        if lease := self._lent.get(worker):
            lease.answered.update(keys)
            lease.renewed = self._clock()

    def returned(self, worker: int) -> None:
        """A worker has ended its chunk; what it left without an answer counts as outlived."""
        self._end(worker)

    def lost(self, worker: int) -> None:
        """A worker has died: what it had not answered waits again, unless too many have died over it."""
        self._end(worker)
        self._last.pop(worker, None)

    def _end(self, worker: int) -> None:
        lease = self._lent.pop(worker, None)
        if lease is None:
            return
        for unit in lease.units:
            left = tuple(request for request in unit.requests if request.key not in lease.answered)
            if left:
                again = replace(unit, requests=left, deaths=unit.deaths + 1)
                aside = again.deaths >= DEATHS
                if aside:
                    self.set_aside.append(again)
                else:
                    self._waiting[unit.group].insert(0, again)  # after all that is not suspected

    def silent(self) -> list[int]:
        """Workers that have given no sign for longer than the patience lasts."""
        latest = self._clock() - self._patience
        return [worker for worker, lease in self._lent.items() if lease.renewed < latest]

    def give_up(self) -> None:
        """Set aside what has outlived a worker."""
        self.set_aside += [unit for units in self._waiting.values() for unit in units if unit.deaths]
        self._waiting = {group: [unit for unit in units if not unit.deaths] for group, units in self._waiting.items()}
