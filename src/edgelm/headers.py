"""The headers of safetensors files: every tensor's name, dtype, shape and place, without reading a weight."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from edgelm.errors import BadFile
from edgelm.files import opened, parse_json

DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
TORCH_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}  # of what weights are kept in
BUFFERS = (
    ".inv_freq", ".attn.bias", ".masked_bias", ".position_ids", ".attention_mask", ".token_type_ids",
    ".num_batches_tracked",
)  # fmt: skip  # suffixes of tensors that old versions stored and nothing needs: they are computed today
_MAX_HEADER = 64 << 20  # bytes; those of 8B models have well below one
_MAX_DIMENSIONS, _MAX_NUMBER = 8, 1 << 48  # of a shape; of a dimension or place: far beyond all there is


@dataclass(frozen=True)
class Tensor:
    """One stored tensor: where its bytes lie and what they mean."""

    name: str
    dtype: str  # as safetensors spells it: F16, F32, BF16, …
    shape: tuple[int, ...]
    file: Path
    start: int  # offset of the first byte in the file
    bytes: int

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def read_header(path: Path) -> list[Tensor]:
    """The tensors of one safetensors file, from its header: 8 bytes of length, then JSON.

    Raises:
        MissingInput: there is no such file.
        BadFile: it cannot be read, is cut short, or its header is inconsistent with itself or with the file's size.
    """
    with opened(path) as file:
        size = path.stat().st_size
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise _damaged(path, "its header does not fit the file")
        header = parse_json(file.read(length), f"the header of {path}")
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no object")
    start = 8 + length
    tensors = [_tensor(path, name, entry, start) for name, entry in header.items() if name != "__metadata__"]
    end = start
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.bytes)):
        if tensor.start != end:
            raise _damaged(path, f"tensor {tensor.name} leaves a gap or overlaps another")
        end += tensor.bytes
    if end != size:
        raise _damaged(path, f"the header describes {end} bytes, the file has {size}")
    return tensors


def _tensor(path: Path, name: str, entry: object, start: int) -> Tensor:
    try:
        dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]  # type: ignore[index]
        sound = isinstance(dtype, str) and isinstance(shape, list) and len(shape) <= _MAX_DIMENSIONS
        sound = sound and all(type(n) is int and 0 <= n < _MAX_NUMBER for n in (*shape, first, last))
        values = math.prod(shape) if sound else 0  # of numbers without a limit, it could take hours
        width = DTYPE_BYTES.get(dtype)
    except (KeyError, TypeError, ValueError):
        raise _damaged(path, f"the entry of {name} is malformed") from None
    if not sound or last < first or (width is not None and values * width != last - first):
        raise _damaged(path, f"shape, dtype and offsets of {name} do not agree")
    return Tensor(name, dtype, tuple(shape), path, start + first, last - first)


def _damaged(path: Path, why: str) -> BadFile:
    return BadFile(f"{path} is no sound safetensors file", why=why, mend="copy it again, or save it again")
