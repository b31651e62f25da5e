"""What a planned compression takes here, and what its result will need on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgelm.checkpoint import Checkpoint
from edgelm.compress.costs import memory, phone
from edgelm.compress.recipe import Dtype, Row, stored_dtype
from edgelm.deploy.accepts import Exports, exports
from edgelm.headers import DTYPE_BYTES, TORCH_NAMES
from edgelm.plugins import parse

_BYTES = {name: DTYPE_BYTES[key] for key, name in TORCH_NAMES.items()}


@dataclass(frozen=True)
class Forecast:
    """Bytes, by arithmetic; what a run takes is an estimate, the rest exact."""

    memory: int  # of this machine, at the most
    disk: int
    phone: int  # memory there at `phone.CONTEXT` tokens
    phone_base: int
    read: int  # for each token that is written
    read_base: int
    exports: Exports


def forecast(
    base: Checkpoint, rows: Sequence[Row], tokens: int, dtype: Dtype, text: int = 0, gpu: bool = False
) -> Forecast:
    """The forecast of a planned recipe.

    Args:
        base: what is compressed.
        rows: the plan.
        tokens: of calibration text.
        dtype: of the result's weights.
        text: bytes in memory of the text that is drawn from.
        gpu: whether layers are run on one.
    """
    width = _BYTES[stored_dtype(base, dtype)]
    first, last = rows[0].shape, rows[-1].shape
    configs, steps = [row.config for row in rows[1:]], [parse("compress", row.step) for row in rows[1:]]
    return Forecast(
        memory=memory.peak(base.config, configs, tokens, width, steps, text, gpu),
        disk=memory.disk(base.config, configs, width, steps),
        phone=phone.memory(last, width), phone_base=phone.memory(first, width),
        read=phone.read_per_token(last, width), read_base=phone.read_per_token(first, width),
        exports=exports(last, trimmed=last.vocab != first.vocab),
    )  # fmt: skip
