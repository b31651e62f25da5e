"""A bundle on this machine: our runner, built for it, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from edgelm.bundle import Bundle
from edgelm.devices.base import Measurement, Progress
from edgelm.devices.bundled import measured, positions, require_bundle_runnable
from edgelm.devices.host import conditions, machine
from edgelm.devices.meters import Sampler
from edgelm.errors import EdgelmError, InputError, Unsupported
from edgelm.native.build import built
from edgelm.native.runner import Runner, command
from edgelm.report import Workload


def measure_bundle(
    bundle: Bundle, workload: Workload, *, threads: int, memory_limit: int, time_limit: int, progress: Progress
) -> Measurement:
    """Measure a bundle by the runner for this machine, which is built first where it is not there yet.

    Args:
        bundle: any that holds a GGUF file.
        workload: of one sequence.
        threads: 0 leaves what the runner chooses.
        memory_limit: bytes that the runner may take; 0 for no limit.
        time_limit: seconds until the measurement is given up.
        progress: is told of building, then of stages.

    Raises:
        BadOption, Unsupported: it cannot be run, does not fit the memory, or time is up.
        BadFile: its file is damaged.
        EdgelmError: the runner broke down.
    """
    require_bundle_runnable(bundle, workload)
    bundle.verify(bundle.model.name)
    runner = built("host", progress)
    words = command(str(runner), str(bundle.model), context=positions(workload), threads=threads,
                    memory_limit=memory_limit)  # fmt: skip
    before = conditions()
    with _started(words, time_limit) as process, Sampler(process.pid) as sampler:
        started = Runner(process)
        measurement = measured(
            started, bundle, workload, "local:cpu", progress, conditions=before, machine=machine(),
            memory=lambda: {"host-peak": started.memory()["VmHWM"], **sampler.peaks}, warmed=sampler.stop,
        )  # fmt: skip
        started.close()
    speed = measurement.speed.model_copy(update={"memory_over_time": sampler.kept})
    return measurement.model_copy(update={"speed": speed})


@contextmanager
def _started(words: list[str], time_limit: int) -> Iterator[subprocess.Popen[str]]:
    """The runner's process, which is ended after the time limit, and in any case with the block.

    Raises:
        Unsupported: time was up.
    """
    late = threading.Event()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          encoding="utf-8", errors="replace") as process:  # fmt: skip

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(time_limit, give_up)
        timer.start()
        try:
            yield process
        except EdgelmError as error:
            if late.is_set():
                raise Unsupported(
                    f"the measurement was not done after {time_limit} s",
                    mend="raise it (local:time_limit=…), or lower --prompt-tokens, --generated-tokens or --repeats",
                ) from None
            if process.poll() == -signal.SIGKILL and not isinstance(error, InputError):
                raise Unsupported(
                    "the model ran out of memory on this machine",
                    why="the system killed the runner, which it does when memory is full",
                    mend="close other programs, compress further, or use a larger machine",
                ) from None
            raise
        finally:
            timer.cancel()
            process.kill()
