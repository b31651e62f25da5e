"""Which stored answers are made again: drawn by the secret seed, in turn from all tasks, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest

from edgelm.engines.base import Request
from edgelm.evaluate.leases import Unit, units
from edgelm.evaluate.questions import Questions
from edgelm.tasks.base import Sample
from edgelm.verify.seed import Seed


def drawn(seed: Seed, submission: str, asked: Sequence[Questions], together: int, count: int) -> list[Unit]:
    """Units with `count` prompts or a few more, in the order in which they are asked.

    Args:
        seed: of the competition.
        submission: its digest, so that two submissions are asked differently.
        asked: the questions of each task that have a stored answer. What was left out leaves the same gaps in units as
            it did in batches, and a unit keeps all its rows: padding is part of the arithmetic.
        together: consecutive rows of a unit.
        count: prompts, at least; all of them if there are fewer.
    """
    tasks = seed.order(asked, lambda each: each.task.label, submission)
    queues = [seed.order(units(each.task.label, _once(each), together), lambda unit: unit.requests[0].key, submission,
                         each.task.label) for each in tasks]  # fmt: skip
    chosen: list[Unit] = []
    for unit in chain.from_iterable(zip_longest(*queues)):
        if sum(len(each.requests) for each in chosen) >= count:
            break
        if unit is not None:
            chosen.append(unit)
    return chosen


def _once(asked: Questions) -> list[tuple[Sample, Request]]:
    """The rows whose question is asked: of equal ones the first, as an evaluation does."""
    seen: set[str] = set()
    rows = []
    for row in asked.rows:
        if row[1].key not in seen:
            seen.add(row[1].key)
            rows.append(row)
    return rows
