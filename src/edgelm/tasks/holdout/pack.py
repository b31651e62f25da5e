"""A pack as a task: what the kinds share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from edgelm.chat import Prompt, Turn
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.report import mean_percent
from edgelm.tasks.base import Benchmark, Sample, mean
from edgelm.tasks.holdout import rows
from edgelm.tasks.holdout.folder import HoldOut
from edgelm.tasks.holdout.rows import Row
from edgelm.tasks.holdout.template import places, put

LONGEST = 1_000_000  # characters of a question


@dataclass(frozen=True)
class PackTask(Benchmark):
    """A pack of one kind: `label` is its name, `file` its own file in the hold-out."""

    label: str
    file: str
    pack: Any  # of the kind's own schema

    @property
    def version(self) -> str:
        """A pack has no version but the digest of its hold-out."""
        return f"{self.label}-pack"

    @property
    def max_tokens(self) -> int:
        """The most tokens of an answer."""
        return self.pack.max_tokens

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        return tuple(self.pack.stop)

    def files(self, data: DataFolder) -> list[str]:
        """The pack and its rows."""
        return [self.file, self.pack.data or f"{self.file.rpartition('.')[0]}.jsonl"]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows in file order."""
        assert isinstance(data, HoldOut)
        shots = [turn for shot in self.pack.exemplars
                 for turn in (Turn("user", shot.user), Turn("assistant", shot.assistant))]  # fmt: skip
        found = rows.read_rows(data, self.files(data)[1])
        return [self._sample(index, row, where, shots) for index, (where, row) in enumerate(found)]

    def _sample(self, index: int, row: Row, where: str, shots: Sequence[Turn]) -> Sample:
        made = self.made(row, where)
        shown = {name: rows.as_text(row[name], name, where) for name in places(self.pack.prompt)
                 if name in row and name not in made}  # fmt: skip
        question = put(self.pack.prompt, shown | made, where)
        if len(question) > LONGEST:
            raise BadFile(f"{where} makes a question of {len(question):,} characters",
                          why=f"{LONGEST:,} are the most", mend="shorten the row")  # fmt: skip
        return Sample(
            f"{self.label}-{index}", index, Prompt((*shots, Turn("user", question))), self.reference(row, where),
            subset=self._subset(row, where), choices=self.offered(row, where),
        )  # fmt: skip

    def _subset(self, row: Row, where: str) -> str | None:
        name = self.pack.subset
        return rows.as_text(rows.column(row, name, where), name, where) if name else None

    def made(self, row: Row, where: str) -> dict[str, str]:
        """What the prompt may name beside the row's columns."""
        return {}

    def offered(self, row: Row, where: str) -> tuple[str, ...]:
        """The continuations that are weighed; none for a free answer."""
        return ()

    def reference(self, row: Row, where: str) -> Any:
        """What is expected."""
        raise NotImplementedError

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The mean over all rows or over the subsets, as the pack says; in percent."""
        if self.pack.average == "rows":
            return super().aggregate(marks)
        return mean([mean_percent(own) for own in marks.values() if own])
