"""What was answered: all logs of a report folder read as one, and the one log that this run appends to.

A run writes to a log of its own alone, so logs of several machines are merged by copying them into one `log/` folder.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgelm.engines.base import Reply
from edgelm.errors import BadFile, BadOption
from edgelm.evaluate.questions import Shard
from edgelm.files import JsonLog, disk_errors, make_parent

LOGS = "log"
WHOLE = "answers.jsonl"  # the log of a run that is no shard


class Kept:
    """The answers of a report folder by key; use `with`. If that ends in an error with nothing kept, nothing is left.

    Attributes:
        rows: what a `Reply` holds, by its key. Where logs differ, the first in the order of their names wins.

    Raises:
        BadOption: another run is writing to this folder.
        BadFile: a log is damaged, other than by a kill at its end.
    """

    def __init__(self, out: Path, shard: Shard | None = None, say: Callable[[str], object] = lambda text: None) -> None:
        self._out, self._shard, self._say = out, shard, say
        self._log = JsonLog(out / LOGS / (f"shard-{shard.number}-of-{shard.of}.jsonl" if shard else WHOLE))
        self._open = contextlib.ExitStack()
        self._made = not out.exists()
        self.rows: dict[str, Mapping[str, Any]] = {}

    def __enter__(self) -> Kept:
        with contextlib.ExitStack() as opened:
            opened.enter_context(alone(self._out, self._shard))
            opened.enter_context(self._log)
            self.read()
            self._open = opened.pop_all()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error:
            self._leave_nothing_empty()
        self._open.close()

    def _leave_nothing_empty(self) -> None:
        """Remove the folder if this run made it and there is nothing in it but the run's own locks, still held."""
        locks = _locks(self._out, self._shard)
        if self._made and {path for path in self._out.rglob("*") if path.is_file()} <= set(locks):
            with contextlib.suppress(OSError):  # somebody else has come meanwhile
                for path in locks:
                    path.unlink(missing_ok=True)
                (self._out / LOGS).rmdir()
                self._out.rmdir()

    def read(self) -> None:
        """Read all logs, also what others wrote meanwhile. A tear in one's own is mended and said, no other."""
        self._log.sync()
        for path in sorted((self._out / LOGS).glob("*.jsonl")):
            for row in JsonLog(path).read(repair=path == self._log.path, say=self._say_torn):
                if not isinstance(row.get("key"), str):
                    raise BadFile(f"{path} is no log of answers", mend="remove it from the folder")
                self.rows.setdefault(row["key"], row)

    def _say_torn(self, text: str) -> None:
        self._say(f"{text}; what it held is asked again")

    def add(self, replies: Iterable[Reply]) -> None:
        """Keep answers: one write for all of them."""
        new = (vars(reply) for reply in replies if reply.key not in self.rows)
        rows = [{name: value for name, value in row.items() if value is not None} for row in new]
        self._log.append(rows)
        self.rows.update((row["key"], row) for row in rows)

    def sync(self) -> None:
        """Hand to the disk what has been kept so far."""
        self._log.sync()


@contextlib.contextmanager
def alone(out: Path, shard: Shard | None = None) -> Iterator[None]:
    """Be the only one that writes to a report folder. Shards run side by side, each once.

    Raises:
        BadOption: another run is writing to it.
    """
    common, *own = _locks(out, shard)
    with contextlib.ExitStack() as held:
        held.enter_context(_locked(common, fcntl.LOCK_SH if shard else fcntl.LOCK_EX))
        for path in own:
            held.enter_context(_locked(path, fcntl.LOCK_EX))
        yield


def _locks(out: Path, shard: Shard | None) -> list[Path]:
    """The lock that all runs share, and that of a shard."""
    common = out / LOGS / ".lock"
    return [common, common.with_name(f".lock-{shard.number}-of-{shard.of}")] if shard else [common]


@contextlib.contextmanager
def _locked(path: Path, sort: int) -> Iterator[None]:
    """Hold a lock that the system lets go when this process ends, however it ends."""
    make_parent(path)
    with disk_errors(path):  # of opening alone: what fails under the lock says itself what it is
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, sort | fcntl.LOCK_NB)
        except BlockingIOError:
            folder = path.parent.parent
            raise BadOption(f"another run is writing to {folder}", mend="wait for it, or choose another -o") from None
        except OSError:  # a network file system without locks: nothing can be said
            pass
        yield
