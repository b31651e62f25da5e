"""A worker's life: lease, work, hand in, again; with pauses while nothing waits, and longer ones while it fails."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from types import FrameType

from edgelm.errors import EdgelmError
from edgelm.rules.base import Rules
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Away, BadKey, Calls, Job, Lost
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.keeping import Keeping, Stopped
from edgelm.server.worker.work import work

IDLE, LONGEST = 2.0, 300.0  # seconds between two questions for a job


def run(
    bench: Bench, tags: Sequence[str] = (), *, once: bool = False, say: Callable[[str], object] = lambda text: None,
    idle: float = IDLE, stop: threading.Event | None = None, leave: threading.Event | None = None,
) -> None:  # fmt: skip
    """Work until it is stopped.

    Args:
        bench: what it works with.
        tags: of what this machine has.
        once: end when nothing waits.
        say: told of each job.
        idle: seconds between two questions while nothing waits; after faults of the platform they double.
        stop: ends it between two jobs.
        leave: ends it within a job, too, which goes back to the queue.

    Raises:
        BadKey: the server knows no worker by this key.
    """
    stop, pause = stop or threading.Event(), idle
    while not stop.is_set():
        try:
            job = bench.calls.lease(tags)
            good = job is None or do(bench, job, say, leave)
        except BadKey:
            raise
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


def rules_in_force(
    calls: Calls, *, once: bool = False, say: Callable[[str], object] = lambda text: None, idle: float = IDLE
) -> Rules:
    """What the server asks workers for; it is asked again until it answers, unless `once`."""
    while True:
        try:
            return calls.rules()
        except Away as error:
            if once:
                raise
            say(str(error))
            time.sleep(idle)


def run_several(
    benches: Sequence[Bench], tags: Sequence[str] = (), *, once: bool = False,
    say: Callable[[str], object] = lambda text: None, idle: float = IDLE,
) -> None:  # fmt: skip
    """Work at as many jobs at once as there are benches, each with its lease. Asked to end, all go back to the queue.

    Args:
        benches: with calls of their own each.
        tags: see `run`.
        once: end when nothing waits.
        say: told of each job, by several threads.
        idle: see `run`.
    """
    leave = threading.Event()
    with ThreadPoolExecutor(len(benches)) as pool:
        running = [pool.submit(run, bench, tags, once=once, say=say, idle=idle, stop=leave, leave=leave)
                   for bench in benches]  # fmt: skip
        try:
            for each in wait(running, return_when=FIRST_EXCEPTION).done:
                each.result()
        except BaseException:
            leave.set()
            raise


def do(bench: Bench, job: Job, say: Callable[[str], object], leave: threading.Event | None = None) -> bool:
    """Do a job and see that the server knows how it ended; whether this machine is good for another."""
    say(f"{job.kind} of submission {job.submission}, job {job.id}, lease {job.fence}")
    try:
        with Keeping(bench.calls, job, leave) as keeping, _stopping():
            work(bench, job, keeping)
    except Lost as lost:
        say(lost.what)
        return True
    except Fault as fault:
        say(f"{fault.fault}: {fault.what}" + (f"; mend: {fault.mend}" if fault.mend else ""))
        known = _released(bench, job, fault.fault, fault.code, fault.what, away=fault.away)
        return known and (fault.fault == "participant" or fault.away)
    except (EdgelmError, OSError) as error:  # of the folder that it would have worked in
        say(f"platform: {error}")
        sentence = error.what if isinstance(error, EdgelmError) else str(error)
        _released(bench, job, "platform", "platform-fault", sentence)
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


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """What goes wrong while a worker that was asked to end sends its last answers does not keep it from ending."""
    try:
        yield
    except Exception as error:
        before: BaseException | None = error
        while before is not None:
            if isinstance(before, (Stopped, KeyboardInterrupt)):
                raise Stopped from error
            before = before.__context__
        raise


def _released(bench: Bench, job: Job, fault: str, code: str, sentence: str, *, away: bool = False) -> bool:
    try:
        bench.calls.release(job, fault, code, sentence, away=away)
    except EdgelmError:  # lost, or the server is away: the lease ends by itself
        return False
    return True
