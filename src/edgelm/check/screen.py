"""The value screen: weights that were quantised and stored as floats again repeat few values.

Of every linear weight some rows are sampled. In each group of 128 neighbours the number of distinct values is divided
by the number of values, exact zeros left out, so that pruning costs nothing. The median over a tensor's groups is the
tensor's figure, and the median over the tensors the model's. It is evidence for a reviewer, never proof: noise or a
low-rank update that was merged on top hides every trace.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from edgelm.headers import DTYPE_BYTES, Tensor

GROUP = 128  # values
FEWEST = 32  # values beside zeros, of which a share says something
ROWS = 16  # sampled of each tensor
MOST = 512  # groups of each row: 64 Ki values, more than a row of any model here
REFER, CLEAN = 0.75, 0.90  # below the first a reviewer decides; from the second on nothing is said
LOWEST = 3  # tensors that are shown
_CODES = {"F16": "H", "BF16": "H", "F32": "I", "F64": "Q"}  # the bits of a value as a whole number
_TABLES = ("embed", "wte", "wpe")  # in names of tensors that are looked up, not multiplied


@dataclass(frozen=True)
class Figures:
    """The share of distinct values in one tensor: medians over its groups of 128, and over whole rows."""

    name: str
    groups: float
    rows: float


@dataclass(frozen=True)
class Screening:
    """The figures of all screened tensors, with their medians."""

    tensors: Sequence[Figures]

    @property
    def groups(self) -> float:
        """The model's figure: the median over tensors of their figures per 128 values."""
        return median(figures.groups for figures in self.tensors)

    @property
    def rows(self) -> float:
        """The same per row."""
        return median(figures.rows for figures in self.tensors)

    @property
    def lowest(self) -> list[Figures]:
        """The tensors with the fewest distinct values."""
        return sorted(self.tensors, key=lambda figures: (figures.groups, figures.name))[:LOWEST]

    def as_json(self) -> dict[str, Any]:
        """The evidence that goes with a finding: all figures, and a histogram of the tensors' by tenths."""
        tenths = [min(9, int(figures.groups * 10)) for figures in self.tensors]
        return {
            "per_128": round(self.groups, 4), "per_row": round(self.rows, 4),
            "lowest": [figures.name for figures in self.lowest],
            "histogram": [tenths.count(tenth) for tenth in range(10)],
            "tensors": {one.name: [round(one.groups, 4), round(one.rows, 4)] for one in self.tensors},
        }  # fmt: skip


def is_linear(tensor: Tensor) -> bool:
    """Whether a tensor is a matrix of floats that something is multiplied with."""
    plain = tensor.dtype in _CODES and len(tensor.shape) == 2 and min(tensor.shape, default=0) > 0
    return plain and tensor.name.endswith(".weight") and not any(word in tensor.name for word in _TABLES)


def sampled_rows(rows: int, seed: int) -> range:
    """`ROWS` rows at even distances, or all; the first one follows from the seed."""
    step = max(1, rows // ROWS)
    return range(seed % step, rows, step)[:ROWS]


def screen_tensor(tensor: Tensor, seed: int) -> Figures | None:
    """The figures of one linear weight; None if it holds next to nothing but zeros."""
    groups: list[float] = []
    whole: list[float] = []
    negative_zero = 1 << (8 * DTYPE_BYTES[tensor.dtype] - 1)
    for row in read_rows(tensor, sampled_rows(tensor.shape[0], seed), seed):
        values = [0 if value == negative_zero else value for value in row] if negative_zero in row else row.tolist()
        groups += filter(None, (distinct_share(values[at : at + GROUP]) for at in range(0, len(values), GROUP)))
        whole += filter(None, [distinct_share(values)])
    return Figures(tensor.name, median(groups), median(whole)) if groups and whole else None


def read_rows(tensor: Tensor, rows: Iterable[int], seed: int = 0) -> Iterator[array[int]]:
    """Rows of a matrix as the bits of their values; of longer ones `MOST` groups, of which the seed gives the first."""
    width, size = tensor.shape[1], DTYPE_BYTES[tensor.dtype]
    step = max(1, width // GROUP // MOST)
    parts = range(seed % step, width // GROUP, step)[:MOST] if step > 1 else ()
    spans = [(part * GROUP, GROUP) for part in parts] or [(0, width)]
    with tensor.file.open("rb", buffering=0) as file:
        for row in rows:
            values = array(_CODES[tensor.dtype])
            for at, number in spans:
                file.seek(tensor.start + (row * width + at) * size)
                values.frombytes(file.read(number * size))
            yield values


def distinct_share(values: list[int]) -> float | None:
    """Distinct values by number of values, zeros left out; None if too few are left."""
    distinct = set(values)
    if 0 not in distinct:
        return len(distinct) / len(values) if len(values) >= FEWEST else None
    kept = len(values) - values.count(0)
    return (len(distinct) - 1) / kept if kept >= FEWEST else None
