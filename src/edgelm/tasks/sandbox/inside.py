"""The part that runs within the sandbox: it binds itself by limits, runs the program handed in, and tells of its end.

Its own source is passed to `python -I -S -c SOURCE ORDERS`, so it needs the standard library alone and no file that the
sandbox could see. ORDERS is JSON: the limits, what to do, the folder of the one package beside the standard library,
and the descriptor to tell the outcome on. Standard input holds a secret, then the program. One byte is told when the
program begins, the secret when it has run to its end without an exception; whatever ends the program in another way
ends this process too, and the secret is never told.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

SECRET = 16  # bytes
BEGUN = b"+"
PACKAGE = "numpy"  # what programs may import beside the standard library
# What OpenCompass's runner takes away from programs, so that one which calls it fails here too.
TAKEN: tuple[tuple[Any, str], ...] = (
    (builtins, "exit quit help"),
    (os, "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace "
         "unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir"),
    (shutil, "rmtree move chown"),
    (subprocess, "Popen"),
)  # fmt: skip
ABSENT = ("ipdb", "joblib", "resource", "psutil", "tkinter")  # modules that its programs cannot import


def main() -> None:
    """Do what the orders say."""
    orders = json.loads(sys.argv[1])
    sys.argv[1:] = []
    bind(orders["limits"])
    sys.meta_path.append(Beside(orders["packages"]))
    os.environ["OMP_NUM_THREADS"] = "1"  # as OpenCompass's runner sets it, for the package's libraries
    if orders["do"] == "look":
        print(json.dumps(look(orders)), flush=True)
        _read()  # nothing, until whoever started this has looked from outside
    else:
        # The map holds the only Python objects that know the secret. It stands on no frame and in no name, so that a
        # program must search the interpreter itself to find it.
        collections.deque(map(functools.partial.__call__, _steps(orders["tell"])), maxlen=0)


def bind(limits: dict[str, int]) -> None:
    """Set the limits of this process and all that it starts; they cannot be raised again."""
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        _, most = resource.getrlimit(number)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(number, (value, value))


class Beside:
    """Finds the one package in a folder, if there is one, and nothing else there."""

    def __init__(self, folder: str | None) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Where the package is; what is inside it is then found by its own path."""
        return PathFinder.find_spec(name, [self.folder]) if self.folder and name == PACKAGE else None


def _steps(tell: int) -> tuple[functools.partial[Any], ...]:
    """Run the program; tell the secret."""
    secret = _read(SECRET)
    program = _read().decode("utf-8", "surrogatepass")
    _close_the_streams()
    _import_early(program)
    for owner, names in TAKEN:
        for name in names.split():
            setattr(owner, name, None)
    sys.modules.update(dict.fromkeys(ABSENT))  # type: ignore[arg-type]
    steps = (functools.partial(exec, program, {}), functools.partial(os.write, tell, secret))
    os.write(tell, BEGUN)
    gc.freeze()  # out of what gc.get_objects lists
    return steps


def _import_early(program: str) -> None:
    """Import what takes long, or reads the working folder when first used, as OpenCompass's runner has by then."""
    if "multiprocessing" in program:
        importlib.import_module("multiprocessing.process")
    if "tempfile" in program:
        importlib.import_module("tempfile").gettempdir()
    if PACKAGE in program:
        _package_version()


def _package_version() -> str:
    """The version of the package beside the standard library; empty if it cannot be imported."""
    try:
        return str(importlib.import_module(PACKAGE).__version__)
    except Exception:  # whatever it is, a program that needs the package meets it, too
        return ""


def _read(count: int | None = None) -> bytes:
    return sys.stdin.buffer.read() if count is None else sys.stdin.buffer.read(count)


def _close_the_streams() -> None:
    """Nothing to read, and whatever is written goes nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    sys.stdin = sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


# What the sandbox is like from within


def look(orders: dict[str, Any]) -> dict[str, Any]:
    """What a program could reach: tried, not read from any setting."""
    return {
        "python": sys.version.split()[0],
        "writable": [folder for folder in orders["folders"] if _writable(folder)],
        "visible": [path for path in orders["hidden"] if os.path.lexists(path)],
        "network": [address for address in ("192.0.2.1", "2001:db8::1") if _has_way_to(address)],
        "environment": sorted(set(os.environ) - {"PWD", "LC_CTYPE", "OMP_NUM_THREADS"}),
        "memory_limited": _memory_is_limited(orders["memory"]),
        "processes_limited": _processes(orders["processes"]) < orders["processes"],
        "package": _package_version(),
    }


def _writable(folder: str) -> bool:
    path = f"{folder}/.written"  # no pathlib: its import would cost every program some milliseconds
    try:
        with open(path, "wb"):  # noqa: PTH123
            pass
        os.unlink(path)  # noqa: PTH108
    except OSError:
        return False
    return True


def _has_way_to(address: str) -> bool:
    """Whether there is a route; nothing is sent. Both addresses are set aside for documentation."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as plug:
            plug.connect((address, 9))
    except OSError:
        return False
    return True


def _memory_is_limited(limit: int) -> bool:
    try:
        bytearray(limit)
    except MemoryError:
        return True
    return False


def _processes(limit: int) -> int:
    """How many processes can be had; a few more than allowed are tried."""
    started = []
    with contextlib.suppress(BlockingIOError):
        for _ in range(limit + 8):
            child = os.fork()
            if not child:
                signal.pause()
            started.append(child)
    for child in started:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(started)


if __name__ == "__main__":
    main()
