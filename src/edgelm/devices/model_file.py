"""What the weights of a bundle take: bytes by dtype and by use, from the header of its GGUF file or from a shape.

Layout of the header: magic, version, number of tensors and of keys; the keys with their values; then each tensor's
name, dimensions, type and place. All numbers are little-endian.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgelm.errors import BadFile, Unsupported
from edgelm.shapes import Shape

_VALUES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # type → bytes
_STRING, _ARRAY = 8, 9
_DTYPES = {0: ("F32", 4), 1: ("F16", 2), 30: ("BF16", 2)}  # type of a tensor → name and bytes
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_ALIGNED = 32  # bytes at whose multiples tensors begin; no file of ours says otherwise
_MOST = 1 << 24  # of anything that is counted in a header: more is damage


@dataclass(frozen=True)
class Stored:
    """Weights as they lie in the file."""

    values: Mapping[str, int]  # stored numbers by dtype
    bytes: int
    looked_up: int  # bytes of an embedding that is not the head as well: of it one row is read for a token
    tokens: int = 0  # texts of the vocabulary and its merges, which a runtime keeps beside the weights

    @property
    def width(self) -> int:
        """Bytes of a key or value in the cache: as most weights have."""
        return 4 if max(self.values, key=self.values.__getitem__, default="F16") == "F32" else 2


def planned(shape: Shape) -> Stored:
    """What `edgelm deploy` will store of a shape: matrices as F16, vectors as F32."""
    sizes = [(math.prod(dimensions), len(dimensions)) for dimensions in shape.tensors.values()]
    matrices = sum(size for size, axes in sizes if axes > 1)
    vectors = sum(size for size, axes in sizes if axes == 1)
    looked_up = 0 if shape.tied else 2 * shape.head_parameters
    return Stored({"F16": matrices, "F32": vectors}, 2 * matrices + 4 * vectors, looked_up, 3 * shape.vocab)


def read_stored(path: Path) -> Stored:
    """What a GGUF file stores; no weight is read.

    Raises:
        BadFile: it is none, or it is cut short or damaged.
        Unsupported: its weights are quantised.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            magic, version, tensors, keys = struct.unpack("<4sIQQ", file.read(24))
            if magic != b"GGUF" or version not in (2, 3) or max(tensors, keys) > _MOST:
                raise ValueError("it does not begin as one")
            texts = sum(_skip_key(file) for _ in range(keys))
            found = [_tensor(file) for _ in range(tensors)]
            start = -(-file.tell() // _ALIGNED) * _ALIGNED
        except (struct.error, ValueError, OverflowError, MemoryError) as error:
            what = f"{path} is no GGUF file that can be read"
            raise BadFile(what, why=str(error), mend="make the bundle anew") from None
    values: Counter[str] = Counter()
    sizes, end = {}, start
    for name, count, kind, offset in found:
        if kind not in _DTYPES:
            raise Unsupported(
                f"{path} is quantised ({name} is of type {kind})",
                why="only F16, BF16 and F32 are run here",
                mend="make it by edgelm deploy",
            )
        dtype, width = _DTYPES[kind]
        values[dtype] += count
        sizes[name] = count * width
        end = max(end, start + offset + sizes[name])
    if end > size:
        raise BadFile(f"{path} is cut short", why=f"it has {size:,} of {end:,} bytes", mend="make the bundle anew")
    looked_up = sizes.get(_EMBEDDING, 0) if _HEAD in sizes else 0
    return Stored(dict(values.most_common()), sum(sizes.values()), looked_up, texts)


def _skip_key(file: BinaryIO) -> int:
    """Pass over a key and its value; the number of texts in it, if it is a list of texts."""
    _text(file)
    (kind,) = struct.unpack("<I", file.read(4))
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > _MOST:
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


def _tensor(file: BinaryIO) -> tuple[str, int, int, int]:
    """Name, number of values, type, and place among the tensors."""
    name = _text(file)
    (axes,) = struct.unpack("<I", file.read(4))
    if axes > 4:
        raise ValueError(f"a tensor with {axes} dimensions")
    dimensions = struct.unpack(f"<{axes}Q", file.read(8 * axes))
    kind, offset = struct.unpack("<IQ", file.read(12))
    return name, math.prod(dimensions), kind, offset


def _width(kind: int) -> int:
    if kind not in _VALUES:
        raise ValueError(f"a value of type {kind}")
    return _VALUES[kind]


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MOST:
        raise ValueError(f"a text of {length:,} bytes")
    return file.read(length).decode("utf-8", "replace")


def _pass(file: BinaryIO) -> None:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _MOST:
        raise ValueError(f"a text of {length:,} bytes")
    file.seek(length, 1)
