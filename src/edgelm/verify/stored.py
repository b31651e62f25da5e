"""The answers that a submission brings for a task, held against the questions: which of them can be marked, which not.

A stranger wrote them. An answer counts for one sample, under the key of exactly that question; it is no longer than its
cap of tokens lets any model say, so that no scorer is given megabytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgelm.engines.base import Request
from edgelm.evaluate.questions import Questions
from edgelm.report import FULL_MARK, Answer
from edgelm.results.base import shown

CHARACTERS = 512  # that one token may be, at most: vocabularies have runs of a few hundred blanks
NUMBER = 64  # characters of one choice's log-likelihood
MOST_TOKENS = 2**31  # no count of tokens reaches it


@dataclass(frozen=True)
class Stored:
    """What is supplied for one task, by the names of samples; names of strangers among the foreign ones.

    Attributes:
        usable: the answer to each sample that can be marked.
        missing: samples without any answer.
        repeated: samples that are answered more than once, of which the first usable one counts.
        foreign: answers to no sample of the task, or to another question than the sample asks.
        impossible: samples whose answer no model can have given within the cap, or whose counts are no counts.
    """

    usable: Mapping[str, Answer]
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    impossible: tuple[str, ...] = ()

    def of(self, asked: Questions) -> tuple[Questions, dict[str, dict[str, Any]]]:
        """The questions that can be marked, and what a reply holds by key, without the team's marks."""
        rows = [row for row in asked.rows if row[0].id in self.usable]
        left_out = {"sample", "subset", "mark"}
        kept = {each.key: each.model_dump(mode="json", exclude=left_out) for each in self.usable.values()}
        return Questions(asked.task, asked.data, rows, asked.total), kept


def sort_out(answers: Iterable[Answer], asked: Questions) -> Stored:
    """Which of the supplied answers are to be marked, and what is wrong with the others."""
    requests = {sample.id: request for sample, request in asked.rows}
    supplied: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        supplied[answer.sample].append(answer)
    usable: dict[str, Answer] = {}
    by_key: dict[str, str] = {}  # one question has one answer, however many samples ask it
    foreign, impossible, repeated = [], [], []
    for sample, own in supplied.items():
        request = requests.get(sample)
        fitting = [answer for answer in own if request and answer.key == request.key]
        if request is None or not fitting:
            foreign.append(sample)
            continue
        first = fitting[0]
        if len(own) > 1 or by_key.setdefault(first.key, first.text) != first.text:
            repeated.append(sample)
        if not _possible(first, request):
            impossible.append(sample)
        elif by_key.setdefault(first.key, first.text) == first.text:
            usable[sample] = first
    missing = tuple(sample for sample in requests if sample not in supplied)
    return Stored(usable, missing, tuple(repeated), tuple(foreign), tuple(impossible))


def _possible(answer: Answer, request: Request) -> bool:
    longest = max(request.max_tokens * CHARACTERS, len(request.choices) * NUMBER)
    return (
        len(answer.text) <= longest
        and 0 <= answer.tokens <= request.max_tokens
        and 0 <= answer.prompt_tokens < MOST_TOKENS
        and (answer.mark is None or 0 <= answer.mark <= FULL_MARK)
    )


def said(stored: Stored, most: int = 3) -> Iterator[str]:
    """What is wrong with the supplied answers, a line each, with the first few names."""
    for names, what in (
        (stored.repeated, "answered more than once"), (stored.foreign, "to no question of the task"),
        (stored.impossible, "longer than their cap allows, or with impossible counts"),
    ):  # fmt: skip
        if names:
            yield f"{len(names):,} {what}: {few(names, most)}"


def few(names: Iterable[str], most: int = 3) -> str:
    """The first few names, cut to a length that can be shown, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + rest
