"""What is asked: the chosen rows of each task, each with a request whose key names all that its answer depends on."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from edgelm.data.folder import DataFolder
from edgelm.engines.base import Request
from edgelm.errors import BadOption
from edgelm.files import canonical_json, sha256_bytes
from edgelm.tasks.base import Sample, Task


@dataclass(frozen=True)
class Selection:
    """Which rows of a task to ask: the first `limit`, or `sample` drawn by `seed`; all of them by default.

    The first rows are taken in turn from the task's subsets, so that a few of them speak for all.
    """

    limit: int | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("--limit", self.limit), ("--sample", self.sample)):
            if value is not None and value < 1:
                raise BadOption(f"{name} {value} asks nothing", mend="give 1 or more")
        if self.limit is not None and self.sample is not None:
            raise BadOption("--limit and --sample are two ways to choose", mend="give one of them")

    def of(self, samples: Sequence[Sample]) -> list[Sample]:
        """The chosen rows, in file order."""
        if self.sample is not None:
            drawn = random.Random(self.seed).sample(range(len(samples)), min(self.sample, len(samples)))
            return [samples[place] for place in sorted(drawn)]
        if self.limit is None:
            return list(samples)
        subsets: dict[str | None, list[Sample]] = defaultdict(list)
        for sample in samples:
            subsets[sample.subset].append(sample)
        in_turn = [sample for sample in chain.from_iterable(zip_longest(*subsets.values())) if sample]
        return sorted(in_turn[: self.limit], key=lambda sample: sample.index)


@dataclass(frozen=True)
class Shard:
    """One of several runs that part the rows between them without knowing of each other: `number` of `of`, from 1."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            mend = f"give 1/{self.of} to {self.of}/{self.of}"
            raise BadOption(f"there is no shard {self.number} of {self.of}", mend=mend)

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `2/8` names."""
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and int(of)):
            raise BadOption(f"--shard {text} names no shard", mend="write 2/8 for the second of eight")
        return cls(int(number), int(of))


@dataclass(frozen=True)
class Questions:
    """A task made ready: its chosen rows, each with the request that asks it, and how many rows there are in all."""

    task: Task
    data: DataFolder
    rows: list[tuple[Sample, Request]]
    total: int

    @property
    def requests(self) -> list[Request]:
        """What is asked, in file order."""
        return [request for _, request in self.rows]


def questions(task: Task, data: DataFolder, selection: Selection, settings: Mapping[str, Any]) -> Questions:
    """The questions of a task; `settings` are all that every answer of the run depends on.

    Raises:
        InputError: as the task's data raises.
    """
    samples = task.samples(data)
    rows = [(sample, _request(task, sample, settings)) for sample in selection.of(samples)]
    return Questions(task, data, rows, len(samples))


def _request(task: Task, sample: Sample, settings: Mapping[str, Any]) -> Request:
    cap = task.max_tokens if sample.max_tokens is None else sample.max_tokens
    turns = [[turn.role, turn.text] for turn in sample.prompt.turns]
    asked = {"turns": turns, "base_start": sample.prompt.base_start, "max_tokens": cap, "stop": task.stop}
    if sample.choices:
        asked["choices"] = sample.choices
    key = sha256_bytes(canonical_json({**settings, **asked}))
    return Request(key, sample.index, sample.prompt, cap, task.stop, sample.choices)
