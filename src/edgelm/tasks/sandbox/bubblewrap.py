"""The sandbox made by bubblewrap: namespaces of its own, an empty file system but for the interpreter, no network.

A program sees the system's libraries, the interpreter and one package, read-only, a folder `/tmp` in memory, four
devices, and nothing else: no home, no `/etc`, no `/proc`, no other process. Root first becomes nobody, because the
system does not limit root's processes. What the sandbox holds is tried before the first program, from within and from
outside; one that does not hold is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from edgelm import seccomp
from edgelm.errors import Unsupported
from edgelm.tasks.sandbox import packages
from edgelm.tasks.sandbox.base import FirstProcess, Limits, Running, interpreter_words, pipe

NOBODY = 65534  # the user that a program is inside, and outside if root started it
FOLDER = "/tmp"
PACKAGES = "/packages"
DEVICES = ("null", "zero", "random", "urandom")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
NEEDED = {"ipc", "mnt", "net", "pid", "user"}  # without these it is no sandbox; the others are taken where they can be
MOST_HIDDEN = 100  # files of a home that are looked for
HIDDEN = ("/proc", "/sys", "/etc/passwd", "/root", "/home", "/run", "/var")
_WITHOUT = "with sandbox=none programs run unconfined"


@dataclass(frozen=True)
class Bubblewrap:
    """One way to call it that was tried and holds.

    Attributes:
        python: the interpreter that runs the programs.
        extra: flags that not every version or system has.
        beside: the folders of the package that programs may import beside the standard library.
        facts: what was found when it was tried.
    """

    limits: Limits
    program: str
    python: Path
    extra: tuple[str, ...] = ()
    beside: tuple[Path, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def conditions(self) -> dict[str, Any]:
        """What it is and what it was found to hold."""
        return {
            "sandbox": _version(self.program), **self.facts,
            "seconds": self.limits.seconds, "memory": self.limits.memory, "processes": self.limits.processes,
            "disk": self.limits.disk, "open_files": self.limits.open_files,
        }  # fmt: skip

    @contextlib.contextmanager
    def start(self, orders: dict[str, Any]) -> Iterator[Running]:
        """Start `inside.py`; the block's end kills its first process, and with that all of them."""
        with contextlib.ExitStack() as stack:
            tells, telling = stack.enter_context(pipe())
            info, informing = stack.enter_context(pipe())
            passed = [telling, informing]
            words = [self.program, *self._walls(), "--info-fd", str(informing.fileno())]
            if calls := seccomp.program():
                filtering, filling = stack.enter_context(pipe())
                filling.write(calls)
                filling.close()
                passed.append(filtering)
                words += ["--seccomp", str(filtering.fileno())]
            found_in = PACKAGES if self.beside else None
            words += ["--", *interpreter_words(str(self.python), orders, self.limits, telling.fileno(), found_in)]
            account = NOBODY if os.geteuid() == 0 else None
            process = subprocess.Popen(
                words, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd="/", env={}, pass_fds=[each.fileno() for each in passed],
                user=account, group=account, extra_groups=None if account is None else [],
            )  # fmt: skip
            stack.enter_context(process)
            for each in passed:
                each.close()
            first = _first_process(info)
            try:
                yield Running(process, tells.fileno(), first)
            finally:
                _end(process, first)

    def _walls(self) -> list[str]:
        """The flags: what is shared is named, all else is not there."""
        words = [
            "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
            "--unshare-cgroup-try", *self.extra, "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL",
            "--hostname", "sandbox", "--clearenv", "--new-session", "--die-with-parent", "--ro-bind", "/usr", "/usr",
        ]  # fmt: skip
        for folder in ("/lib", "/lib32", "/lib64"):
            link = Path(folder).is_symlink()
            words += ["--symlink", str(Path(folder).readlink()), folder] if link else ["--ro-bind-try", folder, folder]
        if not self.python.is_relative_to("/usr"):
            words += ["--ro-bind", *[str(_prefix(self.python))] * 2]
        for package in self.beside:
            words += ["--ro-bind", str(package), f"{PACKAGES}/{package.name}"]
        words += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        for device in DEVICES:
            words += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
        words += ["--size", str(self.limits.disk), "--tmpfs", FOLDER, "--remount-ro", "/", "--chdir", FOLDER]
        return words


