"""What the values of the weights say, in one pass over them: NaN and infinities, and traces of quantisation."""

from __future__ import annotations

from collections.abc import Callable

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model
from edgelm.check.screen import CLEAN, REFER, Screening, is_linear, screen_tensor
from edgelm.files import CHUNK
from edgelm.headers import Tensor


def values(model: Model) -> Findings:
    """CKP-05, QNT-05, QNT-06: only when values are asked for.

    Which rows are screened follows from the weights' digest: who leaves these rows alone changes them.
    """
    if not model.package.values:
        return
    figures, seed = [], int(model.digest[:12], 16)
    for tensor in model.checkpoint.tensors.values():
        if count := not_finite(tensor):
            what = f"{tensor.name} has {count:,} NaN or infinite values"
            yield finding("CKP-05", model.package.relative(tensor.file), what)
        elif is_linear(tensor) and (found := screen_tensor(tensor, seed)):
            figures.append(found)
    if figures:
        yield from _judged(model, Screening(figures))


def _judged(model: Model, found: Screening) -> Findings:
    if found.groups >= CLEAN:
        return
    lowest = ", ".join(f"{one.name} {one.groups:.2f}" for one in found.lowest)
    what = (f"the weights may have been quantised: {found.groups:.2f} of 128 neighbours are distinct ({found.rows:.2f} "
            f"of a row), medians over {len(found.tensors):,} tensors; lowest: {lowest}")  # fmt: skip
    code = "QNT-05" if found.groups < REFER else "QNT-06"
    yield finding(code, model.at("checkpoint"), what, evidence=found.as_json())


def not_finite(tensor: Tensor) -> int:
    """The number of NaNs and infinities of a stored tensor: values whose exponent bits are all ones."""
    counted = _COUNTS.get(tensor.dtype)
    if counted is None:
        return 0
    count, left = 0, tensor.bytes
    with tensor.file.open("rb", buffering=0) as file:
        file.seek(tensor.start)
        while left and (chunk := file.read(min(CHUNK, left))):
            count += counted(chunk)
            left -= len(chunk)
    return count


def _f16(chunk: bytes) -> int:
    """The exponent lies in the upper byte alone. Searching it costs next to nothing, and nearly always ends there."""
    upper = chunk[1::2]
    if not any(value in upper for value in _F16_ALL_ONES):
        return 0
    return len(upper) - len(upper.translate(None, _F16_ALL_ONES))


def _wide(size: int, second: int) -> Callable[[bytes], int]:
    """For F32, BF16, F64: seven exponent bits in the upper byte, the others at the top of the one below it."""

    def count(chunk: bytes) -> int:
        upper = chunk[size - 1 :: size]
        if 0x7F not in upper and 0xFF not in upper:
            return 0  # nearly always: no sound weight is that large
        below = chunk[size - 2 :: size]
        return sum(top & 0x7F == 0x7F and low >= second for top, low in zip(upper, below, strict=True))

    return count


_F16_ALL_ONES = bytes([*range(0x7C, 0x80), *range(0xFC, 0x100)])
_COUNTS = {"F16": _f16, "BF16": _wide(2, 0x80), "F32": _wide(4, 0x80), "F64": _wide(8, 0xF0)}

MODEL_CHECKS = (Check("CKP-05", values),)
