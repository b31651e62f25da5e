"""What MMLU and C-Eval share: questions with four choices behind five exemplars, out of an archive of tables."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar, Literal

from edgelm.chat import Prompt, Turn
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.report import FULL_MARK, mean_percent
from edgelm.tasks.base import Benchmark, Row, Sample, fill, mean
from edgelm.tasks.options import likeliest

LETTERS = "ABCD"
SHOTS = 5
Columns = dict[str, str]  # one row of a table, in the order in which OpenCompass fills templates


@dataclass(frozen=True)
class Exam(Benchmark):
    """Four choices, one letter, many subjects; the score is the plain mean of the subjects' accuracies.

    Attributes:
        mode: likelihood asks the same prompts, but weighs the four letters as what comes next instead of waiting for
            free text: many times faster, never empty, and not comparable, so that it has a label and version of its
            own.
    """

    mode: Literal["answer", "likelihood"] = "answer"

    name: ClassVar[str]
    official: ClassVar[str]  # version of the free answers
    archive: ClassVar[str]
    hints: ClassVar[Mapping[str, str]]  # by subject, in OpenCompass's order
    groups: ClassVar[Mapping[str, Sequence[str]]]  # subjects by group
    question: ClassVar[str]  # template
    reply: ClassVar[str]  # template of an exemplar's answer
    letter: ClassVar[str]  # the column of the right letter

    max_tokens = 1024
    stop = ()

    @property
    def label(self) -> str:
        """The benchmark's name; the mode beside it if letters are weighed."""
        return self.name if self.mode == "answer" else f"{self.name}-likelihood"

    @property
    def version(self) -> str:
        """OpenCompass's name; ours behind it if letters are weighed."""
        return self.official if self.mode == "answer" else f"{self.official}+likelihood-1"

    def files(self, data: DataFolder) -> list[str]:
        """The archive."""
        return [self.archive]

    def tables(self, data: DataFolder) -> dict[str, tuple[list[Columns], list[Columns]]]:
        """Exemplars and test rows of every subject."""
        raise NotImplementedError

    def extract(self, answer: str) -> str:
        """The letter that a free answer names."""
        raise NotImplementedError

    def samples(self, data: DataFolder) -> list[Sample]:
        """All test questions, subject by subject; the reference is the letter."""
        samples: list[Sample] = []
        for subject, (shots, rows) in self.tables(data).items():
            if len(shots) < SHOTS:
                raise BadFile(f"{self.archive} has {len(shots)} exemplars of {subject}", why=f"{SHOTS} are needed",
                              mend="use the upstream archive")  # fmt: skip
            turns = [turn for shot in shots[:SHOTS] for turn in self._exemplar(subject, shot)]
            for number, row in enumerate(rows):
                where = f"row {number + 1} of {subject} in {self.archive}"
                samples.append(self._sample(len(samples), subject, number, row, turns, where))
        return samples

    def _exemplar(self, subject: str, shot: Columns) -> tuple[Turn, Turn]:
        return Turn("user", fill(self._template(subject), shot)), Turn("assistant", fill(self.reply, shot))

    def _template(self, subject: str) -> str:
        return self.question.replace("{hint}", self.hints[subject])

    def _sample(self, index: int, subject: str, number: int, row: Columns, shots: Sequence[Turn], where: str) -> Sample:
        if row[self.letter] not in tuple(LETTERS):
            raise BadFile(f"{where} has the answer '{row[self.letter]}'", why="A, B, C or D is needed",
                          mend="use the upstream archive")  # fmt: skip
        columns = row | {self.letter: ""}
        question = fill(self._template(subject), columns)
        weighed = self.mode == "likelihood"
        # In the base rendering an answer stands on a line of its own, as those of the exemplars do.
        asked = [*(replace(turn, text=fill(turn.text, columns)) for turn in shots),
                 Turn("user", question + "\n" if weighed else question)]  # fmt: skip
        return Sample(
            f"{self.name}-{subject}-{number}", index, Prompt(tuple(asked)), row[self.letter], subset=subject,
            choices=tuple(LETTERS) if weighed else (),
        )  # fmt: skip

    def score(self, sample: Sample, answer: str) -> int:
        """Right if the letter named, or in the other mode the likeliest one, is the reference."""
        named = self.extract(answer) if self.mode == "answer" else LETTERS[likeliest(answer)]
        return FULL_MARK if named == sample.reference else 0

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The mean of the subjects' accuracies, in percent."""
        return mean([mean_percent(own) for own in marks.values() if own])

    def figures(self, rows: Sequence[Row]) -> dict[str, Fraction]:
        """The mean accuracy of each group of subjects, in percent, and the mean over all rows."""
        marks: dict[str, list[int]] = defaultdict(list)
        for (sample, _), mark in zip(rows, self.score_all(rows), strict=True):
            marks[str(sample.subset)].append(mark)
        accuracy = {subject: mean_percent(own) for subject, own in marks.items()}
        found = {group: [accuracy[subject] for subject in subjects if subject in accuracy]
                 for group, subjects in self.groups.items()}  # fmt: skip
        figures = {f"{self.name}-{group}": mean(scores) for group, scores in found.items() if scores}
        return {**figures, f"{self.name}-weighted": mean_percent([mark for own in marks.values() for mark in own])}


def table(data: bytes, where: str) -> list[list[str]]:
    """The cells of a CSV file, line ends inside a cell as newlines.

    Raises:
        BadFile: it is not UTF-8, or no CSV.
    """
    try:
        return list(csv.reader(io.StringIO(data.decode(), newline=None), strict=False))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{where} is no table in UTF-8", why=str(error), mend="use the upstream archive") from None
