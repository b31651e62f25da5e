"""A probe in a fresh process: started for one run, asked through a pipe, and gone with its block."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from edgelm.devices.timing import Repeat
from edgelm.engines.base import Engine, Reply, Request
from edgelm.errors import InputError, Unsupported
from edgelm.evaluate.workers import Job
from edgelm.report import Workload

PATIENCE = 3600.0  # seconds for one thing that is asked; loading is one


@dataclass(frozen=True)
class Remote:
    """A probe at the other end of a pipe.

    Raises:
        InputError: what the process was refused.
        Unsupported: it died, or says nothing for too long.
    """

    connection: Connection
    patience: float = PATIENCE

    def device(self) -> str:
        """See `Probe`."""
        return self._ask("device")

    def tokens(self, text: str) -> list[int]:
        """See `Probe`."""
        return self._ask("tokens", text)

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """See `Probe`."""
        return self._ask("answer", list(requests))

    def run(self, prompt: Sequence[int], workload: Workload) -> Repeat:
        """See `Probe`."""
        return self._ask("run", list(prompt), workload)

    def perplexity(self, ids: Sequence[int]) -> float:
        """See `Probe`."""
        return self._ask("perplexity", list(ids))

    def _ask(self, name: str, *given: Any) -> Any:
        try:
            self.connection.send((name, given))
            if not self.connection.poll(self.patience):
                raise Unsupported(f"the model's process said nothing for {self.patience:.0f} s", mend="ask for less")
            said = self.connection.recv()
        except (EOFError, OSError):
            raise Unsupported(f"the model's process died over '{name}'", why="it may have run out of memory",
                              mend="see its last lines above") from None  # fmt: skip
        if isinstance(said, InputError):
            raise said
        return said


@contextlib.contextmanager
def fresh(job: Job, patience: float = PATIENCE) -> Iterator[Remote]:
    """A model loaded in a new process, which ends with the block whatever happens."""
    context = multiprocessing.get_context("spawn")
    own, other = context.Pipe()
    process = context.Process(target=_serve, args=(other, job))
    process.start()
    other.close()  # so that the death of the process ends the pipe
    try:
        yield Remote(own, patience)
    finally:
        own.close()
        process.kill()
        process.join()


def _serve(connection: Connection, job: Job) -> None:
    """The life of the process: load, then do what is asked until nobody asks."""
    from edgelm.verify.loaded import Loaded  # the process that asks needs no torch

    with contextlib.suppress(EOFError, OSError), contextlib.ExitStack() as stack:
        try:
            engine: Engine = pickle.loads(job.engine)
            probe = Loaded(stack.enter_context(engine.open(job.checkpoint, job.prompting)))
        except InputError as error:
            connection.recv()  # what it was asked first
            connection.send(error)
            return
        while True:
            name, given = connection.recv()
            try:
                said = getattr(probe, name)(*given)
            except InputError as error:
                said = error
            connection.send(said)
