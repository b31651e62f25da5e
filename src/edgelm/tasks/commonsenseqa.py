"""CommonsenseQA: five choices, 7 exemplars with reasoning; the letter after "so the answer is" counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgelm.chat import Prompt, Turn
from edgelm.data.exemplars import exemplar_file, exemplars
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.tasks.base import Sample, field, fill
from edgelm.tasks.fixed import TwoScorers
from edgelm.tasks.reading import choice, options

ROWS = "commonsenseqa/dev_rand_split.jsonl"
CONFIG = "commonsenseqa/commonsenseqa_7shot_cot_gen_734a22.py"
QUESTION = "Q:{question}  Answer Choices: A. {A}\nB. {B}\nC. {C}\nD. {D}\nE. {E}\nA:"
ANSWER = re.compile(r"(?i)so the answer is\s*([A-P])")


@dataclass(frozen=True)
class CommonsenseQA(TwoScorers):
    """As OpenCompass 0.3.1 asks and marks it (`commonsenseqa_7shot_cot_gen_734a22`), on the labelled dev rows."""

    name = "commonsenseqa"
    official = "commonsenseqa-734a22"
    max_tokens = 1024
    stop = ()

    def files(self, data: DataFolder) -> list[str]:
        """The dev rows and the exemplars."""
        return [ROWS, exemplar_file(data)]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All dev questions; the reference is the letter. Choices are taken by position, their labels ignored."""
        shots = exemplars(data, self.name, CONFIG)
        return [self._sample(index, row, shots) for index, row in enumerate(data.jsonl(ROWS))]

    def _sample(self, index: int, row: dict[str, object], shots: tuple[Turn, ...]) -> Sample:
        where = f"row {index + 1} of {ROWS}"
        choices = field(row, "question.choices", where, list)
        if len(choices) != 5:
            raise BadFile(f"{where} has {len(choices)} choices", why="five are needed", mend="mend the row")
        columns = {"question": field(row, "question.stem", where)}
        columns |= {letter: field(each, "text", where) for letter, each in zip("ABCDE", choices, strict=True)}
        columns["answerKey"] = ""
        # An empty piece stands where the exemplars' marker was, so the base rendering starts with a newline.
        prompt = Prompt((*shots, Turn("user", fill(QUESTION, columns))), base_start="\n")
        return Sample(f"commonsenseqa-{index}", index, prompt, field(row, "answerKey", where))

    def readable(self, sample: Sample, answer: str) -> bool:
        """The first letter found is one of the five, in upper case."""
        match = ANSWER.search(answer)
        return match is not None and match[1] in "ABCDE"

    def right(self, sample: Sample, answer: str) -> bool:
        """Right if the first letter found is the reference: found in any case, compared in upper case only."""
        match = ANSWER.search(answer)
        return match is not None and match[1] == sample.reference

    def fairly_right(self, sample: Sample, answer: str) -> bool:
        """Right if the choice that the answer settles on, by letter or by its own text, is the reference."""
        listed = sample.prompt.turns[-1].text.rpartition("Answer Choices: ")[2]
        return choice(answer, options(listed)) == sample.reference
