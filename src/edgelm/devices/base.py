"""What a device is: it runs a model on a fixed workload and says how fast and how large that was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadOption, Unsupported
from edgelm.report import Speed, Workload

Progress = Callable[[str, int, int], object]  # the bar's label, stages done, stages in all


class Measurement(BaseModel):
    """What one device found out about one model; everything in it goes into the report."""

    model_config = ConfigDict(frozen=True)

    speed: Speed
    memory: dict[str, int]  # peak bytes by meter
    predicted: dict[str, int] = Field(default_factory=dict)  # bytes by part, computed before the run
    machine: dict[str, Any] = Field(default_factory=dict)


class Device(Protocol):
    """A plug-in of `devices/`: a frozen dataclass of settings."""

    def measure(self, model: Checkpoint | Bundle, workload: Workload, progress: Progress) -> Measurement:
        """Run the workload and read the clocks and the memory meters.

        Raises:
            Unsupported: the device cannot run this model, or it does not fit its memory.
            EdgelmError: the program that ran it broke down.
        """
        ...


def require_runnable(model: Checkpoint | Bundle, workload: Workload) -> None:
    """Refuse a workload that is no workload, or longer than the model's context.

    Raises:
        BadOption: a count is too small (two generated tokens are the fewest that have a time between them).
        Unsupported: prompt and generated tokens exceed the positions that the model was made for.
    """
    fewest = {"prompt_tokens": 1, "generated_tokens": 2, "batch": 1, "repeats": 1}
    for field, least in fewest.items():
        if getattr(workload, field) < least:
            option = "--" + field.replace("_", "-")
            raise BadOption(f"{option} is {getattr(workload, field)}", mend=f"give at least {least}")
    needed, context = workload.prompt_tokens + workload.generated_tokens, model.shape.context
    if needed > context:
        raise Unsupported(
            f"the workload needs {needed} positions ({workload.prompt_tokens} prompt + {workload.generated_tokens} "
            f"generated tokens), the model has {context}",
            why="beyond its context a model's speed says nothing about its use",
            mend=f"lower --prompt-tokens and --generated-tokens to {context} together",
        )
