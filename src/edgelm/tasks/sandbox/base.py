"""What a sandbox is, what it allows, and how a program's outcome is decided from outside it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.resources import files
from typing import IO, Any, Protocol

from edgelm.errors import Unsupported
from edgelm.tasks.sandbox.inside import BEGUN, SECRET

START_SECONDS = 20  # for the interpreter to begin, on a machine however busy


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    Attributes:
        seconds: wall time from the moment that the program begins.
        memory: bytes of address space of each process.
        processes: processes and threads at once, the sandbox's own two included.
        disk: bytes in its folder, all files together, and in each of them.
        open_files: descriptors of each process.
    """

    seconds: float = 3.0
    memory: int = 512 << 20
    processes: int = 16
    disk: int = 16 << 20
    open_files: int = 64

    def of_process(self) -> dict[str, int]:
        """The limits that a process sets on itself, by the names of setrlimit(2)."""
        return {
            "AS": self.memory, "NPROC": self.processes, "FSIZE": self.disk, "NOFILE": self.open_files,
            "CPU": int(self.seconds) + 2, "MEMLOCK": 0, "MSGQUEUE": 0,
            "CORE": 1,  # none into a file and, unlike 0, none into a program that collects them
        }  # fmt: skip


@dataclass(frozen=True)
class FirstProcess:
    """The process whose end is the end of all in a sandbox, by number and by handle (a pidfd)."""

    pid: int
    handle: int


@dataclass(frozen=True)
class Running:
    """What was started: the process at our side, where the outcome is told, and the sandbox's first process."""

    process: subprocess.Popen[bytes]
    tells: int
    first: FirstProcess | None = None

    def write(self, data: bytes) -> None:
        """Give it all that it will ever read."""
        assert self.process.stdin is not None
        rest = memoryview(data)
        with contextlib.suppress(BrokenPipeError):  # it did not start, which shows when it tells nothing
            while rest:
                rest = rest[self.process.stdin.write(rest) :]
        self.process.stdin.close()

    def first_line(self) -> bytes:
        """The first line that it prints; nothing if it ends before, or says nothing for long."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        return self.process.stdout.readline() if ready else b""

    def last_words(self) -> str:
        """What a process that did not begin said on standard error."""
        assert self.process.stderr is not None
        self.process.kill()
        words = self.process.stderr.read(2000).decode(errors="replace").strip()
        return words or f"it ended with {self.process.wait()}"


class Sandbox(Protocol):
    """A place to run a stranger's program in."""

    @property
    def limits(self) -> Limits:
        """What one program may use."""
        ...

    def conditions(self) -> dict[str, Any]:
        """What it is and what it was found to hold.

        Raises:
            Unsupported: it cannot be had on this machine, or does not hold.
        """
        ...

    def start(self, orders: dict[str, Any]) -> AbstractContextManager[Running]:
        """Start `inside.py` with these orders; when the block ends, so has everything that was started."""
        ...


def ends_well(sandbox: Sandbox, program: str) -> bool:
    """Whether a program runs to its end without an exception, within the limits.

    The verdict is a secret that only the end of the program makes known, not an exit code or any output: a program that
    exits early, is killed or writes whatever it likes has not passed. One that searches the interpreter's own memory
    for the secret (by `gc.unfreeze`, by `ctypes`) can find it: what shares a process with its judge can always speak
    for it. By the benchmark's own rule an answer that returns an object equal to everything passes as well.

    Raises:
        Unsupported: the sandbox did not start.
    """
    secret = secrets.token_bytes(SECRET)
    with sandbox.start({"do": "run"}) as running:
        running.write(secret + program.encode("utf-8", "surrogatepass"))
        if _told(running.tells, len(BEGUN), START_SECONDS) != BEGUN:
            raise Unsupported("the sandbox did not start a program", why=running.last_words(),
                              mend="run it again; with sandbox=none programs run unconfined")  # fmt: skip
        return _told(running.tells, SECRET, sandbox.limits.seconds) == secret


def _told(descriptor: int, count: int, seconds: float) -> bytes:
    """The first `count` bytes, or as many as come until the writers are gone or the time is over."""
    deadline, told = time.monotonic() + seconds, b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(told) < count and poll.poll(max(0, deadline - time.monotonic()) * 1000):
        chunk = os.read(descriptor, count - len(told))
        if not chunk:
            break
        told += chunk
    return told


@contextlib.contextmanager
def pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A pipe's two ends, closed with the block."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", 0) as reader, os.fdopen(write, "wb", 0) as writer:
        yield reader, writer


def interpreter_words(
    python: str, orders: dict[str, Any], limits: Limits, tells: int, packages: str | None
) -> list[str]:
    """The command that runs `inside.py`: no environment, no site packages, no folder of the user's.

    One package is found in the folder `packages`, if it is given.
    """
    source = (files("edgelm.tasks.sandbox") / "inside.py").read_text(encoding="utf-8")
    whole = orders | {"limits": limits.of_process(), "tell": tells, "packages": packages}
    return [python, "-I", "-S", "-B", "-c", source, json.dumps(whole)]