@functools.cache
def bubblewrap(limits: Limits) -> Bubblewrap:
    """The strictest way to call it that works here, tried once.

    Raises:
        Unsupported: it is not installed, the system does not permit it, or it does not hold.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise Unsupported("programs are run in bubblewrap, which is not installed",
                          mend=f"install it: apt-get install bubblewrap; {_WITHOUT}")  # fmt: skip
    why = "there is no python"
    for python in _interpreters():
        for extra in (("--disable-userns",), ()):
            sandbox = Bubblewrap(limits, program, python, extra)
            try:
                return _with_package(dataclasses.replace(sandbox, facts=_tried(sandbox)))
            except Unsupported as error:
                why = error.why
    mend = f"permit user namespaces, or install python where all users can read it; {_WITHOUT}"
    raise Unsupported("bubblewrap makes no sandbox here", why=why, mend=mend)


def _with_package(sandbox: Bubblewrap) -> Bubblewrap:
    """The same sandbox with the package in it, if it can be imported there: by that interpreter, within the limits."""
    if beside := packages.folders():
        fuller = dataclasses.replace(sandbox, beside=beside)
        with contextlib.suppress(Unsupported):  # such as a folder that the user nobody cannot read
            facts = _tried(fuller)
            return dataclasses.replace(fuller, facts=facts) if facts != sandbox.facts else sandbox
    return sandbox


def _interpreters() -> list[Path]:
    """The one that runs this, outside its virtual environment, then the system's, which nobody can also read."""
    own = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return [path.resolve() for path in (own, Path("/usr/bin/python3")) if path.exists()]


def _tried(sandbox: Bubblewrap) -> dict[str, Any]:
    """What a sandbox holds: asked of a program within, and of the system about that program.

    Raises:
        Unsupported: it did not start, or does not hold.
    """
    beside = [f"{PACKAGES}/{folder.name}" for folder in sandbox.beside]
    orders = {
        "do": "look", "folders": ["/", "/usr", "/dev", FOLDER, str(sandbox.python.parent), *beside],
        "hidden": _hidden(sandbox.python), "memory": sandbox.limits.memory, "processes": sandbox.limits.processes,
    }  # fmt: skip
    with sandbox.start(orders) as running:
        line = running.first_line()
        if not line or running.first is None:
            raise Unsupported("it did not start", why=running.last_words())
        found = json.loads(line)
        namespaces = _own_namespaces(running.first.pid)
    holes = {name: found[name] for name in ("visible", "network", "environment") if found[name]}
    if found["writable"] != [FOLDER]:
        holes["writable"] = found["writable"]
    if missing := sorted(NEEDED - set(namespaces)):
        holes["namespaces shared"] = missing
    for name in ("memory", "processes"):
        if not found[f"{name}_limited"]:
            holes[name] = "not limited"
    if holes:
        raise Unsupported("it does not hold", why=json.dumps(holes))
    calls = "filtered" if seccomp.program() else "not filtered"
    return {"python": found["python"], "packages": packages.importable(found["package"]), "namespaces": namespaces,
            "system_calls": calls, "flags": list(sandbox.extra)}  # fmt: skip


def _hidden(python: Path) -> list[str]:
    """What must not be seen: places of the system, and what lies in the user's home, but for the way to `python`."""
    places = [*map(Path, HIDDEN), Path(__file__)]
    with contextlib.suppress(OSError, RuntimeError):  # not every user has a home
        places += [Path.home(), *sorted(Path.home().iterdir())[:MOST_HIDDEN]]
    shared = (Path("/usr"), _prefix(python))
    return [str(place) for place in places
            if not python.is_relative_to(place) and not any(place.is_relative_to(each) for each in shared)]  # fmt: skip


def _prefix(python: Path) -> Path:
    """The folder of an interpreter with its library."""
    return python.parent.parent


def _own_namespaces(pid: int) -> list[str]:
    """The kinds of namespace that a process does not share with this one."""

    def inode(process: int | str, kind: str) -> int:
        return Path(f"/proc/{process}/ns/{kind}").stat().st_ino

    try:
        return [kind for kind in NAMESPACES if inode(pid, kind) != inode("self", kind)]
    except OSError as error:
        raise Unsupported("its namespaces cannot be seen", why=str(error)) from None


def _version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _first_process(info: IO[bytes]) -> FirstProcess | None:
    """The sandbox's first process, by a handle that cannot come to mean another; None if there is none, or no more."""
    told = info.read()
    if not told:
        return None
    pid = json.loads(told)["child-pid"]
    try:
        return FirstProcess(pid, os.pidfd_open(pid))
    except ProcessLookupError:  # a short program on a busy machine: with its first process, all of the sandbox is gone
        return None


def _end(process: subprocess.Popen[bytes], first: FirstProcess | None) -> None:
    """End the sandbox's first process, which is gone only after all others are; bubblewrap itself may go before it."""
    if first is None:
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(first.handle, signal.SIGKILL)
        select.select([first.handle], [], [])
        os.close(first.handle)
    process.wait()
