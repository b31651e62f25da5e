"""Longest common subsequences, a whole row of the table at once in the bits of one number (Hyyrö 2004)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def lcs_rows(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[int]:
    """The table of the lengths of longest common subsequences, one number for each beginning of `first`.

    Bit `j` of row `i` is clear where `first[:i]` has more in common with `second[: j + 1]` than with `second[:j]`.
    """
    places: dict[Hashable, int] = {}
    for place, item in enumerate(second):
        places[item] = places.get(item, 0) | 1 << place
    full = (1 << len(second)) - 1
    rows = [full]
    for item in first:
        hits = rows[-1] & places.get(item, 0)
        rows.append(((rows[-1] + hits) | (rows[-1] - hits)) & full)
    return rows


def lcs_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """How long the longest common subsequence is."""
    return len(second) - lcs_rows(first, second)[-1].bit_count()
