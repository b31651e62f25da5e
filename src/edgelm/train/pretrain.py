"""Train a stock model from random weights on the corpus: Muon and AdamW, warm-up–stable–decay."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from edgelm.errors import BadOption, UnknownName
from edgelm.shapes import Shape
from edgelm.train.base import SHAPES, TUNINGS, Tuning, Work, with_qk_norm

PER_PARAMETER = 20  # tokens to train on where nothing is said (arXiv 2203.15556)


@dataclass(frozen=True)
class Pretrain:
    """Rates are peaks. Without `tokens` or `steps` a model sees 20 tokens a parameter, a miniature its own number.

    What is None here is, unless given, what suits the shape (`TUNINGS` in `train/base.py`). A finished or stopped run
    goes on with more `tokens`, `steps` or another `decay`.
    """

    shape: str = "mini"
    family: Literal["llama", "qwen3"] | None = None  # qwen3 normalises queries and keys
    tokens: int | None = None  # to train on, repeats counted
    steps: int | None = None  # updates; they go before tokens
    batch: int | None = None  # tokens of an update
    context: int | None = None  # tokens of a row
    micro: int | None = None  # tokens of one pass through the model
    loss: Literal["all", "answers"] | None = None  # of chats: on all tokens, or on the answers alone
    optimizer: Literal["muon", "adamw"] = "muon"  # adamw: for all weights
    muon: float | None = None  # learning rate of the matrices inside layers
    adamw: float | None = None  # of the embedding and the norms
    warmup: float | None = None  # share of the updates in which the rates rise
    decay: float | None = None  # share of the updates in which they fall to 0
    wd: float = 0.1  # decay of the matrices' weights
    clip: float = 1.0  # largest norm of a gradient
    z: float = 0.0  # weight of the squared log-sum of the logits in the loss
    init: float | None = None  # standard deviation of fresh weights
    theta: float | None = None  # base of the rotary positions
    seed: int = 0  # of the fresh weights, and of the order of the rows
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of the products: bf16 on a GPU, fp32 on a CPU
    compile: Literal["auto", "yes", "no"] = "auto"  # the layers; auto: on a GPU
    save: int | None = None  # updates from one saved state to the next; 20 states a run
    evaluate: int | None = None  # updates from one look at the held-out text to the next; 20 looks a run
    tensorboard: bool = False  # write the metrics for TensorBoard too

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UnknownName("shape", self.shape, SHAPES)
        for option in ("tokens", "steps", "batch", "context", "micro", "save", "evaluate"):
            if (value := getattr(self, option)) is not None and value < 1:
                raise BadOption(f"{option}={value} is not possible", mend=f"{option}=1 or more")
        for option in ("muon", "adamw", "init", "theta", "clip"):
            if (value := getattr(self, option)) is not None and not value > 0:
                raise BadOption(f"{option}={value} is not possible", mend=f"{option}= a number above 0")
        for option in ("wd", "z"):
            if not getattr(self, option) >= 0:
                raise BadOption(f"{option}={getattr(self, option)} is not possible", mend=f"{option}=0 or more")
        for option in ("warmup", "decay"):
            if (share := getattr(self, option)) is not None and not 0 <= share <= 1:
                raise BadOption(f"{option}={share} is no share", mend=f"{option}=0.2, for example")
        if self.context and self.context > SHAPES[self.shape].context:
            longest = SHAPES[self.shape].context
            raise BadOption(f"context={self.context} is more than the shape {self.shape} has places for",
                            mend=f"context={longest} or less")  # fmt: skip

    @property
    def dimensions(self) -> Shape:
        """The shape, before the tokenizer says how many rows its table has."""
        shape = SHAPES[self.shape]
        return with_qk_norm(shape) if self.tuning.family == "qwen3" else shape

    @property
    def tuning(self) -> Tuning:
        """What suits the shape, with what is given in its place."""
        options = {field.name: getattr(self, field.name, None) for field in fields(Tuning)}
        return replace(TUNINGS[self.shape], **{name: value for name, value in options.items() if value is not None})

    @property
    def row(self) -> int:
        """Tokens of a row."""
        return self.tuning.context or SHAPES[self.shape].context

    def updates(self, parameters: int) -> int:
        """How many updates of how many tokens each: rounded up to cover what is asked for."""
        if self.steps or (not self.tokens and self.tuning.steps):
            return self.steps or self.tuning.steps
        return -(-(self.tokens or PER_PARAMETER * parameters) // self.tuning.batch)

    @property
    def identity(self) -> Pretrain:
        """What a run must have in common with another to go on from its states."""
        return replace(self, tokens=None, steps=None, decay=None, save=None, evaluate=None, tensorboard=False,
                       micro=None, compile="auto")  # fmt: skip

    def run(self, work: Work) -> dict[str, Any]:
        """Train, or go on where an earlier run was ended.

        Raises:
            BadOption: the batch is larger than the corpus, or the loss stopped being a number.
            BadFile: the corpus is damaged, or was made with another tokenizer.
            NoSpace: the disk is full.
        """
        from edgelm.train.stage import pretrain  # loads torch, which the plan of a run does without

        return pretrain(self, work)
