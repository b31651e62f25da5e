"""The parts of what a compressed checkpoint's card says, each in fields that are known to be there."""

from __future__ import annotations

from pydantic import BaseModel, PositiveInt

from edgelm.compress.costs.phone import CONTEXT


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
    perplexity_base: float | None = None  # over the tokens that are left
    perplexity_original: float | None = None  # the base's in its own tokens, over all of them
    tokens: int | None = None


class Pace(BaseModel):
    """Milliseconds and tokens a second of the base and of the result, and how many times as fast the result is."""

    ms_base: float
    ms: float
    tokens_per_second_base: float
    tokens_per_second: float
    faster: float


class Speed(BaseModel):
    """What was timed, and where."""

    decode: Pace  # one token behind a cache
    prefill: Pace
    context: int  # tokens of the cache, and of the passage that is read
    dtype: str
    device: str
    threads: int


class Text(BaseModel):
    """What a step learned from."""

    sequences: int
    tokens: int


class Healing(BaseModel):
    """How a step trained; a loss is of each layer, or of all at once."""

    method: str
    lr: float
    text: Text
    updates: list[int]
    loss_first: list[float]
    loss_last: list[float]


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


class Memory(BaseModel):
    """What the run had at the most, in bytes: of the host's memory, and of the GPU's."""

    resident: PositiveInt
    device: int = 0


class Forecast(BaseModel):
    """What the run was to take, and what the result needs on a phone beside what the base would, in bytes."""

    memory: int = 0
    phone: PositiveInt
    phone_base: PositiveInt
    read: PositiveInt
    read_base: PositiveInt
    context: int = CONTEXT  # tokens that memory is reckoned for
    exports: Obstacles


class Alternative(BaseModel):
    """A recipe that a search has looked at; what was not measured is None."""

    recipe: str
    parameters: PositiveInt
    memory: int  # bytes on a phone
    read: int  # bytes for each token that is written
    error: float | None = None  # expected
    kl: float | None = None  # measured without training


class Search(BaseModel):
    """What a search has found."""

    recipe: str
    alternatives: list[Alternative]  # the best first
