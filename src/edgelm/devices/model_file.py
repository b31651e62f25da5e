"""What the weights of a bundle take: bytes by dtype and by use, from the header of its GGUF file or from a shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgelm.errors import BadFile, Unsupported
from edgelm.native.gguf_header import read_header
from edgelm.shapes import Shape

_DTYPES = {0: ("F32", 4), 1: ("F16", 2), 30: ("BF16", 2)}  # type of a tensor → name and bytes
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


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
    header = read_header(path)
    values: Counter[str] = Counter()
    sizes, end = {}, header.start
    for name, count, kind, offset in header.tensors:
        if kind not in _DTYPES:
            raise Unsupported(
                f"{path} is quantised ({name} is of type {kind})",
                why="only F16, BF16 and F32 are run here",
                mend="make it by edgelm deploy",
            )
        dtype, width = _DTYPES[kind]
        values[dtype] += count
        sizes[name] = count * width
        end = max(end, header.start + offset + sizes[name])
    if end > (size := path.stat().st_size):
        raise BadFile(f"{path} is cut short", why=f"it has {size:,} of {end:,} bytes", mend="make the bundle anew")
    looked_up = sizes.get(_EMBEDDING, 0) if _HEAD in sizes else 0
    return Stored(dict(values.most_common()), sum(sizes.values()), looked_up, header.texts)
