"""Many sources at once: those that are not here are fetched into the cache, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgelm.data.fetch import fetch, length
from edgelm.data.folder import DataFolder, cache_folder
from edgelm.data.sources import Source
from edgelm.errors import InputError, MissingInput, Offline

AT_ONCE = 4  # downloads; upstream's hosts are others' machines
Progress = Callable[[str, int, int | None], object]  # told a source's name, bytes that are here, and of how many


def place(source: Source) -> Path:
    """Where a fetched source stands."""
    return cache_folder() / "data" / source.name


def missing(data: DataFolder, sources: Iterable[Source]) -> list[Source]:
    """The sources that are neither in the folder nor in the cache. `data` is offline, so that nothing is fetched."""
    assert data.offline
    return [source for source in sources if not _is_here(data, source)]


def _is_here(data: DataFolder, source: Source) -> bool:
    try:
        data.path(source.name)
    except (MissingInput, Offline):
        return False
    return True


def pull(sources: Sequence[Source], progress: Progress = lambda name, here, of: None) -> dict[str, InputError]:
    """Fetch sources into the cache; what could not be had, by name, with the reason."""
    stop = threading.Event()
    failed: dict[str, InputError] = {}

    def bring(source: Source) -> None:
        def told(here: int, of: int | None) -> None:
            if stop.is_set():
                raise _Stopped
            progress(source.name, here, of)

        try:
            fetch(source, place(source), told)
        except InputError as error:
            failed[source.name] = error

    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            list(threads.map(bring, sources))
        except BaseException:  # an interrupt: downloads end at their next chunk, what they brought is kept
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise
    return failed


def lengths(sources: Sequence[Source]) -> list[int | None]:
    """How many bytes each source has, as far as upstream says."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(length, sources))


class _Stopped(Exception):
    """The person has interrupted the work."""
