"""The four kinds of packs: choices by letter, free answers, programs, likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgelm.errors import BadFile
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Row as Scored
from edgelm.tasks.base import Sample
from edgelm.tasks.holdout import match, rows, schema
from edgelm.tasks.holdout.pack import PackTask
from edgelm.tasks.holdout.rows import LETTERS, Row
from edgelm.tasks.holdout.template import places, put
from edgelm.tasks.options import first_capital, first_option, likeliest
from edgelm.tasks.sandbox import programs
from edgelm.tasks.sandbox.base import Limits, Sandbox, ends_well
from edgelm.tasks.sandbox.programs import Confinement


class ChoiceTask(PackTask):
    """Choices, answered by a letter in free text."""

    pack: schema.Choice

    def made(self, row: Row, where: str) -> dict[str, str]:
        """`{choices}` as lines, and each choice by its letter."""
        lettered = dict(zip(LETTERS, rows.choices(row, self.pack.choices, where), strict=False))
        return {**lettered, "choices": "\n".join(f"{letter}. {text}" for letter, text in lettered.items())}

    def reference(self, row: Row, where: str) -> tuple[str, str]:
        """The right letter, and all that are offered."""
        count = len(rows.choices(row, self.pack.choices, where))
        return LETTERS[rows.right_place(row, self.pack.answer, count, where)], LETTERS[:count]

    def score(self, sample: Sample, answer: str) -> int:
        """Right if the letter that counts is the reference."""
        right, options = sample.reference
        if self.pack.letter == "first-capital":
            return FULL_MARK * (first_capital(answer) == right)
        find = first_option if self.pack.letter == "first-option" else match.last_option
        return FULL_MARK * (find(answer, options) == right)


class FreeTask(PackTask):
    """A free answer, held against references."""

    pack: schema.Free

    def reference(self, row: Row, where: str) -> list[str]:
        """All answers that are right."""
        found = rows.texts(row, self.pack.answer, where)
        for text in found:
            if _READ[self.pack.match](text) in ("", None):
                raise BadFile(f"{where}: a reference in '{self.pack.answer}' cannot be matched by '{self.pack.match}'",
                              mend="mend the row, or choose another match")  # fmt: skip
        return found

    def score(self, sample: Sample, answer: str) -> int:
        """Right if it matches one of the references."""
        read = _READ[self.pack.match]
        return FULL_MARK * (read(answer) in [read(text) for text in sample.reference])


_READ: dict[str, Callable[[str], object]] = {
    "exact": str.strip, "normalised": match.normalised, "number": match.last_number,
}  # fmt: skip


@dataclass(frozen=True)
class CodeTask(PackTask):
    """A program that must run to its end with the row's tests behind it."""

    pack: schema.Code
    confinement: Confinement = "bubblewrap"

    @property
    def _sandbox(self) -> Sandbox:
        return programs.place(self.confinement, Limits(seconds=self.pack.seconds, memory=self.pack.memory << 20))

    def reference(self, row: Row, where: str) -> tuple[str, str]:
        """The program's text before and after the answer."""
        before, after = self.pack.program.split("{answer}")
        named = {*places(before), *places(after), self.pack.answer}
        columns = {name: rows.as_text(rows.column(row, name, where), name, where) for name in named}
        return put(before, columns, where), put(after, columns, where)

    def score(self, sample: Sample, answer: str) -> int:
        """Right if the program with the answer in it runs to its end in the sandbox."""
        before, after = sample.reference
        code = match.fenced(answer) if self.pack.take == "fenced" else answer
        return FULL_MARK * ends_well(self._sandbox, before + code + after)

    def score_all(self, rows: Sequence[Scored]) -> list[int]:
        """The mark of each answer, several programs at once."""
        return programs.marks(self, rows)

    def conditions(self) -> dict[str, Any]:
        """The sandbox that runs the programs."""
        return self._sandbox.conditions()


class LikelihoodTask(PackTask):
    """Choices, of which the likeliest continuation counts."""

    pack: schema.Likelihood

    def offered(self, row: Row, where: str) -> tuple[str, ...]:
        """The choices behind their separator."""
        return tuple(self.pack.separator + text for text in rows.choices(row, self.pack.choices, where))

    def reference(self, row: Row, where: str) -> int:
        """The place of the right choice."""
        return rows.right_place(row, self.pack.answer, len(rows.choices(row, self.pack.choices, where)), where)

    def score(self, sample: Sample, answer: str) -> int:
        """Right if the likeliest choice is the reference."""
        own = [text.removeprefix(self.pack.separator) for text in sample.choices]
        lengths = [len(text.encode()) for text in own] if self.pack.by == "byte" else None
        return FULL_MARK * (likeliest(answer, lengths) == sample.reference)


TASKS: dict[str, type[PackTask]] = {
    "choice": ChoiceTask, "free": FreeTask, "code": CodeTask, "likelihood": LikelihoodTask,
}  # fmt: skip
