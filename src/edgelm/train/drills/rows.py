"""Drills: rows made by code from training text alone that teach the forms in which the benchmarks read answers.

They teach form and no knowledge. Each is asked exactly as its task asks, with the task's own template, and answered so
that the task's own reading finds what is meant.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from edgelm.data.texts import Document
from edgelm.plugins import parse
from edgelm.tasks.base import Row, Task
from edgelm.train.drills import code, endings, idioms, logic, short, sums
from edgelm.train.drills.text import Text, glean

Kind = Callable[[Text, random.Random], Iterator[Row]]
KINDS: dict[str, Kind] = {  # by the task whose form they have
    "chid": idioms.rows, "commonsenseqa": endings.rows, "gsm8k": sums.rows,
    "bbh": logic.rows, "truthfulqa": short.rows, "humaneval": code.rows,
}  # fmt: skip


class Index(Protocol):
    """What knows the benchmarks' texts: `train.overlap.index.OverlapIndex`."""

    def overlaps(self, text: str) -> bool:
        """Whether a text shares a run of words with a benchmark."""
        ...


def drills(documents: Iterable[Document], count: int, seed: int, index: Index | None = None) -> list[Document]:
    """So many drills, in turn of every kind that the documents give; fewer if the documents give no more.

    A drill with exemplars is one question: turns joined as in the base rendering.

    Args:
        documents: training text; the first 20,000 plain ones and the first 200,000 with a question are looked at.
        count: how many.
        seed: what is drawn; equal documents and seed give equal drills.
        index: drills that share a run of words with a benchmark are left out.
    """
    return [Document(answer, sample.prompt.base_text()) for sample, answer in rows(documents, count, seed, index)]


def rows(documents: Iterable[Document], count: int, seed: int, index: Index | None = None) -> list[Row]:
    """The same as rows of the tasks: a sample, with prompt and reference, and its answer."""
    text = glean(documents)
    asked: set[str] = set()
    streams = [_usable(parse("tasks", task), kind(text, random.Random(f"{seed} {task}")), asked, index)
               for task, kind in KINDS.items()]  # fmt: skip
    made: list[Row] = []
    while streams and len(made) < count:
        drawn = [(stream, next(stream, None)) for stream in streams]
        streams = [stream for stream, row in drawn if row]
        made += [row for _, row in drawn if row]
    return made[:count]


def _usable(task: Task, made: Iterator[Row], asked: set[str], index: Index | None) -> Iterator[Row]:
    """The rows that nothing asks yet, that the task itself can read, and that have nothing of a benchmark."""
    for sample, answer in made:
        question = sample.prompt.base_text()
        if question in asked or task.in_form(sample, answer) is False:
            continue
        if index and index.overlaps(f"{question}\n{answer}"):
            continue
        asked.add(question)
        yield sample, answer
