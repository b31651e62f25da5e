"""A filter for system calls that no stranger's program needs and that would widen what it can reach.

Namespaces hide files, processes and networks; some of the kernel is in no namespace: sockets to a virtual machine's
host (AF_VSOCK), key rings, the kernel's own crypto sockets, the input queue of a terminal, tracing. The filter denies
those, and everything by which a program could make namespaces of its own. See seccomp(2) and bpf in the kernel's
`Documentation/userspace-api/seccomp_filter.rst`.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Collection

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF, words of 32 bits
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data: low words of arguments
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000  # numbers from here on are a second way to the same calls
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW flag that clone takes
LOCAL = (1,)  # AF_UNIX
NAMESPACED = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6: confined by the network namespace
_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: typing into the terminal

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE, _CLONE3, _SOCKET, _IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)  # in the order of the architectures
DENIED: dict[str, tuple[int | None, int | None]] = {  # the same; None where there is no such call
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161),
    "setdomainname": (171, 162), "syslog": (103, 116), "personality": (135, 92), "iopl": (172, None),
    "ioperm": (173, None),
    # memory that belongs to no process, so that no meter of processes sees it
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
}  # fmt: skip


def denied(machine: str | None = None) -> dict[str, int]:
    """Name and number of every call that is refused whatever its arguments; none if the machine is not described."""
    place = _place(machine)
    return {} if place is None else {name: number for name, each in DENIED.items() if (number := each[place])}


def _place(machine: str | None) -> int | None:
    machine = machine or platform.machine()
    return list(_ARCHITECTURES).index(machine) if machine in _ARCHITECTURES else None


def program(machine: str | None = None, families: Collection[int] = NAMESPACED) -> bytes | None:
    """The filter, an array of struct sock_filter; None if the machine is not described.

    Args:
        machine: this one if not named.
        families: of the sockets that may be made.
    """
    place = _place(machine)
    if place is None:
        return None
    lines = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, list(_ARCHITECTURES.values())[place]), (_RETURN, 0, 0, _KILL)]
    lines += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    for number in denied(machine).values():
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | errno.EPERM)]
    # A C library that finds no clone3, whose flags lie in memory where a filter cannot read them, falls back on clone.
    lines += [(_EQUAL, 0, 1, _CLONE3[place]), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    lines += _on(_CLONE[place], _FIRST, [(_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, _ERROR | errno.EPERM)])
    lines += _on(_IOCTL[place], _SECOND, [
        line for command in _TERMINAL for line in ((_EQUAL, 0, 1, command), (_RETURN, 0, 0, _ERROR | errno.EPERM))
    ])  # fmt: skip
    allowed = [(_EQUAL, len(families) - at, 0, family) for at, family in enumerate(families)]
    lines += _on(_SOCKET[place], _FIRST, [*allowed, (_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT)])
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, (_RETURN, 0, 0, _ALLOW)])


def _on(number: int, argument: int, lines: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Look at an argument of one call; the call's number is loaded again after it."""
    return [(_EQUAL, 0, len(lines) + 2, number), (_LOAD, 0, 0, argument), *lines, (_LOAD, 0, 0, _NUMBER)]
