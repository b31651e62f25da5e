"""Fine-tune on the corpus's questions and answers, with loss on the answers alone, and drill the benchmarks' forms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from edgelm.errors import BadOption
from edgelm.train.base import Work

SMALL, LARGE = 60_000_000, 300_000_000  # parameters: up to these the highest rate, from these on the lowest


@dataclass(frozen=True)
class Sft:
    """Options that follow from the model's size, or from those of pretraining, are left open."""

    epochs: float = 2.0  # times that every row is seen
    rate: float | None = None  # peak; 2e-4 for small models, 5e-5 for large ones
    batch: int | None = None  # tokens of an update; an eighth of those of pretraining, at least 8192
    context: int | None = None  # tokens of a row; as in pretraining
    micro: int | None = None  # tokens of one pass through the model
    warmup: float = 0.03  # share of the updates; from there linearly to 0
    clip: float = 1.0  # largest norm of a gradient
    drills: float = 0.0  # share of the rows that teach in what form each benchmark reads answers; they teach no facts
    average: bool = True  # leave the running average of the weights, if it is better on held-out answers
    seed: int = 0  # of the order of the rows, and of the drills
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of the products: bf16 on a GPU, fp32 on a CPU
    compile: Literal["auto", "yes", "no"] = "auto"  # the layers; auto: on a GPU
    save: int | None = None  # updates from one saved state to the next; 20 states a run
    evaluate: int | None = None  # updates from one look at the held-out text to the next; 20 looks a run
    tensorboard: bool = False  # write the metrics for TensorBoard too

    def __post_init__(self) -> None:
        for option in ("rate", "batch", "context", "micro", "save", "evaluate", "epochs"):
            if (value := getattr(self, option)) is not None and value <= 0:
                raise BadOption(f"{option}={value} is not possible", mend=f"a {option} above 0")
        if not 0 <= self.drills < 1:
            raise BadOption(f"drills={self.drills} is no share of the rows", mend="drills=0.05, for example")

    def peak(self, parameters: int) -> float:
        """The highest learning rate for a model of that size."""
        return self.rate or (2e-4 if parameters <= SMALL else 1e-4 if parameters < LARGE else 5e-5)

    @property
    def identity(self) -> Sft:
        """What a run must have in common with another to go on from its states."""
        return replace(self, save=None, evaluate=None, tensorboard=False, micro=None, compile="auto")

    def run(self, work: Work) -> dict[str, Any]:
        """Fine-tune what the step `pretrain` has left, or go on where an earlier run was ended.

        Raises:
            MissingInput: the corpus holds no chats.
            BadOption, BadFile, NoSpace: as in pretraining.
        """
        from edgelm.train.fine_tune import fine_tune  # loads torch, which the plan of a run does without

        return fine_tune(self, work)
