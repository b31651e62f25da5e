"""Answers to what is missing, from whoever answers: a session in this process, or a pool of workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Engine
from edgelm.errors import Unsupported
from edgelm.evaluate.asking import Answered, answer, timed
from edgelm.evaluate.leases import Leases, units
from edgelm.evaluate.questions import Questions, Shard
from edgelm.evaluate.ray import RayPool
from edgelm.evaluate.spawned import Spawned
from edgelm.evaluate.workers import Job, Pool, Workers, distribute

TOGETHER = 16  # consecutive rows that one worker gets at least, for engines that answer each row by itself
PATIENCE = 600.0  # seconds without a sign after which a worker is taken for lost; a process gives one every 20


@dataclass(frozen=True)
class Answers:
    """Who answers: this process if there are no workers. With a shard it is asked its share alone."""

    checkpoint: Checkpoint
    engine: Engine
    prompting: Prompting
    shard: Shard | None = None
    workers: Workers | None = None
    say: Callable[[str], object] = lambda text: None  # told of workers that died

    @property
    def by(self) -> str:
        """Who answers, for people."""
        who = f"{self.workers.number} workers, {self.workers.transport}" if self.workers else "one process"
        return f"shard {self.shard.number} of {self.shard.of}, {who}" if self.shard else who

    def to(self, missing: Sequence[Questions]) -> Generator[Answered, None, None]:
        """The answers in groups as they come, each of one task; an empty group says that the checkpoint is loaded.

        Raises:
            Unsupported: workers died over some questions, which are named. All others are answered then.
        """
        if not any(each.rows for each in missing):
            return
        yield from self._by_workers(missing, self.workers) if self.workers else self._here(missing)

    @property
    def _together(self) -> int:
        """Rows that are never parted; see `engines.base.Engine`."""
        return getattr(self.engine, "together", TOGETHER)

    def share(self, asked: Questions) -> Questions:
        """The shard's part: whole units, dealt in turn by their place, whatever is answered already."""
        if not (shard := self.shard):
            return asked
        rows = [row for row in asked.rows if row[1].index // self._together % shard.of == shard.number - 1]
        return replace(asked, rows=rows)

    def _here(self, missing: Sequence[Questions]) -> Iterator[Answered]:
        with self.engine.open(self.checkpoint, self.prompting) as session:
            yield [], 0.0
            for each in missing:
                yield from timed(answer(session, each.requests))

    def _by_workers(self, missing: Sequence[Questions], workers: Workers) -> Iterator[Answered]:
        waiting = [unit for each in missing for unit in units(each.task.label, each.rows, self._together)]
        number = min(workers.number, len(waiting))
        leases = Leases(waiting, number, patience=PATIENCE)
        job = Job.of(self.checkpoint, self.prompting, self.engine)
        pool: Pool = RayPool(job, number) if workers.transport == "ray" else Spawned(job, number)
        with contextlib.closing(pool):
            yield from distribute(pool, leases, number, self.say)
        if leases.set_aside:
            names = {request.key: sample.id for each in missing for sample, request in each.rows}
            named = [names[request.key] for unit in leases.set_aside for request in unit.requests]
            raise Unsupported(f"workers died over {', '.join(named)}", why="all others are answered and kept",
                              mend="see their last lines above, or ask in one process (without --workers)")  # fmt: skip
