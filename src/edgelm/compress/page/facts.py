"""What the card of a compressed checkpoint says about its compression, in fields that are known to be there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from edgelm.checkpoint import CARD, Card, Source, validate
from edgelm.compress.costs.phone import CONTEXT
from edgelm.errors import MissingInput


class Dimensions(BaseModel):
    """The shape of a model, in numbers."""

    layers: PositiveInt
    width: PositiveInt
    ffn: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    vocab: PositiveInt
    parameters: PositiveInt


class Change(BaseModel):
    """The shape before the last run of `compress`, and after it."""

    before: Dimensions
    after: Dimensions


class Quality(BaseModel):
    """What held-out text costs: perplexities, and nats a token by which predictions moved."""

    perplexity: float
    kl: float
    perplexity_base: float | None = None
    tokens: int | None = None


class Done(BaseModel):
    """What a step did. Beside what is named here it says what it likes to."""

    model_config = ConfigDict(extra="allow")

    step: str
    seconds: float | None = None
    parameters: int | None = None  # afterwards
    bytes: int | None = None  # of all tensors, afterwards
    quality: Quality | None = None  # afterwards
    dropped: list[int] = Field(default_factory=list)  # layers

    def by_layer(self) -> Iterator[tuple[str, list[float]]]:
        """The errors, scores and losses that there are one of for each layer, by part and name: `ffn error`."""
        said = self.model_extra or {}
        parts = {part: value for part, value in said.items() if isinstance(value, dict)}
        for part, record in {"": said, **parts}.items():
            for name, value in record.items():
                if (name == "scores" or "error" in name or "loss" in name) and _numbers(value):
                    yield f"{part} {name}".strip(), [float(number) for number in value]


def _numbers(value: object) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(
        isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) for number in value
    )  # fmt: skip


class Calibrated(BaseModel):
    """The text that was decided on and judged by."""

    tokens: int
    sequences: int
    held_out_tokens: int
    ids_sha256: str = ""
    seed: int = 0


class Cast(BaseModel):
    """What storing the weights did to them."""

    dtype: str
    largest: float
    flushed: float  # share of the weights that became zero


class Obstacles(BaseModel):
    """What stands in a program's way, by program; nothing if it takes the model."""

    script: str = ""
    runtime: str = ""
    mlc: str = ""


class Forecast(BaseModel):
    """What the result needs on a phone, beside what the base would, in bytes."""

    phone: PositiveInt
    phone_base: PositiveInt
    read: PositiveInt
    read_base: PositiveInt
    context: int = CONTEXT  # tokens that memory is reckoned for
    exports: Obstacles


class Facts(BaseModel):
    """The card's account of a compression."""

    base: str | None = None
    derivation: str
    licence: str
    made_by: str
    recipe: list[str]  # of all runs
    steps: list[Done]  # of all runs
    data: list[Source]
    parents: list[str]
    shape: Change
    tensor_bytes: int
    quality: Quality
    calibration: Calibrated
    cast: Cast | None = None
    forecast: Forecast | None = None
    warnings: list[str] = Field(default_factory=list)
    options: list[dict[str, Any]] = Field(default_factory=list)  # of each run
    versions: dict[str, str] = Field(default_factory=dict)
    threads: int | None = None

    @property
    def own(self) -> list[Done]:
        """The steps of the last run: it made the shape `after` of that `before`."""
        taken = self.options[-1].get("steps") if self.options else None
        return self.steps[len(self.steps) - len(taken) :] if isinstance(taken, list) else self.steps

    @property
    def earlier(self) -> list[str]:
        """The steps of the runs before."""
        return [done.step for done in self.steps[: len(self.steps) - len(self.own)]]


def facts_of(card: Card) -> Facts:
    """What a card says.

    Raises:
        MissingInput: it is not one of a compressed checkpoint.
        BadFile: with the field that is wrong.
    """
    if "shape" not in (card.model_extra or {}):
        raise MissingInput(f"{CARD} tells of no compression", mend="give a checkpoint that `edgelm compress` made")
    return validate(Facts, card.model_dump(), CARD)
