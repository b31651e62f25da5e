"""Executables without what only debuggers read."""

from __future__ import annotations

import struct

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")


def without_symbols(data: bytes) -> bytes:
    """An executable cut behind the last byte that the system loads; symbols and section names lie behind it.

    Zig's compiler has no program for this, and asking its linker makes it build its C library a second time.
    """
    if not data.startswith(_MAGIC) or len(data) < _HEADER.size:
        return data
    header = list(_HEADER.unpack_from(data))
    start, size, count = header[5], header[9], header[10]
    if size != _PROGRAM.size or not count or start + size * count > len(data):
        return data
    programs = [_PROGRAM.unpack_from(data, start + size * number) for number in range(count)]
    end = max(start + size * count, *(offset + length for _, _, offset, _, _, length, _, _ in programs))
    header[6] = header[12] = header[13] = 0  # no table of sections, none in it, none with names
    return _HEADER.pack(*header) + data[_HEADER.size : end]
