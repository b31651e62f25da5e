"""What the kernel of this machine can hold a process with."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from edgelm import seccomp

_CREATE_RULESET, _VERSION = 444, 1
NAMES = ("seccomp", "landlock")  # of the facts that say what holds a model beside its box


def landlock() -> int:
    """The version of Landlock that the kernel speaks; 0 if none."""
    library = ctypes.CDLL(None, use_errno=True)
    return max(0, int(library.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def facts() -> dict[str, Any]:
    """The kernel and both of its walls, said for a result."""
    machine, version, calls = os.uname(), landlock(), seccomp.denied()
    none = f"none: no system call of {machine.machine} is described"
    return {
        "kernel": f"{machine.sysname} {machine.release} {machine.machine}",
        "seccomp": f"{len(calls)} system calls refused, and all sockets but local ones" if calls else none,
        "landlock": f"version {version}" if version else "none: the kernel has none",
    }
