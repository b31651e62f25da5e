"""Refusing weights that nobody can compress: infinities and NaN, and a second head where there is to be one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edgelm.checkpoint import Checkpoint
from edgelm.compress.stream.names import HEAD, names_of
from edgelm.compress.stream.pieces import Piece
from edgelm.errors import BadFile, Unsupported

_ROWS = 8192  # of two matrices that are compared at a time


def sound(tensor: Tensor, name: str) -> Tensor:
    """The tensor itself.

    Raises:
        BadFile: it holds infinities or NaN.
    """
    if tensor.numel():
        ends = torch.stack(torch.aminmax(tensor))  # NaN is both; this takes no memory, and a tenth of a sum's time
        if not bool(ends.isfinite().all()):
            raise BadFile(f"{name} holds infinities or NaN", mend="give a sound checkpoint")
    return tensor


def require_one_head(base: Checkpoint) -> None:
    """Refuse a checkpoint whose head is to be its embedding, but which stores another one besides.

    Raises:
        Unsupported: say so; which of the two was meant nobody can know.
    """
    stored = base.tensors
    if not base.shape.tied or HEAD not in stored:
        return
    first, second = (Piece(stored[name]) for name in (names_of(base.config).embedding, HEAD))
    same = (first.shape, first.dtype) == (second.shape, second.dtype)
    for start in range(0, first.shape[0] if same else 0, _ROWS):
        rows = np.arange(start, min(start + _ROWS, first.shape[0]))
        same = same and torch.equal(first.take(rows).read(), second.take(rows).read())
    if not same:
        raise Unsupported(f"{base.path} stores a {HEAD} that is not its embedding",
                          why="config.json says by tie_word_embeddings that the two are one",
                          mend="set it to false, or save the model without that tensor")  # fmt: skip
