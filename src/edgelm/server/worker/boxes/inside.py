"""Run in a box before a stranger's command: bind this process for good, and become the command.

Limits hold each process, Landlock all files, a filter the system calls; none can be undone, and all that is started
later inherits them. Its text is passed in: nothing of edgelm is there. See landlock(7) and seccomp(2).
"""

import ctypes
import json
import os
import resource
import select
import signal
import struct
import sys
from typing import Any

DUMPABLE, NO_NEW_PRIVILEGES, SECCOMP, FILTER = 4, 38, 22, 2  # of prctl
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's calls, on every architecture
READ = 1 << 0 | 1 << 2 | 1 << 3  # to execute, read a file, list a folder
DEVICE_NODES = 1 << 6 | 1 << 11  # to make one
WRITE_FILE, TRUNCATE, COMMAND_DEVICE = 1 << 1, 1 << 14, 1 << 15
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights on files each version knows; later ones 16
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Bind, and become the command."""
    orders: dict[str, Any] = json.loads(sys.argv[1])
    if orders["tied"]:
        live_with_standard_input()
    for name, value in orders["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    checked(LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    if orders["landlock"]:
        write_only_to(orders["writable"], orders["landlock"])
    if orders["filter"]:
        filter_calls(bytes.fromhex(orders["filter"]))
    if os.getpid() == 1:
        live_below_the_first()
    kept = {name: value for name, value in os.environ.items() if name in orders["variables"]}
    os.execvpe(sys.argv[2], sys.argv[2:], kept)


def checked(answer: int) -> int:
    """The answer of the system.

    Raises:
        OSError: it refused.
    """
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def live_with_standard_input() -> None:
    """Go on as a child of a process that ends, and with it the box, when standard input or the child does."""
    child = forked()
    if child:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(os.pidfd_open(child), select.POLLIN)
        poll.poll()
        ended, status = os.waitpid(child, os.WNOHANG)
        end_as(status if ended else signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def live_below_the_first() -> None:
    """Go on as a child of the box's first process, which gathers whatever ends in it, and ends when the child does."""
    child = forked()
    while child:
        ended, status = os.wait()
        if ended == child:
            end_as(status)


def forked() -> int:
    """Fork; what the child becomes cannot reach this process, whose memory /proc would else let it write to."""
    checked(LIBC.prctl(DUMPABLE, 0, 0, 0, 0))  # until another program begins
    return os.fork()


def end_as(status: int) -> None:
    """End with the code of a process that ended so, as a shell gives it."""
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def write_only_to(folders: list[str], version: int) -> None:
    """Permit to read all that is seen, to write below some folders, and no TCP, no signal or name outside the box."""
    every = (1 << RIGHTS.get(version, 16)) - 1
    wanted = struct.pack("QQQ", every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = checked(LIBC.syscall(CREATE_RULESET, ctypes.c_char_p(wanted), ctypes.c_size_t(size), 0))
    written = READ | WRITE_FILE | TRUNCATE  # of /proc too, where CUDA names its threads so
    permitted = {"/": READ, "/dev": written | COMMAND_DEVICE, "/proc": written}
    for path, rights in {**permitted, **dict.fromkeys(folders, every & ~DEVICE_NODES)}.items():
        place = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", rights & every, place)
        checked(LIBC.syscall(ADD_RULE, rules, 1, ctypes.c_char_p(rule), 0))
        os.close(place)
    checked(LIBC.syscall(RESTRICT_SELF, rules, 0))
    os.close(rules)


def filter_calls(program: bytes) -> None:
    """Let the system refuse calls by a program of its own small language."""
    kept = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(kept))
    checked(LIBC.prctl(SECCOMP, FILTER, ctypes.c_char_p(described), 0, 0))


if __name__ == "__main__":
    main()
