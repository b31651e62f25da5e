"""What a pack says: one JSON or TOML file of strict form beside its rows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, max_length=100_000)]


class Exemplar(BaseModel):
    """A question and its answer, shown before every question as they stand."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    user: Text
    assistant: Text


class Pack(BaseModel):
    """What packs of every kind say.

    Attributes:
        summary: what it tests, in a line.
        data: the JSON-lines file of its rows; the pack's own name with `.jsonl` if not given.
        prompt: template of the question, with `{column}` for a row's values.
        answer: the column of what is expected, which the prompt may not show.
        subset: the column that parts the rows into subsets.
        average: whether the score is the mean of all rows, or of the subsets' means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kind: str
    summary: str = ""
    data: str = ""
    prompt: Text
    exemplars: list[Exemplar] = []
    answer: str = "answer"
    subset: str = ""
    average: Literal["rows", "subsets"] = "rows"


class Answered(Pack):
    """What packs say whose answers are free text: the most tokens of an answer, and texts that end it."""

    max_tokens: Annotated[int, Field(ge=1, le=32_768)] = 512
    stop: list[Text] = []


class Choice(Answered):
    """Choices answered by a letter in free text; `{choices}` are they as lines, `{A}` each of them.

    `letter` says which letter counts: that of the first fitting phrase, the first capital, or the last one standing
    alone.
    """

    kind: Literal["choice"]
    choices: str = "choices"
    letter: Literal["first-option", "first-capital", "last-option"] = "first-option"


class Free(Answered):
    """A free answer, held against one or several references: as it is, normalised, or by its last number."""

    kind: Literal["free"]
    match: Literal["exact", "normalised", "number"] = "normalised"


class Code(Answered):
    """A program: `program` with the answer in it must run to its end; `take` says what of an answer is code.

    `seconds` and `memory` (MiB) bound each run.
    """

    kind: Literal["code"]
    answer: str = "test"
    program: Text = "{answer}\n\n{test}\n"
    take: Literal["fenced", "all"] = "fenced"
    seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    memory: Annotated[int, Field(ge=64, le=8192)] = 512


class Likelihood(Pack):
    """Choices of which the likeliest as continuation counts: by the plain sum, or per byte of the choice.

    `separator` stands before each choice, and not at the end of the prompt, where it would be tokenised apart.
    """

    max_tokens: ClassVar[int] = 1  # nothing is generated
    stop: ClassVar[list[str]] = []

    kind: Literal["likelihood"]
    choices: str = "choices"
    by: Literal["sum", "byte"] = "sum"
    separator: str = " "


KINDS: dict[str, type[Pack]] = {"choice": Choice, "free": Free, "code": Code, "likelihood": Likelihood}
