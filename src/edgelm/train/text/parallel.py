"""A function over a stream of chunks, in this process or in several, with the results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from edgelm.errors import BadOption

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
AHEAD = 3  # chunks for each process that are read before their turn


def in_order(
    make: Callable[[], Callable[[Chunk], Result]], chunks: Iterable[Chunk], workers: int
) -> Iterator[tuple[Chunk, Result]]:
    """Each chunk and its result, in the order of the chunks, whatever the number of processes.

    Args:
        make: gives the function; called once in each process, so what it needs can be sent there.
        chunks: read a little ahead.
        workers: processes; with one, all happens here.

    Raises:
        BadOption: a process was killed.
    """
    if workers <= 1:
        function = make()
        yield from ((chunk, function(chunk)) for chunk in chunks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(make,))
    waiting: deque[tuple[Chunk, Future[Any]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_work, chunk)))
            if len(waiting) > AHEAD * workers:
                first, result = waiting.popleft()
                yield first, result.result()
        while waiting:
            first, result = waiting.popleft()
            yield first, result.result()
    except BrokenProcessPool:
        raise BadOption("a process that prepares text was ended from outside", why="often by a lack of memory",
                        mend="run again with fewer workers") from None  # fmt: skip
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What a worker process has: how its function is made, and the function once it is."""

    make: Callable[[], Callable[[Any], Any]]
    function: Callable[[Any], Any] | None = None


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to end
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.make = make


def _work(chunk: Any) -> Any:
    if _Worker.function is None:  # made here and not in the beginning, so that its errors reach the parent
        _Worker.function = _Worker.make()
    return _Worker.function(chunk)


def _end_with_parent() -> None:
    """End this process when its parent does, however that is: nobody else would tell it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
