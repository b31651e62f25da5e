"""Run in a box: try to get out of it, and say what was possible. Its text is passed in: nothing of edgelm is."""

import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

orders: dict[str, Any] = json.loads(sys.argv[1])
tried: list[str] = []
holes: dict[str, str] = {}


class Held(Exception):
    """The box held."""


def attempt(name: str, reach: Callable[[], object]) -> None:
    """Try something that a box must make impossible."""
    tried.append(name)
    with contextlib.suppress(OSError, Held):
        holes[name] = str(reach())[:100]


def connect(family: int, kind: int, address: Any) -> str:
    """Reach a socket outside."""
    with socket.socket(family, kind) as made:
        made.settimeout(2)
        made.connect(address)
        made.send(b"x")
        return "reached"


def others() -> list[int]:
    """Processes that can be seen, beside this one and what started it."""
    seen = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    if len(seen) <= 3:
        raise Held
    return seen


def signalled() -> str:
    """Reach a process outside: the one of that number may be another in here."""
    os.kill(orders["process"], 0)
    if b"sleep" not in Path(f"/proc/{orders['process']}/cmdline").read_bytes():
        raise Held
    return "signalled"


def first_process() -> str:
    """Reach the memory of the box's first process, by which all that is refused here might be done there."""
    with Path("/proc/1/mem").open("r+b", buffering=0):
        return "reached"


def variables() -> list[str]:
    """Variables that were not given."""
    strange = sorted(set(os.environ) - set(orders["known"]) - {"PWD", "LC_CTYPE"})
    if not strange:
        raise Held
    return strange


def forked() -> int:
    """Start more processes than are allowed, that live at once."""
    held, holding = os.pipe()
    made = []
    try:
        for _ in range(1100):
            pid = os.fork()
            if pid == 0:
                os.close(holding)
                os.read(held, 1)
                os._exit(0)
            made.append(pid)
    finally:
        os.close(holding)
        for pid in made:
            os.waitpid(pid, 0)
    return len(made)


def written(folder: str) -> str:
    """Write a gigabyte into a file."""
    path, chunk = Path(folder, "large"), bytes(1 << 24)
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(64):
                if file.write(chunk) < len(chunk):
                    raise OSError(errno.ENOSPC, "full")
    finally:
        path.unlink(missing_ok=True)
    return "a gigabyte"


def made(folder: str) -> Path:
    """Make a file."""
    path = Path(folder, "made")
    path.touch()
    return path


def beyond(grow: Callable[[Any], object]) -> str:
    """Make a file larger than a file may be, of few bytes on the disk."""
    path = Path(orders["writes"], "grown")
    try:
        with path.open("wb", buffering=0) as file:
            grow(file)
            return f"{os.fstat(file.fileno()).st_size:,} bytes"
    finally:
        path.unlink(missing_ok=True)


def clock_set() -> str:
    """Set the clock to what it says."""
    time.clock_settime(time.CLOCK_REALTIME, time.time())
    return "set"


def calls_answered() -> list[str]:
    """Make system calls that a filter refuses, with arguments that are wrong for all of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    wrong = [ctypes.c_long(-1)] * 6
    answered = []
    for name, number in orders["calls"].items():
        libc.syscall(ctypes.c_long(number), *wrong)
        if ctypes.get_errno() != errno.EPERM:
            answered.append(name)
    if not answered:
        raise Held
    return answered


signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file beyond the limit on its size is an error, and not the end
attempt("socket tcp", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", orders["port"])))
attempt("socket udp", lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)))
attempt("socket abstract", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + orders["name"]))
attempt("file outside", lambda: Path(orders["file"]).read_bytes())
attempt("passwords", lambda: Path("/etc/passwd").read_bytes())
attempt("process seen", others)
attempt("process signalled", signalled)
attempt("first process", first_process)
attempt("environment", variables)
attempt("weights written", lambda: made(orders["readable"]))
attempt("root written", lambda: made("/"))
attempt("runtime written", lambda: made(str(Path(os.__file__).parent)))
attempt("gigabyte in /tmp", lambda: written("/tmp"))
attempt("gigabyte in /dev/shm", lambda: written("/dev/shm"))
attempt("gigabyte in the folder", lambda: beyond(lambda file: (file.seek(1 << 30), file.write(b"x"))))
attempt("terabyte claimed", lambda: beyond(lambda file: file.truncate(1 << 40)))
attempt("clock set", clock_set)
attempt("system calls", calls_answered)
attempt("1,100 processes", forked)
try:  # what must be possible
    made(orders["writes"]).unlink()
    made("/tmp").unlink()
except OSError as error:
    holes["not writable"] = str(error)
print(json.dumps({"tried": tried, "holes": holes}))
