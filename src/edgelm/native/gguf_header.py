"""The header of a GGUF file: its tensors by name, size, type and place; no weight is read.

Layout: magic, version, number of tensors and of keys; the keys with their values; then each tensor's name, dimensions,
type and place. All numbers are little-endian.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edgelm.errors import BadFile

MAGIC = b"GGUF"
_VALUES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # type → bytes
_STRING, _ARRAY = 8, 9
_ALIGNED = 32  # bytes at whose multiples tensors begin; no file of ours says otherwise
_MOST = 1 << 24  # of anything that is counted in a header: more is damage
_MOST_ENTRIES, _LONGEST_NAME = 1 << 17, 1 << 10  # tensors or keys; bytes of what they are called


class Tensor(NamedTuple):
    """One tensor as the header describes it."""

    name: str
    size: int  # values
    kind: int  # of number, as ggml counts them
    offset: int  # bytes behind the header


@dataclass(frozen=True)
class Header:
    """What the header says."""

    tensors: list[Tensor]
    texts: int  # in lists of texts: the vocabulary and its merges
    start: int  # where the tensors begin, in bytes


def read_header(path: Path) -> Header:
    """The header of a GGUF file.

    Raises:
        BadFile: it is none, or its header is cut short or damaged.
    """
    with path.open("rb") as file:
        try:
            magic, version, tensors, keys = struct.unpack("<4sIQQ", file.read(24))
            if magic != MAGIC or version not in (2, 3) or max(tensors, keys) > _MOST_ENTRIES:
                raise ValueError("it does not begin as one")
            texts = 0
            for _ in range(keys):
                texts += _skip_key(file, _MOST - texts)
            found = [_tensor(file) for _ in range(tensors)]
            return Header(found, texts, -(-file.tell() // _ALIGNED) * _ALIGNED)
        except (struct.error, ValueError, OverflowError, MemoryError) as error:
            what = f"{path} is no GGUF file that can be read"
            raise BadFile(what, why=str(error), mend="make the bundle anew") from None


def _skip_key(file: BinaryIO, most: int) -> int:
    """Pass over a key and its value; the number of texts in it, if it is a list of at `most` so many texts."""
    _name(file)
    (kind,) = struct.unpack("<I", file.read(4))
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > most:
            raise ValueError(f"a list of {count:,}")
        if inner == _STRING:
            for _ in range(count):
                _pass(file)
            return int(count)
        file.seek(count * _width(inner), 1)
    elif kind == _STRING:
        _pass(file)
    else:
        file.seek(_width(kind), 1)
    return 0


def _tensor(file: BinaryIO) -> Tensor:
    name = _name(file)
    (axes,) = struct.unpack("<I", file.read(4))
    if axes > 4:
        raise ValueError(f"a tensor with {axes} dimensions")
    dimensions = struct.unpack(f"<{axes}Q", file.read(8 * axes))
    kind, offset = struct.unpack("<IQ", file.read(12))
    return Tensor(name, math.prod(dimensions), kind, offset)


def _width(kind: int) -> int:
    if kind not in _VALUES:
        raise ValueError(f"a value of type {kind}")
    return _VALUES[kind]


def _name(file: BinaryIO) -> str:
    return file.read(_length(file, _LONGEST_NAME)).decode("utf-8", "replace")


def _pass(file: BinaryIO) -> None:
    file.seek(_length(file, _MOST), 1)


def _length(file: BinaryIO, most: int) -> int:
    """Of the text that follows."""
    (length,) = struct.unpack("<Q", file.read(8))
    if length > most:
        raise ValueError(f"a text of {length:,} bytes")
    return int(length)
