"""A filter for system calls that no program of a benchmark needs and that would widen what it can reach.

Namespaces hide files, processes and networks; some of the kernel is in no namespace: sockets to a virtual machine's
host (AF_VSOCK), key rings, the kernel's own crypto sockets, the input queue of a terminal, tracing. The filter denies
those, and everything by which a program could make namespaces of its own. See seccomp(2) and bpf in the kernel's
`Documentation/userspace-api/seccomp_filter.rst`.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF, words of 32 bits
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data: low words of arguments
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000  # numbers from here on are a second way to the same calls
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW flag that clone takes
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: confined by the network namespace
_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into the terminal


@dataclass(frozen=True)
class _Calls:
    """The numbers of one architecture's system calls."""

    architecture: int
    clone: int
    clone3: int
    socket: int
    ioctl: int
    denied: tuple[int, ...]


_CALLS = {
    "x86_64": _Calls(0xC000003E, 56, 435, 41, 16, (
        101, 310, 311, 312, 438,                      # ptrace, process_vm_readv/writev, kcmp, pidfd_getfd
        165, 166, 155, 161, 428, 429, 430, 431, 432, 433, 442, 272, 308,  # mounting, chroot, unshare, setns
        248, 249, 250, 321, 298, 323, 425, 426, 427,  # keys, bpf, perf, userfaultfd, io_uring
        303, 304, 175, 313, 176, 246, 320, 169,       # file handles, kernel modules, kexec, reboot
        167, 168, 163, 164, 227, 159, 305, 170, 171, 103, 135, 172, 173,  # swap, accounting, clocks, names, log, ports
        319, 447, 29, 68,                             # memory of no process: memfd_create, memfd_secret, shmget, msgget
    )),
    "aarch64": _Calls(0xC00000B7, 220, 435, 198, 29, (
        117, 270, 271, 272, 438,
        40, 39, 41, 51, 428, 429, 430, 431, 432, 433, 442, 97, 268,
        217, 218, 219, 280, 241, 282, 425, 426, 427,
        264, 265, 105, 273, 106, 104, 294, 142,
        224, 225, 89, 170, 112, 171, 266, 161, 162, 116, 92,
        279, 447, 194, 186,
    )),
}  # fmt: skip


def program(machine: str | None = None) -> bytes | None:
    """The filter for a machine (this one if not named), an array of struct sock_filter; None if it is not described."""
    calls = _CALLS.get(machine or platform.machine())
    if calls is None:
        return None
    lines = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, calls.architecture), (_RETURN, 0, 0, _KILL)]
    lines += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    for number in calls.denied:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | errno.EPERM)]
    # A C library that finds no clone3, whose flags lie in memory where a filter cannot read them, falls back on clone.
    lines += [(_EQUAL, 0, 1, calls.clone3), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    lines += _on(calls.clone, _FIRST, [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _ERROR | errno.EPERM)])
    lines += _on(calls.ioctl, _SECOND, [
        line for command in _TERMINAL for line in ((_EQUAL, 0, 1, command), (_RETURN, 0, 0, _ERROR | errno.EPERM))
    ])  # fmt: skip
    families = [(_EQUAL, len(_FAMILIES) - place, 0, family) for place, family in enumerate(_FAMILIES)]
    lines += _on(calls.socket, _FIRST, [*families, (_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT)])
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, (_RETURN, 0, 0, _ALLOW)])


def _on(number: int, argument: int, lines: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Look at an argument of one call; the call's number is loaded again after it."""
    return [(_EQUAL, 0, len(lines) + 2, number), (_LOAD, 0, 0, argument), *lines, (_LOAD, 0, 0, _NUMBER)]
