"""Steps as jobs of Slurm, by its own commands.

Submitit would bring a pickled Python function to the node and a pickle back, and runs what was pre-empted once more. A
step is a command of words, runs once, and says how it ended in plain text that is safe to read: `sbatch` takes it as
it is. Whether a job still runs is asked of `squeue`; `sacct` says why one does not, where accounting is on.
"""

from __future__ import annotations

import math
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from edgelm.errors import EdgelmError, Unsupported
from edgelm.server.worker.executors.base import Step
from edgelm.server.worker.executors.cluster import Cluster
from edgelm.server.worker.executors.node import Order

_OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
         "REVOKED", "TIMEOUT"}  # fmt: skip
_UNKNOWN = "Invalid job id"  # what squeue says of a job that ended minutes ago
_SECONDS = 60.0  # for the controller to answer
_MARGIN = 10  # minutes that a job may take beyond its step


@dataclass
class Slurm(Cluster):
    """The cluster that `sbatch` on this machine submits to.

    Args:
        partition: the default one if empty.
        account: that is charged; the default one if empty.
        cpus: processors of a step.
        gpus: of a step.
        memory: bytes to ask for; what the partition gives if 0.

    Raises:
        Unsupported: Slurm's commands are not here.
    """

    partition: str = ""
    account: str = ""
    cpus: int = 1
    gpus: int = 0
    memory: int = 0

    def __post_init__(self) -> None:
        missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
        if missing:
            raise Unsupported(f"the executor slurm needs {', '.join(missing)}", why="Slurm's commands are not here",
                              mend="run the worker on a login node, or install slurm-client")  # fmt: skip

    def capabilities(self) -> dict[str, Any]:
        """The version, and where jobs go."""
        version = _call("sbatch", "--version").stdout.strip()
        return {"executor": "slurm", "version": version, "partition": self.partition or "default"}

    def _submit(self, step: Step, order: Order) -> str:
        words = [sys.executable, "-I", "-m", "edgelm.server.worker.executors.node", str(order.path)]
        minutes = math.ceil(step.limits.seconds / 60) + _MARGIN
        options = {
            "job-name": f"edgelm-{step.name}", "output": order.path.with_suffix(".slurm"), "chdir": "/",
            "export": "NONE", "open-mode": "append", "ntasks": 1, "cpus-per-task": self.cpus, "time": minutes,
            "partition": self.partition, "account": self.account, "gpus": self.gpus,
            "mem": f"{math.ceil(self.memory / 2**20)}M" if self.memory else "",
        }  # fmt: skip
        asked = [f"--{name}={value}" for name, value in options.items() if value]
        if step.use == "alone":
            asked.append("--exclusive")  # of other users, too
        done = _call("sbatch", "--parsable", "--no-requeue", *asked, said=f"#!/bin/sh\nexec {shlex.join(words)}\n")
        if done.returncode:
            raise EdgelmError("Slurm does not take a step", why=done.stderr.strip()[-500:],
                              mend="see the options of --executor slurm, and sinfo")  # fmt: skip
        return done.stdout.strip().partition(";")[0]  # without the cluster's name

    def _over(self, handle: str) -> str | None:
        done = _call("squeue", "--noheader", "--states=all", f"--jobs={handle}", "--format=%T")
        state = done.stdout.strip()
        if done.returncode and _UNKNOWN not in done.stderr:  # the controller is away; the node goes on without it
            return None
        if done.returncode or not state:
            state = _accounted(handle)
        elif state not in _OVER:
            return None
        return f"Slurm's job {handle} is over: {state}"

    def _stop(self, handle: str) -> None:
        _call("scancel", handle)


def _accounted(job: str) -> str:
    """What accounting says of a job that has left the queue, where there is accounting."""
    if shutil.which("sacct") is None:
        return "it left the queue"
    done = _call("sacct", "--noheader", "--allocations", f"--jobs={job}", "--format=State%40")
    return (done.returncode == 0 and done.stdout.strip()) or "it left the queue"


def _call(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """A command of Slurm's, to its end; one that takes too long has failed."""
    try:
        return subprocess.run(words, input=said, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", "the controller does not answer")
