"""A worker's life: lease, work, hand in, again; with pauses while nothing waits, and longer ones while it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from edgelm.errors import EdgelmError
from edgelm.server.worker.calls import Job, Lost
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.keeping import Keeping
from edgelm.server.worker.work import Bench, work

IDLE, LONGEST = 2.0, 300.0  # seconds between two questions for a job


class Stopped(BaseException):
    """The worker was asked to end: its job goes back to the queue."""


def run(
    bench: Bench, tags: Sequence[str] = (), *, once: bool = False, say: Callable[[str], object] = lambda text: None,
    idle: float = IDLE, stop: threading.Event | None = None,
) -> None:  # fmt: skip
    """Work until it is stopped.

    Args:
        bench: what it works with.
        tags: of what this machine has.
        once: end when nothing waits.
        say: told of each job.
        idle: seconds between two questions while nothing waits; after faults of the platform they double.
        stop: ends it between two jobs.
    """
    stop, pause = stop or threading.Event(), idle
    while not stop.is_set():
        try:
            job = bench.calls.lease(tags)
            good = job is None or do(bench, job, say)
        except EdgelmError as error:
            if once:
                raise
            say(str(error))
            job, good = None, False
        pause = idle if good else min(2 * pause, LONGEST)
        if job is None and good and once:
            return
        if job is None or not good:
            stop.wait(pause)


def do(bench: Bench, job: Job, say: Callable[[str], object]) -> bool:
    """Do a job and see that the server knows how it ended; whether this machine is good for another."""
    say(f"{job.kind} of submission {job.submission}, job {job.id}, lease {job.fence}")
    try:
        with Keeping(bench.calls, job) as keeping:
            work(bench, job, keeping)
    except Lost as lost:
        say(lost.what)
        return True
    except Fault as fault:
        say(f"{fault.fault}: {fault.what}")
        return _released(bench, job, fault.fault, fault.code, fault.what) and fault.fault == "participant"
    except (EdgelmError, OSError) as error:
        say(f"platform: {error}")
        what = error.what if isinstance(error, EdgelmError) else str(error)
        _released(bench, job, "platform", "platform-fault", what)
        return False
    except (Stopped, KeyboardInterrupt):
        _released(bench, job, "", "", "")
        raise
    say("done")
    return True


def stops_at_once(_: int, __: FrameType | None) -> None:
    """End the job at hand, as a handler of a signal."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _released(bench: Bench, job: Job, fault: str, code: str, sentence: str) -> bool:
    try:
        bench.calls.release(job, fault, code, sentence)
    except EdgelmError:  # lost, or the server is away: the lease ends by itself
        return False
    return True
