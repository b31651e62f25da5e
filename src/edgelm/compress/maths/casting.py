"""Rounding a model's weights to a dtype, a tensor at a time."""

from __future__ import annotations

from typing import Any

import torch

from edgelm.compress.base import Progress
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.writing import Rounding
from edgelm.errors import Unsupported
from edgelm.files import read_json, write_json


def cast_all(model: Model, dtype: str, progress: Progress) -> dict[str, Any]:
    """Write all tensors anew that are stored in another dtype; what that did to them, for the card.

    What an earlier, interrupted run has written is taken from there.

    Args:
        model: whose weights are cast.
        dtype: by torch's name.
        progress: told how many tensors are done.

    Raises:
        BadFile, Unsupported: see `Rounding`.
    """
    wanted: torch.dtype = getattr(torch, dtype)
    names = [name for name in model.names if model.piece(name).dtype != wanted]
    total = Rounding(wanted)
    for number, name in enumerate(names):
        progress("cast", number, len(names))
        done = _cast(model, name, wanted)
        total.largest = max(total.largest, done.largest)
        total.values += done.values
        total.flushed += done.flushed
    record = total.record
    return {**record, "tensors": len(names), "warnings": [f"cast: {warning}" for warning in record["warnings"]]}


def _cast(model: Model, name: str, dtype: torch.dtype) -> Rounding:
    """Cast one tensor, unless that was done; what it did to it."""
    assert model.folder is not None
    said = model.folder / f"{name}.json"
    if said.is_file():
        model.adopt(model.folder / f"{name}.safetensors")
        return Rounding(dtype, **read_json(said))
    cast = Rounding(dtype)
    try:
        model.put_outer(name, cast(name, model.outer(name)))
    except Unsupported as error:
        error.mend = "cast:dtype=float32"
        raise
    write_json(said, {"largest": cast.largest, "values": cast.values, "flushed": cast.flushed})
    return cast
