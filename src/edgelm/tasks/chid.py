"""CHID: which of seven Chinese idioms fills the gap; the first capital letter of the answer counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelm.chat import ask
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Benchmark, Sample, field, fill

LETTERS = "ABCDEFG"
QUESTION = (
    "{content}\n请选择______处所填的词\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nE. {E}\nF. {F}\nG. {G}\n"
    "请从”A“，”B“，”C“，”D“，”E“，”F“，”G“中进行选择。答："
)


@dataclass(frozen=True)
class CHID(Benchmark):
    """As OpenCompass 0.3.1 asks and marks it (`FewCLUE_chid_gen_0a29a2`), without exemplars."""

    split: Literal["test", "dev"] = "test"

    version = "chid-211ee7"
    max_tokens = 1024
    stop = ()

    @property
    def label(self) -> str:
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
            samples.append(Sample(f"{self.label}-{index}", index, ask(fill(QUESTION, columns)), LETTERS[answer]))
        return samples

    def score(self, sample: Sample, answer: str) -> int:
        """Right if the first upper-case character, of any script, is the reference."""
        first = next((character for character in answer if character.isupper()), "")
        return FULL_MARK if first == sample.reference else 0
