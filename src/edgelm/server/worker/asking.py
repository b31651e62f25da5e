"""Asking a model in its box: bare requests go in, answers come out, and each is on the server a second later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgelm.server.worker import plain
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.journal import LOG, Journal
from edgelm.server.worker.rendering import REQUESTS, Asked, Rendered
from edgelm.server.worker.steps import Done, Steps

ANSWER = "edgelm.evaluate.bare"  # the program within


def ask(steps: Steps, asked: Asked, rendered: Rendered, journal: Journal, folder: Path) -> None:
    """Have everything answered that is not in the journal yet.

    Args:
        steps: that run.
        asked: what is.
        rendered: the requests.
        journal: that the answers go to.
        folder: for what goes into the box and comes out; what a worker that was killed left there is taken, too.

    Raises:
        Fault: the participant's, if the model leaves questions without an answer; or the platform's.
    """
    writes = folder / "writes"
    taken = _take_all(journal, writes, rendered) if writes.is_dir() else 0
    if lines := rendered.lines(journal.texts):
        taken = 0

        def tick() -> None:
            nonlocal taken
            before, taken = taken, journal.take(writes, rendered.requests, taken)
            if taken > before:
                _tell(steps, rendered, journal)

        try:
            done = answered(steps, asked, rendered, lines, writes, asked.part("tasks"), tick)
        finally:  # also of a job that is given back
            _take_all(journal, writes, rendered, taken)
        if done.ended.reason != "exit" or done.ended.code < 0 or rendered.lines(journal.texts):
            if not done.good:
                raise steps.fault(done)
            raise Fault("participant", "crash", f"{done.step.name}: questions were left without an answer")
    _tell(steps, rendered, journal)


def answered(
    steps: Steps, asked: Asked, rendered: Rendered, lines: bytes, writes: Path, name: str,
    tick: Callable[[], object] = lambda: None, shares: int = 1,
) -> Done:  # fmt: skip
    """Answer requests in a fresh box, in so many shares."""
    shown = writes.with_name(f"{writes.name}-shown")  # what the box sees of the requests
    for path in (writes, shown):
        plain.remove(path)
    shown.mkdir(parents=True)
    (shown / REQUESTS).write_bytes(lines)
    words = (ANSWER, str(asked.checkpoint), str(shown / REQUESTS), str(writes / LOG), asked.engine, rendered.prompting,
             str(shares))  # fmt: skip
    return steps.boxed(name, words, [asked.checkpoint, shown], writes, tick, hidden=asked.hidden)


def _take_all(journal: Journal, writes: Path, rendered: Rendered, taken: int = 0) -> int:
    while (more := journal.take(writes, rendered.requests, taken)) > taken:
        taken = more
    return taken


def _tell(steps: Steps, rendered: Rendered, journal: Journal) -> None:
    """How much of each task is answered."""
    for part, keys in rendered.parts.items():
        done = sum(key in journal.texts for key in keys)
        if done and (done, len(keys)) != steps.job.done.get(part, (0, 0, None))[:2]:
            steps.bench.calls.progress(steps.job, part=part, done=done, of=len(keys))
