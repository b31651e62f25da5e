"""Workers as Ray actors on a cluster that exists already, or on a small one that is started here (an extra)."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from edgelm.engines.base import Request
from edgelm.errors import InputError, MissingPackage
from edgelm.evaluate.asking import Answered
from edgelm.evaluate.workers import Job, Signal


class RayPool:
    """A pool of Ray actors; see `workers.Pool`. The checkpoint's path must be the same on every node.

    Ray itself watches over actors and nodes. `RAY_ADDRESS` names the cluster; without it one is started on this host.

    Args:
        job: what each of them loads.
        workers: how many share the cluster.

    Raises:
        MissingPackage: Ray is not installed.
    """

    def __init__(self, job: Job, workers: int) -> None:
        try:
            import ray
        except ImportError:
            raise MissingPackage("ray", "ray") from None
        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self._job, self._workers = ray.put(job), workers
        self._numbers = count()
        self._actors: dict[int, Any] = {}
        self._streams: dict[Any, int] = {}  # what each actor is doing: a stream of answers, by worker

    def start(self) -> int:
        """See `Pool`."""
        number = next(self._numbers)
        gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        threads = os.environ.get("OMP_NUM_THREADS") or str(self._threads())
        environment = {"env_vars": {"OMP_NUM_THREADS": threads}}  # Ray would give each actor one thread
        made = self._ray.remote(num_gpus=gpus, max_restarts=0, runtime_env=environment)(_Actor)
        self._actors[number] = actor = made.remote(self._job)
        self._streams[actor.load.options(num_returns="streaming").remote()] = number
        return number

    def _threads(self) -> int:
        """An equal part of the cluster's cores, as far as one node has them."""
        cores = [int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]]
        return max(1, min(max(cores), sum(cores) // self._workers))

    def ask(self, worker: int, chunk: Sequence[Request]) -> None:
        """See `Pool`."""
        stream = self._actors[worker].answer.options(num_returns="streaming").remote(list(chunk))
        self._streams[stream] = worker

    def signals(self, seconds: float) -> list[Signal]:
        """See `Pool`."""
        if not self._streams:
            return []
        streams = list(self._streams)
        ready, _ = self._ray.wait(streams, num_returns=1, timeout=seconds)
        heard = [self._receive(stream) for stream in ready]
        return [*heard, *(Signal(number, "alive") for number in self._streams.values())]  # Ray would say if not

    def _receive(self, stream: Any) -> Signal:
        number = self._streams[stream]
        try:
            said = self._ray.get(next(stream))
        except StopIteration:
            del self._streams[stream]
            return Signal(number, "idle")
        except self._ray.exceptions.RayError as error:
            print(f"worker {number}: {error}", file=sys.stderr)  # as a process of this host would say itself
            self.end(number)
            return Signal(number, "lost")
        if isinstance(said, InputError):
            return Signal(number, "refused", refusal=said)
        return Signal(number, "answered", replies=said[0], cpu_seconds=said[1])

    def end(self, worker: int) -> None:
        """See `Pool`."""
        self._ray.kill(self._actors.pop(worker))
        self._streams = {stream: number for stream, number in self._streams.items() if number != worker}

    def close(self) -> None:
        """See `Pool`; a cluster that was started here ends, too."""
        for worker in list(self._actors):
            self.end(worker)
        if self._started:
            self._ray.shutdown()


class _Actor:
    """What lives on a node: a loaded checkpoint."""

    def __init__(self, job: Job) -> None:
        self._job, self._open = job, contextlib.ExitStack()
        self._answers: Any = None

    def load(self) -> Iterator[InputError]:
        """Load the checkpoint; yields the refusal, if it is refused."""
        try:
            self._answers = self._open.enter_context(self._job.open())
        except InputError as error:
            yield error

    def answer(self, chunk: list[Request]) -> Iterator[Answered | InputError]:
        """The answers to a chunk as they come, or the refusal."""
        try:
            yield from self._answers(chunk)
        except InputError as error:
            yield error
