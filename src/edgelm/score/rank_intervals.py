"""How far ranks depend on which samples were asked: 95 % intervals from resampled marks. Rule R11.3 of the rule set.

In each draw the samples of every stratum are drawn anew with replacement, the same ones for all submissions, and the
board is ranked again. Numbers come from sha256 over a seed and a counter: equal input gives equal intervals. Throughput
and memory stay as measured. The cost is draws × marks × submissions additions, minutes for a full competition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fractions import Fraction

from edgelm.report import mean_percent
from edgelm.rules.base import Rules, Track
from edgelm.score.entries import Entry, Record, ineligibility, ranked_scores, ranked_tasks
from edgelm.score.marks import Marks
from edgelm.score.ranks import ranked_board
from edgelm.score.selection import choices, field_of

DRAWS = 1000
Read = Callable[[str], Marks]  # the marks that an entry names by their digest


class RankInterval(Record):
    """Between which ranks a team stands in 95 of 100 draws."""

    team: str
    low: int
    high: int


def rank_intervals(
    rules: Rules, track: Track, entries: Iterable[Entry], read: Read, seed: str,
    *, void: Collection[str] = (), draws: int = DRAWS,
) -> tuple[RankInterval, ...]:  # fmt: skip
    """The interval of every team on the board, by name. A score without published marks stays as it is."""
    eligible = sorted(
        (entry for entry in entries if not ineligibility(rules, entry)), key=lambda entry: entry.submission
    )
    marks = {digest: read(digest) for digest in sorted(_named(eligible))}
    weights = ranked_tasks(rules, void)
    seen: dict[str, list[int]] = {}
    for number in range(draws):
        drawn = _Draw(f"{seed}/{number}")
        again = [_resampled(entry, marks, drawn) for entry in eligible]
        scored = [(entry, ranked_scores(rules, track, entry, void)) for entry in again]
        field = field_of(scored, weights, rules.least_score)
        choice = choices(field, weights, rules.places)[rules.selection]
        for team, rank in ranked_board(field, choice, rules.rank_ties).items():
            seen.setdefault(team, []).append(rank)
    cut = draws // 40  # 2.5 % on either side
    return tuple(_interval(team, sorted(own), cut) for team, own in sorted(seen.items()))


def counter_stream(seed: str) -> Iterator[int]:
    """Numbers below 2⁶⁴, from the sha256 of the seed and a counter."""
    counter = 0
    while True:
        block = hashlib.sha256(f"{seed}/{counter}".encode()).digest()
        yield from (int.from_bytes(block[start : start + 8], "big") for start in range(0, 32, 8))
        counter += 1


class _Draw:
    """The samples of one draw: places in a stratum, the same whenever the same stratum is asked for."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._places: dict[tuple[str, str, int], list[int]] = {}

    def places(self, protocol: str, stratum: str, size: int) -> list[int]:
        """As many places as the stratum has, each below its size."""
        key = protocol, stratum, size
        if key not in self._places:
            whole = 2**64 - 2**64 % size  # numbers above would make the first places likelier
            numbers = (number for number in counter_stream(f"{self._seed}/{protocol}/{stratum}") if number < whole)
            self._places[key] = [next(numbers) % size for _ in range(size)]
        return self._places[key]

    def score(self, marks: Marks) -> Fraction:
        """The score of these samples."""
        total = Fraction(0)
        for name, stratum in marks.strata.items():
            places = self.places(marks.protocol, name, len(stratum.marks))
            total += stratum.weight * mean_percent([stratum.marks[place] for place in places])
        return total


def _named(entries: Iterable[Entry]) -> set[str]:
    return {digest for entry in entries for model in entry.models.values() for digest in model.marks.values()}


def _resampled(entry: Entry, marks: Mapping[str, Marks], drawn: _Draw) -> Entry:
    models = {}
    for slot, model in entry.models.items():
        again = {task: drawn.score(marks[digest]) for task, digest in model.marks.items()}
        models[slot] = model.model_copy(update={"scores": {**model.scores, **again}})
    return entry.model_copy(update={"models": models})


def _interval(team: str, ordered: list[int], cut: int) -> RankInterval:
    return RankInterval(team=team, low=ordered[cut], high=ordered[-1 - cut])
