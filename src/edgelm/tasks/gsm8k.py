"""GSM8K: school arithmetic in words, 4 exemplars with reasoning; the last number of the answer counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgelm.chat import ask
from edgelm.data.exemplars import exemplar_file, exemplars
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Benchmark, Sample, field, fill

ROWS = "gsm8k/test.jsonl"
CONFIG = "gsm8k/gsm8k_gen_1d7fe4.py"
QUESTION = "Question: {question}\nLet's think step by step\nAnswer:"


@dataclass(frozen=True)
class GSM8K(Benchmark):
    """As OpenCompass 0.3.1 asks and marks it (`gsm8k_gen_1d7fe4`)."""

    label = "gsm8k"
    version = "gsm8k-1d7fe4"
    max_tokens = 512
    stop = ()

    def files(self, data: DataFolder) -> list[str]:
        """The test rows and the exemplars."""
        return [ROWS, exemplar_file(data)]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All test questions; the reference is the text after `#### `, without commas."""
        shots = exemplars(data, self.label, CONFIG)
        samples = []
        for index, row in enumerate(data.jsonl(ROWS)):
            question, solution = (field(row, name, f"row {index + 1} of {ROWS}") for name in ("question", "answer"))
            if "#### " not in solution:
                raise BadFile(f"row {index + 1} of {ROWS} has no '#### ' before its number", mend="mend the row")
            reference = solution.split("#### ")[1].replace(",", "")
            prompt = ask(fill(QUESTION, {"question": question, "answer": ""}), shots)
            samples.append(Sample(f"gsm8k-{index}", index, prompt, reference))
        return samples

    def score(self, sample: Sample, answer: str) -> int:
        """Right if the last number before any further `Question:` equals the reference.

        Commas in the answer are not removed (`$1,000` reads as 000) and `10-5` ends in -5: so in the original.
        """
        numbers = re.findall(r"-?\d+\.\d+|-?\d+", answer.partition("Question:")[0])
        return FULL_MARK if numbers and _equal(numbers[-1], sample.reference) else 0


def _equal(number: str, reference: str) -> bool:
    try:
        return number == reference or abs(float(number) - int(reference)) < 1e-6
    except (OverflowError, ValueError):
        return False
