"""Write tensors as safetensors in one dtype, refusing what it cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgelm.errors import BadFile, Unsupported
from edgelm.stock import save_tensors

_MANY_FLUSHED = 0.001  # share of the non-zero weights


def save_weights(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
    """Write the tensors; the largest weight and the share that became zero, for the card.

    Raises:
        BadFile: a tensor holds infinities or NaN.
        Unsupported: a weight is beyond the dtype's largest number.
        NoSpace: the disk is full; see `save_tensors`.
    """
    written: dict[str, Tensor] = {}
    largest, flushed, values = 0.0, 0, 0
    for name, tensor in tensors.items():
        written[name] = _cast(name, tensor, dtype)
        largest = max(largest, float(tensor.abs().max()))
        flushed += int(((tensor != 0) & (written[name] == 0)).sum())
        values += int((tensor != 0).sum())
    save_tensors(path, written)
    share = flushed / max(values, 1)
    warnings = [f"{share:.2%} of the weights became zero in {dtype}"] if share > _MANY_FLUSHED else []
    return {"dtype": str(dtype).removeprefix("torch."), "largest": largest, "flushed": share, "warnings": warnings}


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not bool(torch.isfinite(tensor).all()):
        raise BadFile(f"{name} holds infinities or NaN", mend="give a sound checkpoint")
    limit = torch.finfo(dtype).max
    largest = float(tensor.abs().max())
    if largest > limit:
        raise Unsupported(f"{name} holds {largest:.6g}, beyond the {limit:.6g} that {dtype} can hold",
                          mend="store it as --dtype float32")  # fmt: skip
    return tensor.to(dtype).contiguous()
