"""Checkpoints as steps see them: configuration, tensors and tokenizer of a stock class, in the words of all others."""

from __future__ import annotations

from functools import cached_property

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Config
from edgelm.compress.config import common
from edgelm.compress.stream.qwen import QwenBase
from edgelm.headers import Tensor


class Gpt2Base(Checkpoint):
    """A GPT-2, also one whose file holds the model without its head, as the published ones do."""

    @cached_property
    def config(self) -> Config:
        """In the words of all other families."""
        return common(super().config)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """By the names of the class that has a head."""
        return {_with_head(name): tensor for name, tensor in super().tensors.items()}


def _with_head(name: str) -> str:
    return name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"


_KINDS: dict[str, type[Checkpoint]] = {"qwen": QwenBase, "gpt2": Gpt2Base}


def imported(base: Checkpoint) -> Checkpoint:
    """The checkpoint, seen as one of the stock class that steps can cut; most are that already.

    Raises:
        Unsupported: it has settings that no stock class has.
        BadFile: `config.json` is damaged.
    """
    family = base.config.get("model_type")
    kind = _KINDS.get(family) if isinstance(family, str) else None
    return kind(base.path) if kind and not isinstance(base, kind) else base


def losses(base: Checkpoint) -> list[str]:
    """What the stock class does not do that the checkpoint's own would have done, for the card."""
    return base.losses if isinstance(base, QwenBase) else []
