"""The executor that a spec names: `local`, `slurm:partition=long,cpus=8`, `ray:address=auto`."""

from __future__ import annotations

from typing import cast

from edgelm.errors import UnknownName
from edgelm.plugins import made
from edgelm.server.worker.executors.base import Executor
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.executors.ray import Ray
from edgelm.server.worker.executors.slurm import Slurm

EXECUTORS: dict[str, type] = {"local": Local, "slurm": Slurm, "ray": Ray}


def find_executor(spec: str) -> Executor:
    """Make it.

    Raises:
        UnknownName: there is none of that name.
        BadOption: it has no such option.
        MissingPackage, Unsupported: what it needs is not here.
    """
    name = spec.partition(":")[0]
    if name not in EXECUTORS:
        raise UnknownName("executor", name, EXECUTORS)
    return cast(Executor, made(EXECUTORS[name], spec))
