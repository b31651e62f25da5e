"""What the card of a compressed checkpoint says about its compression, in fields that are known to be there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgelm.checkpoint import CARD, Card, Source, validate
from edgelm.compress.page.parts import Calibrated, Cast, Change, Forecast, Healing, Memory, Quality, Search, Speed
from edgelm.errors import MissingInput


class Done(BaseModel):
    """What a step did. Beside what is named here it says what it likes to."""

    model_config = ConfigDict(extra="allow")

    step: str
    seconds: float | None = None
    parameters: int | None = None  # afterwards
    bytes: int | None = None  # of all tensors, afterwards
    read: int | None = None  # bytes for each token that is written, afterwards
    quality: Quality | None = None  # afterwards
    speed: Speed | None = None  # afterwards
    dropped: list[int] = Field(default_factory=list)  # layers
    repaired: list[int] = Field(default_factory=list)  # layers, of which alone there are errors then

    def by_layer(self) -> Iterator[tuple[str, list[float]]]:
        """The errors, scores and losses that there are one of for each layer, by part and name: `ffn error`."""
        said = self.model_extra or {}
        parts = {part: value for part, value in said.items() if isinstance(value, dict)}
        for part, record in {"": said, **parts}.items():
            for name, value in record.items():
                if (name == "scores" or "error" in name or "loss" in name) and _numbers(value):
                    yield f"{part} {name}".strip(), [float(number) for number in value]

    @property
    def healing(self) -> Healing | None:
        """How it trained, if it did."""
        said = self.model_extra or {}
        return Healing.model_validate(said) if Healing.model_fields.keys() <= said.keys() else None


def _numbers(value: object) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(
        isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) for number in value
    )  # fmt: skip


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
    memory: Memory | None = None
    search: Search | None = None
    warnings: list[str] = Field(default_factory=list)
    options: list[dict[str, Any]] = Field(default_factory=list)  # of each run
    versions: dict[str, str] = Field(default_factory=dict)
    threads: int | None = None

    @property
    def own(self) -> list[Done]:
        """The steps of the last run: it made the shape `after` of that `before`; after the last all is as written."""
        made = self.steps[len(self.steps) - self._taken :]
        written = {"parameters": self.shape.after.parameters, "bytes": self.tensor_bytes, "quality": self.quality}
        return [*made[:-1], *(last.model_copy(update=written) for last in made[-1:])]

    @property
    def earlier(self) -> list[Done]:
        """The steps of the runs before."""
        return self.steps[: len(self.steps) - self._taken]

    @property
    def _taken(self) -> int:
        """How many steps the last run took."""
        taken = self.options[-1].get("steps") if self.options else None
        return len(taken) if isinstance(taken, list) else len(self.steps)

    @property
    def perplexity_base(self) -> float | None:
        """That of the base on the held-out text in its own tokens, or in those that the first step left."""
        first = self.own[0].quality if self.own else None
        return first.perplexity_base if first and first.perplexity_base is not None else self.quality.perplexity_base

    @property
    def perplexity_original(self) -> float | None:
        """That of the base on the held-out text in its own tokens; `perplexity_base` on cards that do not say it."""
        original = self.quality.perplexity_original
        return self.perplexity_base if original is None else original

    @property
    def rebased(self) -> list[tuple[str, float]]:
        """Steps behind which the base has another perplexity, and which: it predicts over the tokens that stay."""
        found, now = [], self.perplexity_original
        for done in self.own:
            base = done.quality.perplexity_base if done.quality else None
            if base is not None and now is not None and not math.isclose(base, now, rel_tol=1e-6):
                found.append((done.step, base))
                now = base
        return found


def facts_of(card: Card) -> Facts:
    """What a card says.

    Raises:
        MissingInput: it is not one of a compressed checkpoint.
        BadFile: with the field that is wrong.
    """
    if "shape" not in (card.model_extra or {}):
        raise MissingInput(f"{CARD} tells of no compression", mend="give a checkpoint that `edgelm compress` made")
    return validate(Facts, card.model_dump(), CARD)
