"""An ExecuTorch program (.pte) for XNNPACK on a phone's processor, with its key/value cache inside."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import Progress
from edgelm.deploy.executorch_graph import graph
from edgelm.errors import BadOption, MissingPackage, Unsupported
from edgelm.stock import load_model

PROGRAM = "model.pte"
_BESIDE = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_STEPS = ("load the weights", "trace the model", "lower it for XNNPACK", "write the program")


@dataclass(frozen=True)
class ExecuTorch:
    """The target `executorch`. Its model is in memory as a whole, more than once.

    Attributes:
        context: positions that the program has room for.
        dtype: of weights, cache and arithmetic.
    """

    context: int = 2048
    dtype: Literal["float32", "float16"] = "float32"

    def __post_init__(self) -> None:
        """Refuse a context that holds no question and answer."""
        if self.context < 3:
            raise BadOption(f"executorch:context={self.context} is too small", mend="give 3 or more")

    @property
    def tools(self) -> dict[str, str]:
        """The versions of what makes the program."""
        return {"executorch": version("executorch"), "torch": torch.__version__}

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        """Write `model.pte`, with configuration and tokenizer beside it, into the folder `out`.

        Raises:
            MissingPackage: ExecuTorch is not installed.
            Unsupported: the model has another build than those that can be traced, or fewer positions.
        """
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError:
            raise MissingPackage("executorch", "executorch") from None
        shape = checkpoint.shape
        if shape.family == "gpt2":
            raise Unsupported("executorch does not take a gpt2", why="its positions are looked up, not rotated",
                              mend="use the target gguf with a Llama, Qwen or Phi")  # fmt: skip
        if self.context > shape.context:
            raise Unsupported(f"executorch:context={self.context} is more than the model's {shape.context} positions",
                              mend=f"give context={shape.context} or less")  # fmt: skip
        said = _Steps(progress)
        said.next()
        model = load_model(checkpoint, getattr(torch, self.dtype), "cpu")
        said.next()
        traced = graph(model, self.context)
        said.next()
        with torch.no_grad():
            lowered = to_edge_transform_and_lower(traced, partitioner=[XnnpackPartitioner()]).to_executorch()
        said.next()
        with (out / PROGRAM).open("wb") as file:
            lowered.write_to_file(file)
        for name in _BESIDE:
            if (checkpoint.path / name).is_file():
                shutil.copyfile(checkpoint.path / name, out / name)


class _Steps:
    """Moves the bar on, a step at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._done = progress, 0

    def next(self) -> None:
        self._progress(_STEPS[self._done], self._done, len(_STEPS))
        self._done += 1
