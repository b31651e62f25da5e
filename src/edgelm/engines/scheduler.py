"""In which order rows are answered, and which run together: group after group, the longest first, refilled as rows end.

Pure bookkeeping: nothing here knows a model, so that every rule can be tested by itself.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgelm.engines.prefixes import Group


@dataclass(frozen=True)
class Limits:
    """What a step may hold.

    Attributes:
        rows: answers in the making at once.
        admitted: prompt tokens that are read in one step; a longer prompt is read alone.
        kept: tokens whose keys and values are kept at once, counted as if each answer filled its cap.
    """

    rows: int
    admitted: int
    kept: int


@dataclass(frozen=True)
class Length:
    """A row's own prompt tokens, behind its group's beginning, and the most that its answer may have."""

    own: int
    cap: int

    @property
    def most(self) -> int:
        """Tokens that the row may come to keep."""
        return self.own + self.cap


@dataclass(frozen=True)
class Admission:
    """What a step starts: the beginnings to be read first, then the rows, by number."""

    groups: list[int]
    rows: list[int]


class Schedule:
    """Rows waiting, running and ended; a row that alone exceeds the memory still runs, by itself."""

    def __init__(self, groups: Sequence[Group], lengths: Sequence[Length], limits: Limits) -> None:
        self.groups, self.lengths, self.limits = groups, lengths, limits
        self.running: dict[int, int] = {}  # row → its group
        self._left = Counter({number: len(group.rows) for number, group in enumerate(groups)})
        self._read: set[int] = set()  # groups whose beginning is kept
        self._waiting = deque(
            (number, row)
            for number, group in enumerate(groups)
            for row in sorted(group.rows, key=lambda row: (-lengths[row].most, row))
        )

    @property
    def done(self) -> bool:
        """Whether every row has ended."""
        return not self._waiting and not self.running

    def admit(self) -> Admission:
        """The rows that start now: as many as fit, at least one if none is running."""
        begun: list[int] = []
        rows: list[int] = []
        kept, read = self._kept(), 0
        while self._waiting and len(self.running) < self.limits.rows:
            number, row = self._waiting[0]
            beginning = 0 if number in self._read else len(self.groups[number].prefix)
            length = self.lengths[row]
            fits = read + length.own <= self.limits.admitted and kept + beginning + length.most <= self.limits.kept
            if not fits and (rows or self.running):
                break
            self._waiting.popleft()
            if number not in self._read:
                self._read.add(number)
                begun += [number] if beginning else []
            self.running[row] = number
            rows.append(row)
            kept, read = kept + beginning + length.most, read + length.own
        return Admission(begun, rows)

    def end(self, rows: Collection[int]) -> list[int]:
        """Take rows that ended out; returns the groups that ended with them."""
        over = []
        for row in rows:
            number = self.running.pop(row)
            self._left[number] -= 1
            if not self._left[number]:
                over.append(number)
        return over

    def _kept(self) -> int:
        """Tokens promised to what is running."""
        beginnings = sum(len(self.groups[number].prefix) for number in self._read if self._left[number])
        return beginnings + sum(self.lengths[row].most for row in self.running)
