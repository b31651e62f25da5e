"""Many workers, one run: a worker takes a chunk and streams its answers back; the coordinator alone writes the folder.

What a worker is (a process on this host, a Ray actor on another) is a `Pool`'s affair. A worker that dies loses the
chunk in flight, which is lent again; what outlives three workers is set aside and named, not asked for ever.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Engine, Reply, Request
from edgelm.errors import BadOption, InputError, Unsupported
from edgelm.evaluate.asking import Answered, answer, timed
from edgelm.evaluate.leases import Leases

Transport = Literal["spawned", "ray"]
LOOK = 1.0  # seconds between looks at who is silent
BARREN = 3  # deaths without an answer in between, beyond two for each worker, after which a run ends


@dataclass(frozen=True)
class Workers:
    """How many workers, and what they are: processes on this host or Ray actors."""

    number: int
    transport: Transport = "spawned"

    def __post_init__(self) -> None:
        if self.number < 1:
            raise BadOption(f"{self.number} workers answer nothing", mend="give 1 or more")

    @classmethod
    def parse(cls, text: str) -> Workers:
        """The workers that `4` or `ray:4` asks for."""
        transport, colon, number = text.rpartition(":")
        if not number.isdecimal() or (colon and transport != "ray"):
            raise BadOption(f"--workers {text} is not understood", mend="write 4 for this host, ray:4 for a cluster")
        return cls(int(number), "ray" if colon else "spawned")


@dataclass(frozen=True)
class Job:
    """What every worker loads. The engine is pickled, so that a worker can choose its GPU before it is imported."""

    checkpoint: Checkpoint
    prompting: Prompting
    engine: bytes

    @classmethod
    def of(cls, checkpoint: Checkpoint, prompting: Prompting, engine: Engine) -> Job:
        """The job of a run."""
        return cls(checkpoint, prompting, pickle.dumps(engine))

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Sequence[Request]], Iterator[Answered]]]:
        """Load the checkpoint; what answers a chunk."""
        engine: Engine = pickle.loads(self.engine)
        with engine.open(self.checkpoint, self.prompting) as session:
            yield lambda chunk: timed(answer(session, chunk))


@dataclass(frozen=True)
class Signal:
    """What a worker says: that it lives, is idle (ready for a chunk), has answered, is refused; or that it has died.

    A refusal is an error of the user's, which every worker would meet.
    """

    worker: int
    kind: Literal["alive", "idle", "answered", "lost", "refused"]
    replies: list[Reply] = field(default_factory=list)
    cpu_seconds: float = 0.0
    refusal: InputError | None = None
    end: str = ""  # how it died, as far as known


class Pool(Protocol):
    """A kind of worker. Workers are numbers; a new one never takes the number of a dead one."""

    def start(self) -> int:
        """Start one more worker; it says that it is idle when it has loaded the checkpoint."""
        ...

    def ask(self, worker: int, chunk: Sequence[Request]) -> None:
        """Give an idle worker a chunk."""
        ...

    def signals(self, seconds: float) -> list[Signal]:
        """What workers have said since, waiting for so long if they said nothing."""
        ...

    def end(self, worker: int) -> None:
        """End a worker, whatever it does."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


def distribute(
    pool: Pool, leases: Leases, workers: int, say: Callable[[str], object] = lambda text: None
) -> Iterator[Answered]:
    """The answers of all workers as they come; empty groups say that a worker is ready. Deaths are said.

    Raises:
        InputError: a worker met an error of the user's.
        Unsupported: workers die without answering anything.
    """
    idle: set[int] = set()
    barren = 0
    for _ in range(workers):
        pool.start()
    while not leases.done:
        for signal in pool.signals(LOOK):
            if signal.refusal:
                raise signal.refusal
            if signal.kind == "lost":
                say(f"worker {signal.worker} died{signal.end and f' ({signal.end})'}; its rows are asked again")
                barren += 1
                idle.discard(signal.worker)
                aside = len(leases.set_aside)
                leases.lost(signal.worker)
                if barren >= BARREN + 2 * workers:
                    leases.give_up()
                    _require_suspects(len(leases.set_aside) - aside)
                pool.start()
            elif signal.kind == "idle":
                leases.returned(signal.worker)
                idle.add(signal.worker)
                yield [], signal.cpu_seconds
            else:
                leases.answered(signal.worker, [reply.key for reply in signal.replies])
                if signal.replies:
                    barren = 0
                    yield signal.replies, signal.cpu_seconds
        for worker in leases.silent():
            say(f"worker {worker} gave no sign of life and was ended; its rows are asked again")
            pool.end(worker)
            leases.lost(worker)
            pool.start()
        for worker in sorted(idle):
            if chunk := leases.lend(worker):
                idle.discard(worker)
                pool.ask(worker, chunk)


def _require_suspects(number: int) -> None:
    """Refuse to go on when a death, after so many, is no question's fault: it would go on for ever."""
    if not number:
        raise Unsupported("the workers end before they have answered anything", why="see their last lines above",
                          mend="try one process (without --workers), or fewer workers: memory?")  # fmt: skip
