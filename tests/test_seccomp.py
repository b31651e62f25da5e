"""The filter of system calls, as a program; that the kernel obeys it is tested in the boxes that use it."""

import struct

import pytest

from edgelm import seccomp


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_whole_and_every_jump_stays_inside(machine):
    program = seccomp.program(machine)
    assert len(program) % 8 == 0
    lines = [program[place : place + 8] for place in range(0, len(program), 8)]
    for place, line in enumerate(lines):
        code, yes, no = line[0], line[2], line[3]
        if code in (0x15, 0x35, 0x45):
            assert place + 1 + max(yes, no) < len(lines)
    assert lines[-1] == struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)


def test_a_machine_not_described_has_no_filter():
    assert seccomp.program("riscv64") is None


def test_sockets_are_of_the_families_named_alone():
    families = seccomp.program("x86_64", seccomp.LOCAL)
    assert struct.pack("<HBBI", 0x15, 0, 0, 2)[4:] in seccomp.program("x86_64")
    assert len(seccomp.program("x86_64")) - len(families) == 2 * 8  # AF_INET and AF_INET6, a line each
