"""CHID: which of seven Chinese idioms fills the gap; the first capital letter of the answer counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelm.chat import ask
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.tasks.base import Sample, field, fill
from edgelm.tasks.fixed import TwoScorers
from edgelm.tasks.options import first_capital
from edgelm.tasks.reading import choice, options

LETTERS = "ABCDEFG"
QUESTION = (
    "{content}\n请选择______处所填的词\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nE. {E}\nF. {F}\nG. {G}\n"
    "请从”A“，”B“，”C“，”D“，”E“，”F“，”G“中进行选择。答："
)


@dataclass(frozen=True)
class CHID(TwoScorers):
    """As OpenCompass 0.3.1 asks and marks it (`FewCLUE_chid_gen_0a29a2`), without exemplars."""

    split: Literal["test", "dev"] = "test"  # the official summary has both

    official = "chid-211ee7"
    max_tokens = 1024
    stop = ()

    @property
    def name(self) -> str:
        """`chid` for the test rows, which are the ones that count, and `chid-dev`."""
        return "chid" if self.split == "test" else "chid-dev"

    @property
    def _rows(self) -> str:
        return "chid/test_public.json" if self.split == "test" else "chid/dev_few_all.json"

    def files(self, data: DataFolder) -> list[str]:
        """The rows."""
        return [self._rows]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows; the reference is the letter of the right idiom."""
        samples = []
        for index, row in enumerate(data.jsonl(self._rows)):
            where = f"row {index + 1} of {self._rows}"
            candidates, answer = field(row, "candidates", where, list), field(row, "answer", where, int)
            idioms = [idiom for idiom in candidates if isinstance(idiom, str)]
            if not len(idioms) == len(candidates) == len(LETTERS) or answer not in range(len(LETTERS)):
                raise BadFile(f"{where} does not offer seven idioms with an answer among them", mend="mend the row")
            columns = {"content": field(row, "content", where).replace("#idiom#", "______")}
            columns |= dict(zip(LETTERS, candidates, strict=True))
            samples.append(Sample(f"{self.name}-{index}", index, ask(fill(QUESTION, columns)), LETTERS[answer]))
        return samples

    def readable(self, sample: Sample, answer: str) -> bool:
        """The first upper-case character is a choice's letter."""
        return first_capital(answer) in tuple(LETTERS)

    def right(self, sample: Sample, answer: str) -> bool:
        """Right if the first upper-case character, of any script, is the reference."""
        return first_capital(answer) == sample.reference

    def fairly_right(self, sample: Sample, answer: str) -> bool:
        """Right if the idiom that the answer settles on, by letter or by name, is the reference."""
        return choice(answer, options(sample.prompt.turns[-1].text)) == sample.reference
