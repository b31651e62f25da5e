"""Real clusters of this machine alone: Slurm with one node, and Ray with two."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgelm.server.worker.executors.base import Executor
from edgelm.server.worker.executors.find import find_executor

_TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
_CONF = """
ClusterName=edgelm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,defer_batch
SlurmdTimeout=10
KillWait=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(params=["slurm", "ray"])
def spec(request: pytest.FixtureRequest) -> str:
    """What names a cluster that runs, of each kind in turn; its nodes soon miss a worker."""
    cluster = request.getfixturevalue(request.param)
    return "slurm:silence=1.5" if request.param == "slurm" else f"ray:address={cluster.address},silence=1.5"


@pytest.fixture
def executor(spec: str) -> Executor:
    return find_executor(spec)


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """A cluster of two nodes, both on this machine; more can be added."""
    pytest.importorskip("ray", reason="Ray is not installed (extra: ray)")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
    cluster.add_node(num_cpus=4)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def slurm(_slurm: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a running Slurm, whose commands speak to it in this test."""
    monkeypatch.setenv("SLURM_CONF", str(_slurm / "slurm.conf"))
    return _slurm


@pytest.fixture(scope="session")
def _slurm() -> Iterator[Path]:
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    missing = [name for name in _TOOLS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"Slurm is not installed (Debian: slurm-wlm, munge): no {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("slurmd runs jobs as root alone")
    folder = Path(tempfile.mkdtemp(prefix="edgelm-slurm-"))  # the path of a socket must be short
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        conf = folder / "slurm.conf"
        conf.write_text(_CONF.format(folder=folder, host=host, control=_port(), node=_port()))
        env = os.environ | {"SLURM_CONF": str(conf)}

        def run(*words: str) -> None:
            with (folder / f"{words[0]}.said").open("wb") as said:
                process = subprocess.Popen(words, stdout=said, stderr=said, env=env)

            def end() -> None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

            stack.callback(end)

        files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        run("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files)
        _wait(lambda: (folder / "munge.socket").exists(), folder)
        run("slurmctld", "-D", "-i", "-f", str(conf))
        run("slurmd", "-D", "-f", str(conf), "-N", host)
        ready = ("sinfo", "--noheader", "--states=idle", "--format=%n")
        _wait(lambda: subprocess.run(ready, capture_output=True, env=env, check=False).stdout.strip(), folder)
        yield folder


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait(ready: Callable[[], object], folder: Path, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            said = {path.name: path.read_text(errors="replace")[-1000:] for path in folder.glob("*.*")
                    if path.suffix in (".said", ".log")}  # fmt: skip
            pytest.fail(f"Slurm does not start: {json.dumps(said, indent=1)}")
        time.sleep(0.1)
