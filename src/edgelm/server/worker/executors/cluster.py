"""What executors of clusters have in common: a scheduler brings `node.run` to a node, the shared folder does the rest.

Nodes see the worker's folder, its data and the interpreter at the same paths, and have the box installed. What a step
may use is watched on its node, by the same code as on the worker's own machine. What is no model's stays on that
machine, and with it the secrets that it is given.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import count

from edgelm.errors import EdgelmError
from edgelm.server.worker.executors.base import LOG, Ended, Step
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.executors.node import Order
from edgelm.server.worker.plain import tail

_HERE = "here-"  # begins the handle of a step on the worker's machine
_COUNT = 0.5  # seconds between two signs of life
_LOOK = 2.0  # seconds between two questions to the scheduler
_GRACE = 4.0  # seconds for the last word of a node to be seen on a shared disk
_PATIENCE = 30.0  # seconds for what was cancelled to end; a node ends it by itself otherwise


@dataclass
class _Given:
    step: Step
    order: Order
    looked: float
    gone: float = 0.0  # when the scheduler was first seen to have nothing of it any more
    ended: Ended | None = None


@dataclass
class Cluster(ABC):
    """An executor whose steps run on other machines.

    Args:
        silence: seconds after which a node ends the step of a worker that gives no sign of life. Less than a lease
            lasts, so that it has ended before another worker begins.
    """

    silence: float = 20.0
    _given: dict[str, _Given] = field(default_factory=dict, init=False, repr=False)
    _local: Local = field(default_factory=Local, init=False, repr=False)
    _counting: threading.Thread | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @abstractmethod
    def _submit(self, step: Step, order: Order) -> str:
        """Have an order run on a node, once; a handle to that."""

    @abstractmethod
    def _over(self, handle: str) -> str | None:
        """Why the scheduler neither runs an order nor will; None if it does, or if that cannot be known now."""

    @abstractmethod
    def _stop(self, handle: str) -> None:
        """Have the scheduler end it, or not begin it."""

    def start(self, step: Step) -> str:
        """Hand a step to the scheduler."""
        if step.use == "hardly":
            return _HERE + self._local.start(step)
        (step.folder / LOG).write_bytes(b"")
        order = Order.give(step, self.silence)
        handle = self._submit(step, order)
        self._given[handle] = _Given(step, order, time.monotonic())
        with self._lock:
            if self._counting is None:
                self._counting = threading.Thread(target=self._count, name="counting", daemon=True)
                self._counting.start()
        return handle

    def poll(self, handle: str) -> Ended | None:
        """How a step ended, as its node says.

        Raises:
            EdgelmError: the scheduler has nothing of it any more, and its node said nothing.
        """
        if handle.startswith(_HERE):
            return self._local.poll(handle.removeprefix(_HERE))
        given, now = self._given[handle], time.monotonic()
        if given.ended is None:
            given.ended = given.order.ended()
        if given.ended is None and now - given.looked > _LOOK:
            given.looked = now
            why = self._over(handle)
            given.gone = (given.gone or now) if why else 0.0
            if why and now - given.gone > _GRACE:
                given.ended = Ended("cancelled")
                raise EdgelmError(f"{given.step.name} is lost with its node: {why}")
        return given.ended

    def cancel(self, handle: str) -> None:
        """End a step, or take it from the queue; it is gone when this returns, unless its node cannot be reached."""
        if handle.startswith(_HERE):
            return self._local.cancel(handle.removeprefix(_HERE))
        given = self._given[handle]
        if given.ended is not None:
            return None
        given.ended = Ended("cancelled")  # which ends the counting, too
        self._stop(handle)
        deadline = time.monotonic() + max(_PATIENCE, self.silence)
        while given.order.ended() is None and self._over(handle) is None and time.monotonic() < deadline:
            time.sleep(_COUNT / 2)
        return None

    def logs(self, handle: str, most: int = 64 << 10) -> str:
        """The end of what it said."""
        if handle.startswith(_HERE):
            return self._local.logs(handle.removeprefix(_HERE), most)
        return tail(self._given[handle].step.folder / LOG, most)

    def _count(self) -> None:
        """Give all nodes signs of life, as long as this process lives."""
        for number in count():
            for given in list(self._given.values()):
                if given.ended is None:
                    with contextlib.suppress(OSError):
                        given.order.count(number)
            time.sleep(_COUNT)
