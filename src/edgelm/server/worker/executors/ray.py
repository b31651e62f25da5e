"""Steps as tasks of a Ray cluster, each on a node that has what it asks for. Extra: `ray`.

A task is tried once: what is lost with its node is the server's to give to another worker. Ray ends the tasks of a
worker that is gone by itself.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from itertools import count
from typing import Any

from edgelm.errors import MissingPackage, Unsupported
from edgelm.server.worker.executors.base import Step
from edgelm.server.worker.executors.cluster import Cluster
from edgelm.server.worker.executors.node import Order, run


@dataclass
class Ray(Cluster):
    """The cluster at an address, as `ray.init` takes it; that of this machine if it is `auto`.

    Args:
        address: of the cluster; this machine is one of its nodes.
        cpus: processors of a step.
        gpus: of a step.
        memory: bytes to ask for; 0 asks for none.

    Raises:
        MissingPackage: Ray is not installed.
        Unsupported: there is no cluster.
    """

    address: str = "auto"
    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0

    def __post_init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise MissingPackage("ray", "ray") from None
        self._ray: Any = ray
        try:
            _reach(self.address)
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise Unsupported(f"there is no Ray cluster at {self.address}", why=str(error).partition("\n")[0],
                              mend="start a node of it on this machine: ray start") from None  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._numbers = count(1)

    def capabilities(self) -> dict[str, Any]:
        """The version, the nodes, and what they have in all."""
        nodes = sum(bool(node["Alive"]) for node in self._ray.nodes())
        resources = self._ray.cluster_resources()
        return {"executor": "ray", "version": self._ray.__version__, "nodes": nodes,
                **{name.lower(): resources.get(name, 0) for name in ("CPU", "GPU", "memory")}}  # fmt: skip

    def _submit(self, step: Step, order: Order) -> str:
        asked = {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory or None}
        task = self._ray.remote(**asked, max_retries=0, max_calls=1, scheduling_strategy="SPREAD")(run)
        handle = str(next(self._numbers))
        self._tasks[handle] = task.options(name=f"edgelm-{step.name}").remote(str(order.path))
        return handle

    def _over(self, handle: str) -> str | None:
        task = self._tasks[handle]
        if not self._ray.wait([task], timeout=0)[0]:
            return None
        try:
            self._ray.get(task)
        except Exception as error:  # of many kinds: the node's, the task's own
            return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return "its task is over"

    def _stop(self, handle: str) -> None:
        self._ray.cancel(self._tasks[handle])


def _reach(address: str) -> None:
    """Connect to a `host:port` once: Ray waits for many minutes for one that nobody listens at.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
