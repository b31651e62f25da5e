"""BBH: 27 sets of hard reasoning, 3 exemplars with reasoning each; what follows "answer is" counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from edgelm.chat import ask
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.files import parse_json
from edgelm.report import mean_percent
from edgelm.tasks.base import Sample, field, fill, mean
from edgelm.tasks.fixed import TwoScorers
from edgelm.tasks.parts import PLACES, part, require_subsets
from edgelm.tasks.reading import choice, options, says

CHOICE_SETS = (
    "temporal_sequences", "disambiguation_qa", "date_understanding", "tracking_shuffled_objects_three_objects",
    "penguins_in_a_table", "geometric_shapes", "snarks", "ruin_names", "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_five_objects", "logical_deduction_three_objects", "hyperbaton",
    "logical_deduction_five_objects", "logical_deduction_seven_objects", "movie_recommendation",
    "salient_translation_error_detection", "reasoning_about_colored_objects",
)  # fmt: skip
FREE = {  # sets without choices, and what an answer can be
    "multistep_arithmetic_two": r"-?\d+", "navigate": "Yes|No", "dyck_languages": r"[][(){}<> ]+",
    "word_sorting": r"[^A-Z,.:]+", "sports_understanding": "yes|no", "boolean_expressions": "True|False",
    "object_counting": r"\d+", "formal_fallacies": "valid|invalid", "causal_judgement": "Yes|No",
    "web_of_lies": "Yes|No",
}  # fmt: skip
FREE_SETS = tuple(FREE)
SETS = CHOICE_SETS + FREE_SETS  # in OpenCompass's order
QUESTION = "Follow the given examples and answer the question.\n{hint}\n\nQ: {input}\nA: Let's think step by step."


@dataclass(frozen=True)
class BBH(TwoScorers):
    """As OpenCompass 0.3.1 asks and marks it (`bbh_gen_5b92b0`); the score is the plain mean of the sets' scores.

    Attributes:
        subsets: asks some sets alone, as a task of another name.
    """

    subsets: tuple[str, ...] = ()

    max_tokens = 512
    stop = ()

    def __post_init__(self) -> None:
        require_subsets(self.subsets, SETS, "BBH")

    @property
    def name(self) -> str:
        """`bbh` is all of it; a part is called by its sets, so that it is never taken for the whole."""
        return f"bbh{part(self.subsets, SETS)}"

    @property
    def official(self) -> str:
        """The official name of the group, with the sets if only some are asked."""
        return f"bbh-5b92b0{part(self.subsets, SETS)}"

    def _sets(self, data: DataFolder) -> list[str]:
        """The sets asked for that the data has; if it has none, all, so that what is missing is named."""
        asked = [name for name in SETS if name in (self.subsets or SETS)]
        return [name for name in asked if self.subsets or _rows(name) in data.names] or asked

    def files(self, data: DataFolder) -> list[str]:
        """Rows and exemplars of every set."""
        return [file for name in self._sets(data) for file in (_rows(name), _exemplars(name))]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows of one set after the other; the reference is the target as it is written."""
        return [sample for name in self._sets(data) for sample in _samples(name, data)]

    def readable(self, sample: Sample, answer: str) -> bool:
        """The letter is one of the choices', or the text of the kind that the set asks for."""
        if sample.subset in CHOICE_SETS:
            return letter(answer) in listed(sample)
        return re.fullmatch(FREE[sample.subset or ""], line(answer)) is not None

    def right(self, sample: Sample, answer: str) -> bool:
        """Right if the letter, or in the sets without choices the text, is that of the reference."""
        if sample.subset in CHOICE_SETS:
            return letter(answer) == letter(sample.reference)
        return line(answer) == sample.reference

    def fairly_right(self, sample: Sample, answer: str) -> bool:
        """Right if the answer settles on the choice of the reference, by letter or by its own text, or on its text."""
        wanted = re.fullmatch(r"\(([A-Z])\)", sample.reference)
        if wanted:
            return choice(answer, listed(sample)) == wanted[1]
        return says(answer, sample.reference)

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The plain mean of the sets' scores, however many rows each has."""
        return mean([mean_percent(own) for own in marks.values()])


def _rows(name: str) -> str:
    return f"bbh/tasks/{name}.json"


def _exemplars(name: str) -> str:
    return f"bbh/cot-prompts/{name}.txt"


def _samples(name: str, data: DataFolder) -> list[Sample]:
    rows = field(parse_json(data.read(_rows(name)), _rows(name)), "examples", _rows(name), list)
    if not 0 < len(rows) <= PLACES:
        raise BadFile(
            f"{_rows(name)} holds {len(rows):,} rows", why=f"1 to {PLACES:,} are possible", mend="write it again"
        )
    template, first = QUESTION.replace("{hint}", hint(name, data)), SETS.index(name) * PLACES
    samples = []
    for number, row in enumerate(rows):
        asked, target = (field(row, column, f"row {number + 1} of {_rows(name)}") for column in ("input", "target"))
        prompt = ask(fill(template, {"input": asked, "target": ""}))
        samples.append(Sample(f"bbh-{name}-{number}", first + number, prompt, target, subset=name))
    return samples


def hint(name: str, data: DataFolder) -> str:
    """The exemplars of a set, with what stands before them but the header."""
    try:
        _, rule, text = data.read(_exemplars(name)).decode().partition("-----\n")
    except UnicodeDecodeError as error:
        raise BadFile(f"{_exemplars(name)} is no text", why=str(error), mend="use the upstream format") from None
    if not rule:
        raise BadFile(f"{_exemplars(name)} has no '-----' before its exemplars", mend="use the upstream format")
    return text


def listed(sample: Sample) -> dict[str, str]:
    """The choices of a row by their letters."""
    return options(sample.prompt.turns[-1].text.rpartition("\nOptions:\n")[2])


def letter(answer: str) -> str:
    """The first capital in parentheses of what is said to be the answer, or else its first capital, or all of it."""
    said = _said(answer)
    match = re.search(r"\(([A-Z])", said) or re.search("([A-Z])", said)
    return match[1] if match else said


def line(answer: str) -> str:
    """The first line of what is said to be the answer, without one full stop; of bold text its first piece."""
    first = _said(answer).partition("\n")[0].strip().removesuffix(".").strip()
    bold = re.search(r"\*\*(.*?)\*\*", first)
    return bold[1] if bold else first


def _said(answer: str) -> str:
    """What stands between the first and the second `answer is `, as it is written; all if it never stands there."""
    pieces = answer.split("answer is ")
    return pieces[1].strip() if len(pieces) > 1 else answer
