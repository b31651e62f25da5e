"""HumanEval: 164 Python functions from their docstrings; an answer passes if the problem's own tests run through.

Programs are strangers' code. They run in bubblewrap and nowhere else, unless `sandbox=none` says so by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgelm.chat import ask
from edgelm.data.folder import DataFolder, gunzipped, json_lines
from edgelm.tasks.base import Row, Sample, field, fill
from edgelm.tasks.fixed import TwoScorers
from edgelm.tasks.python_answer import compiles, repaired
from edgelm.tasks.sandbox import programs
from edgelm.tasks.sandbox.base import Limits, Sandbox, ends_well

ROWS = "humaneval/HumanEval.jsonl.gz"
QUESTION = "Complete the following python code:\n{prompt}"


@dataclass(frozen=True)
class HumanEval(TwoScorers):
    """As OpenCompass 0.3.1 asks and marks it (`humaneval_gen_8e312c`): pass@1 of one answer, 3 seconds a program.

    `scorer=fixed` finds the program where the official rule misses it: in a fence that is not closed, in a later block,
    in a body that lost its indentation, before an end that was cut off.
    """

    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"  # none runs the programs with all your rights

    name = "humaneval"
    official = "humaneval-8e312c"
    max_tokens = 512
    stop = ()

    def files(self, data: DataFolder) -> list[str]:
        """The problems, with their tests."""
        return [ROWS]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All problems; the reference is the row itself, with the tests and the name of the function."""
        rows = json_lines(gunzipped(data.read(ROWS), ROWS, "fetch it again: edgelm data pull"), ROWS)
        samples = []
        for index, row in enumerate(rows):
            names = ("task_id", "prompt", "entry_point", "test")
            problem = {name: field(row, name, f"row {index + 1} of {ROWS}") for name in names}
            prompt = ask(fill(QUESTION, {"prompt": problem["prompt"]}))
            samples.append(Sample(problem["task_id"], index, prompt, problem))
        return samples

    def readable(self, sample: Sample, answer: str) -> bool:
        """It says something that is Python behind the prompt."""
        code = first_block(answer)
        return bool(code.strip()) and compiles(sample.reference["prompt"] + code)

    def right(self, sample: Sample, answer: str) -> bool:
        """Whether the first closed fence, or else the whole answer, runs to its end behind the prompt."""
        return ends_well(self._sandbox(), program(sample, first_block(answer)))

    def fairly_right(self, sample: Sample, answer: str) -> bool:
        """Whether the program that the answer means does."""
        return ends_well(self._sandbox(), program(sample, repaired(answer, sample.reference)))

    def score_all(self, rows: Sequence[Row]) -> list[int]:
        """The mark of each answer, several programs at once."""
        return programs.marks(self, rows)

    def conditions(self) -> dict[str, Any]:
        """The sandbox and what it was found to hold.

        Raises:
            Unsupported: there is none here.
        """
        return self._sandbox().conditions()

    def _sandbox(self) -> Sandbox:
        return programs.place(self.sandbox, Limits())


def program(sample: Sample, code: str) -> str:
    """What is run. The prompt is always prepended, so that a body and a whole function both work."""
    problem = sample.reference
    return f"{problem['prompt']}{code}\n{problem['test']}\ncheck({problem['entry_point']})"


def first_block(answer: str) -> str:
    """The inside of the first closed fence, or the whole answer; a blank after the language hides the fence."""
    block = re.search(r"```\w*\n(.*?)```", answer, re.DOTALL)
    return block[1] if block else answer
