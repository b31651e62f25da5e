"""Signs of weights as fingerprints: bit patterns that training, rounding, pruning and rescaling hardly change.

A line is the signs of up to 128 neighbours, along a row or down a column. Two unrelated lines differ in half of their
bits; a line and what became of it by compression or fine-tuning differ in a few.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from edgelm.headers import DTYPE_BYTES, Tensor

LENGTH = 128  # bits of a line
SHORTEST = 48  # bits that say anything
TOLERANCE = 0.15  # share of bits in which related lines may differ
LOPSIDED = 0.2  # share of the rarer sign below which a line is like many others
MOST_LINES = 100_000  # along one side of a matrix; of more, so many are taken at even distances
BLOCK = 1000  # neighbouring columns that are read at once where not all are
BAND = 16  # bits by which lines are looked up: related ones agree in at least one such part
FLOATS = ("F16", "BF16", "F32", "F64")
_TO_DIGITS = bytes([ord("0")] * 128 + [ord("1")] * 128)


class Line(NamedTuple):
    """The signs of neighbours, as the bits of a number."""

    bits: int
    length: int

    @property
    def says_something(self) -> bool:
        """Whether it is long and mixed enough to be told from others."""
        ones = self.bits.bit_count()
        return self.length >= SHORTEST and min(ones, self.length - ones) >= LOPSIDED * self.length

    def is_like(self, other: Line, counted: int = -1) -> bool:
        """Whether two lines are related, by the places that `counted` has a bit for."""
        mask = counted & ((1 << self.length) - 1)
        places = mask.bit_count()
        different = ((self.bits ^ other.bits) & mask).bit_count()
        return self.length == other.length and places >= SHORTEST and different <= TOLERANCE * places


def role(name: str) -> str:
    """The name of a tensor without the number of its layer."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", name)


def is_matrix(tensor: Tensor) -> bool:
    """Whether a tensor is one whose lines are taken."""
    return tensor.dtype in FLOATS and len(tensor.shape) == 2 and min(tensor.shape) > 0


def taken_rows(tensor: Tensor) -> dict[int, Line]:
    """The lines along rows, of at most `MOST_LINES` at even distances."""
    height = tensor.shape[0]
    number = min(height, MOST_LINES)
    return rows(tensor, (place * height // number for place in range(number)))


def taken_columns(tensor: Tensor) -> dict[int, Line]:
    """The lines down columns, of at most `MOST_LINES` in blocks at even distances."""
    width, blocks = tensor.shape[1], MOST_LINES // BLOCK
    if width <= MOST_LINES:
        return columns(tensor)
    found: dict[int, Line] = {}
    for number in range(blocks):
        found |= columns(tensor, within=(number * width // blocks, BLOCK))
    return found


def rows(tensor: Tensor, wanted: Iterable[int] | None = None) -> dict[int, Line]:
    """The lines along rows, by row: of the first values of each."""
    height, width = tensor.shape
    size, length = DTYPE_BYTES[tensor.dtype], min(LENGTH, width)
    found = {}
    with tensor.file.open("rb") as file:
        for row in range(height) if wanted is None else wanted:
            file.seek(tensor.start + row * width * size)
            digits = file.read(length * size)[size - 1 :: size].translate(_TO_DIGITS)
            found[row] = Line(int(digits, 2), length)
    return found


def columns(
    tensor: Tensor, wanted: Iterable[int] | None = None, within: tuple[int, int] | None = None
) -> dict[int, Line]:
    """The lines down columns, by column: of the first rows' values. `within`: the first read, and how many."""
    height, width = tensor.shape
    size, length = DTYPE_BYTES[tensor.dtype], min(LENGTH, height)
    first, number = within or (0, width)
    parts = []
    with tensor.file.open("rb") as file:
        for row in range(length):
            file.seek(tensor.start + (row * width + first) * size)
            parts.append(file.read(number * size)[size - 1 :: size].translate(_TO_DIGITS))
    data = b"".join(parts)
    chosen = range(first, first + number) if wanted is None else wanted
    return {column: Line(int(data[column - first :: number], 2), length) for column in chosen}


def not_zero(tensor: Tensor, row: int) -> int:
    """A bit for each of the first values of a row that is not exactly zero."""
    size, length = DTYPE_BYTES[tensor.dtype], min(LENGTH, tensor.shape[1])
    with tensor.file.open("rb") as file:
        file.seek(tensor.start + row * tensor.shape[1] * size)
        values = array({2: "H", 4: "I", 8: "Q"}[size], file.read(length * size))
    zeros = (0, 1 << (8 * size - 1))
    return int("".join("0" if value in zeros else "1" for value in values), 2)


class Lookup:
    """Known lines, found by what is like them."""

    def __init__(self, known: Iterable[Line]) -> None:
        self._parts: dict[tuple[int, int, int], list[Line]] = {}
        for line in known:
            for part in _parts(line):
                self._parts.setdefault(part, []).append(line)

    def found(self, lines: Mapping[int, Line]) -> set[Line]:
        """The known lines that one of these is like."""
        return {
            known for line in lines.values() for part in _parts(line) for known in self._parts.get(part, ())
            if line.is_like(known)
        }  # fmt: skip


def _parts(line: Line) -> list[tuple[int, int, int]]:
    whole = range(0, line.length - BAND + 1, BAND)
    return [(line.length, at, line.bits >> at & (1 << BAND) - 1) for at in whole]
