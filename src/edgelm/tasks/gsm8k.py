"""GSM8K: school arithmetic in words, 4 exemplars with reasoning; the last number of the answer counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgelm.chat import ask
from edgelm.data.exemplars import exemplar_file, exemplars
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.tasks.base import Sample, field, fill
from edgelm.tasks.fixed import TwoScorers
from edgelm.tasks.reading import number, same_number

ROWS = "gsm8k/test.jsonl"
CONFIG = "gsm8k/gsm8k_gen_1d7fe4.py"
QUESTION = "Question: {question}\nLet's think step by step\nAnswer:"


@dataclass(frozen=True)
class GSM8K(TwoScorers):
    """As OpenCompass 0.3.1 asks and marks it (`gsm8k_gen_1d7fe4`)."""

    name = "gsm8k"
    official = "gsm8k-1d7fe4"
    max_tokens = 512
    stop = ()

    def files(self, data: DataFolder) -> list[str]:
        """The test rows and the exemplars."""
        return [ROWS, exemplar_file(data)]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All test questions; the reference is the text after `#### `, without commas."""
        shots = exemplars(data, self.name, CONFIG)
        samples = []
        for index, row in enumerate(data.jsonl(ROWS)):
            question, solution = (field(row, name, f"row {index + 1} of {ROWS}") for name in ("question", "answer"))
            if "#### " not in solution:
                raise BadFile(f"row {index + 1} of {ROWS} has no '#### ' before its number", mend="mend the row")
            reference = solution.split("#### ")[1].replace(",", "")
            prompt = ask(fill(QUESTION, {"question": question, "answer": ""}), shots)
            samples.append(Sample(f"gsm8k-{index}", index, prompt, reference))
        return samples

    def readable(self, sample: Sample, answer: str) -> bool:
        """A number is found."""
        return bool(numbers(answer))

    def right(self, sample: Sample, answer: str) -> bool:
        """Right if the last number before any further `Question:` equals the reference.

        Commas in the answer are not removed (`$1,000` reads as 000) and `10-5` ends in -5: so in the original.
        """
        found = numbers(answer)
        return bool(found) and same_number(found[-1], sample.reference)

    def fairly_right(self, sample: Sample, answer: str) -> bool:
        """Right if the number that the answer settles on is the reference."""
        return same_number(number(answer), sample.reference.strip())


def numbers(answer: str) -> list[str]:
    """All numbers before any further `Question:`, as they are written."""
    return re.findall(r"-?\d+\.\d+|-?\d+", answer.partition("Question:")[0])
