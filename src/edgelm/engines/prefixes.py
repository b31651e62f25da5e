"""Which prompts share a beginning that is worth computing once: found on token ids, never on text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

LEAST = 16  # tokens; a shorter beginning saves less than its own attention costs


@dataclass(frozen=True)
class Group:
    """Rows that are read behind one common beginning, which is empty where nothing is shared."""

    prefix: tuple[int, ...]
    rows: tuple[int, ...]


@dataclass
class _Found:
    """The best division of some neighbouring rows: the tokens that it saves, and each part's length and rows."""

    saved: int
    parts: list[tuple[int, list[int]]]


@dataclass
class _Node:
    """A node of the trie whose last rows are still to come."""

    depth: int
    below: list[_Found] = field(default_factory=list)


def groups(prompts: Sequence[Sequence[int]], least: int = LEAST) -> list[Group]:
    """The division of prompts into groups with a common beginning that saves the most tokens, the longest read first.

    The last token of a prompt is never part of a beginning: each row keeps one of its own, whose logits are asked for.
    Rows that share nothing come last, as one group with an empty beginning. A group's rows are in ascending order.
    """
    shared, alone = [], []
    for length, rows in _divide(sorted((ids[:-1], row) for row, ids in enumerate(prompts)), least):
        if length:
            shared.append(Group(tuple(prompts[rows[0]][:length]), tuple(sorted(rows))))
        else:
            alone += rows
    shared.sort(key=lambda group: (-len(group.prefix) * len(group.rows), group.rows))
    return [*shared, Group((), tuple(sorted(alone)))] if alone else shared


def _divide(ordered: Sequence[tuple[Sequence[int], int]], least: int) -> list[tuple[int, list[int]]]:
    """Walk the trie of the sorted rows, whose nodes are as deep as neighbours have tokens in common."""
    open_: list[_Node] = []
    found = _Found(0, [])
    for place, (ids, row) in enumerate(ordered):
        found = _Found(0, [(0, [row])])
        depth = common(ids, ordered[place + 1][0]) if place + 1 < len(ordered) else -1
        while open_ and open_[-1].depth > depth:
            node = open_.pop()
            found = _best(node.depth, [*node.below, found], least)
        if not open_ or open_[-1].depth < depth:
            open_.append(_Node(depth))
        open_[-1].below.append(found)
    return found.parts


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """The number of tokens that two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # halving slices are compared at the speed of C
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _best(depth: int, below: list[_Found], least: int) -> _Found:
    """A node as one group, or what is best for each part of it, whichever saves more."""
    parts = [part for found in below for part in found.parts]
    rows = sum(len(rows) for _, rows in parts)
    apart, together = sum(found.saved for found in below), (rows - 1) * depth
    if depth >= least and together > apart:
        return _Found(together, [(depth, [row for _, rows in parts for row in rows])])
    return _Found(apart, parts)
