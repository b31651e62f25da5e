"""Writing a model's weights: cast, one tensor at a time, into files of bounded size."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgelm.checkpoint import INDEX, WHOLE, write_config
from edgelm.compress.stream.model import Model
from edgelm.errors import BadFile, Unsupported
from edgelm.files import disk_errors
from edgelm.headers import TORCH_NAMES

MANY_FLUSHED = 0.001  # share of the non-zero weights that may become zero without a word
SHARD = 4 * 10**9  # bytes of a file, where nothing else is asked for
_STORED = {torch_name: name for name, torch_name in TORCH_NAMES.items()}


@dataclass
class Rounding:
    """What storing weights in a dtype did to them."""

    dtype: torch.dtype
    largest: float = 0.0
    values: int = field(default=0, repr=False)  # that are not zero
    flushed: int = field(default=0, repr=False)  # of them, that became zero

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor in the dtype.

        Raises:
            BadFile: it holds infinities or NaN.
            Unsupported: a weight is beyond the dtype's largest number.
        """
        largest = float(tensor.abs().max()) if tensor.numel() else 0.0
        if largest != largest or largest == float("inf"):
            raise BadFile(f"{name} holds infinities or NaN", mend="give a sound checkpoint")
        limit = torch.finfo(self.dtype).max
        if largest > limit:
            raise Unsupported(f"{name} holds {largest:.6g}, beyond the {limit:.6g} that {self.dtype} can hold",
                              mend="store it as --dtype float32")  # fmt: skip
        made = tensor.to(self.dtype).contiguous()
        before = int(tensor.count_nonzero())
        self.largest = max(self.largest, largest)
        self.values += before
        self.flushed += before - int(made.count_nonzero())
        return made

    @property
    def record(self) -> dict[str, Any]:
        """For the card."""
        share = self.flushed / max(self.values, 1)
        warnings = [f"{share:.2%} of the weights became zero in {self.dtype}"] if share > MANY_FLUSHED else []
        return {"dtype": str(self.dtype).removeprefix("torch."), "largest": self.largest, "flushed": share,
                "warnings": warnings}  # fmt: skip


def write_weights(model: Model, folder: Path, dtype: torch.dtype, shard: int = SHARD) -> dict[str, Any]:
    """Write all tensors in one dtype, as one file or as several with their index; what the cast did, for the card.

    No file is larger than `shard` bytes, but for one that holds nothing but a tensor that is.

    Raises:
        BadFile, Unsupported: see `Rounding`.
        NoSpace: the disk is full.
    """
    cast = Rounding(dtype)
    groups = list(_groups(model, dtype, shard))
    names = [WHOLE] if len(groups) == 1 else [
        f"model-{number:05}-of-{len(groups):05}.safetensors" for number in range(1, len(groups) + 1)]  # fmt: skip
    for name, group in zip(names, groups, strict=True):
        with disk_errors(folder):
            _write(folder / name, model, group, cast)
    if len(groups) > 1:
        total = dtype.itemsize * sum(_size(model, name) for name in model.names)
        places = {tensor: name for name, group in zip(names, groups, strict=True) for tensor in group}
        write_config(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
    return cast.record


def _size(model: Model, name: str) -> int:
    return math.prod(model.piece(name).shape)


def _groups(model: Model, dtype: torch.dtype, most: int) -> Iterator[list[str]]:
    """The names of the tensors of each file: as many as fit beside their header, at least one."""
    group: list[str] = []
    held = 0
    for name in model.names:
        size = dtype.itemsize * _size(model, name)
        if group and len(_header(model, [*group, name], dtype)) + held + size > most:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    yield group


def _header(model: Model, names: Sequence[str], dtype: torch.dtype) -> bytes:
    """What a safetensors file begins with: the length of its header, and the header."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    stored, place = _STORED[str(dtype).removeprefix("torch.")], 0
    for name in names:
        end = place + dtype.itemsize * _size(model, name)
        header[name] = {"dtype": stored, "shape": list(model.piece(name).shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _write(path: Path, model: Model, names: Sequence[str], cast: Rounding) -> None:
    """A safetensors file: its header, and the tensors one after another."""
    with path.open("wb") as file:
        file.write(_header(model, names, cast.dtype))
        for name in names:
            file.write(cast(name, model.outer(name)).view(torch.uint8).numpy().data)
    path.chmod(0o644)
