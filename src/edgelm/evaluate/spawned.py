"""Workers as processes on this host: one for each GPU, or sharing the cores; the checkpoint is loaded once in each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from edgelm.engines.base import Request
from edgelm.errors import InputError
from edgelm.evaluate.workers import Job, Signal

BEAT = 20.0  # seconds between signs of life while a worker answers
FAREWELL = 5.0  # seconds that idle workers have to end by themselves


class Spawned:
    """A pool of processes; see `workers.Pool`.

    Args:
        job: what each of them loads.
        workers: how many share the host.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self._job, self._context = job, multiprocessing.get_context("spawn")
        self._numbers = count()
        self._alive: dict[int, tuple[BaseProcess, Connection]] = {}
        self._gpus = visible_gpus()
        self._threads = max(1, (os.cpu_count() or 1) // workers)

    def start(self) -> int:
        """See `Pool`."""
        number = next(self._numbers)
        own, other = self._context.Pipe()
        process = self._context.Process(target=_work, args=(other, number, self.environment(number)))
        process.start()
        other.close()  # so that the death of the process ends the pipe
        self._alive[number] = process, own
        with contextlib.suppress(OSError):  # it has died already: the pipe will say so
            own.send(self._job)
        return number

    def environment(self, number: int) -> dict[str, str]:
        """One GPU each, in turn; cores in equal parts unless the user has said how many threads there are to be."""
        own = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(self._threads)}
        gpu = {"CUDA_VISIBLE_DEVICES": self._gpus[number % len(self._gpus)]} if self._gpus else {}
        return own | gpu

    def ask(self, worker: int, chunk: Sequence[Request]) -> None:
        """See `Pool`."""
        with contextlib.suppress(OSError):
            self._alive[worker][1].send(list(chunk))

    def signals(self, seconds: float) -> list[Signal]:
        """See `Pool`."""
        ready = set(wait([connection for _, connection in self._alive.values()], seconds))
        return [self._receive(number) for number, (_, connection) in list(self._alive.items()) if connection in ready]

    def _receive(self, number: int) -> Signal:
        try:
            return self._alive[number][1].recv()
        except (EOFError, OSError):
            process = self._alive[number][0]
            process.join(FAREWELL)  # its pipe may end before it does, and `end` would hide how
            code = process.exitcode
            self.end(number)
            how = "" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"
            return Signal(number, "lost", end=how)

    def end(self, worker: int) -> None:
        """See `Pool`."""
        process, connection = self._alive.pop(worker)
        connection.close()
        process.kill()
        process.join()

    def close(self) -> None:
        """See `Pool`; those that are idle leave by themselves."""
        for _, connection in self._alive.values():
            with contextlib.suppress(OSError):
                connection.send(None)
        for process, _ in self._alive.values():
            process.join(FAREWELL / len(self._alive))
        for worker in list(self._alive):
            self.end(worker)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none without CUDA or torch."""
    if not find_spec("torch"):
        return []
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = torch.cuda.device_count()
    return named.split(",")[:found] if named else [str(number) for number in range(found)]


def _work(connection: Connection, number: int, environment: dict[str, str]) -> None:
    """A worker's life: load, then answer chunks until there are none, or until the coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides
    os.environ.update(environment)
    line = _Line(connection, number)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        job: Job = connection.recv()
        try:
            with job.open() as answers:
                line.send("idle")
                while chunk := connection.recv():
                    for replies, cpu_seconds in answers(chunk):
                        line.send("answered", replies=replies, cpu_seconds=cpu_seconds)
                    line.send("idle")
        except InputError as error:
            line.send("refused", refusal=error)


class _Line:
    """The worker's end of the pipe, with a heartbeat from a thread of its own."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection, self._number = connection, number
        self._lock = threading.Lock()
        threading.Thread(target=self._beat, daemon=True).start()

    def send(self, kind: Any, **said: Any) -> None:
        """Say something to the coordinator."""
        with self._lock:
            self._connection.send(Signal(self._number, kind, **said))

    def _beat(self) -> None:
        pause = threading.Event()
        while not pause.wait(BEAT):
            try:
                self.send("alive")
            except OSError:  # the coordinator is gone; what this worker still computes nobody would read
                os._exit(1)
