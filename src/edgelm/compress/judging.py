"""What each step costs and what it gains, measured on the model as it is then: quality on held-out text, and speed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any

import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress, Tokens
from edgelm.compress.quality import Head, Reference, finite
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.speed import speed
from edgelm.compress.vocabulary.byte_bpe import TOKENIZER
from edgelm.compress.vocabulary.translate import Translation
from edgelm.errors import Unsupported


class Judge:
    """Compares models with the base, a layer at a time.

    The base is run once for each wording of the text; only a vocabulary that was trimmed has another.

    Args:
        base: the base.
        held_out: text that no step sees, in the base's tokens.
        stored: what the result's weights are stored in.
        progress: told what is being done.
    """

    def __init__(self, base: Model, held_out: Sequence[Tokens], stored: str, progress: Progress) -> None:
        self._base, self._held_out, self._progress = base, held_out, progress
        self._stored: torch.dtype = getattr(torch, stored)
        self._text: Sequence[Tokens] = []
        self._reference: Reference | None = None

    def quality(self, now: Model, model: Model, what: str) -> dict[str, Any]:
        """Perplexities and KL on the held-out text.

        Args:
            now: what is judged.
            model: itself, or what it was written from, which knows its tokens.
            what: names it to those who wait.
        """
        own = in_own_tokens(model, self._held_out)
        text = [list(tokens) if model.idmap is None else [model.idmap[token] for token in tokens] for tokens in own]
        reference = self._referring(text)
        return reference.compare(now, own, model.idmap, partial(self._progress, f"judge {what}"))

    def _referring(self, text: Sequence[Tokens]) -> Reference:
        """The base on a text in its tokens."""
        if self._reference is None or text != self._text:
            self._text, self._reference = text, None  # the states of the other text need not be in memory as well
            self._reference = Reference.of(self._base, text, partial(self._progress, "run the base"))
        return self._reference

    def speed(self, model: Model) -> dict[str, Any]:
        """How fast base and model are."""
        self._progress("time layers", 0, 1)
        own = in_own_tokens(model, self._held_out)
        return speed(self._base, model, (_joined(self._held_out), _joined(own)), self._stored)

    def written(self, result: Checkpoint, model: Model, probes: Sequence[Tokens]) -> dict[str, Any]:
        """The quality of what was written, which is run in its own dtype too.

        `perplexity_original` is the base's on the text as it tokenizes it, where it predicts over all its tokens.

        Args:
            result: what was written.
            model: what it was written from, which knows its tokens.
            probes: sequences of the base's tokens to run it on in its own dtype.

        Raises:
            Unsupported: it overflows in its own dtype.
        """
        told = partial(self._progress, "judge the result")
        states = Model.of(result, self._stored, model.device).final_states(in_own_tokens(model, probes), told)
        now = Model.of(result, device=model.device)
        if not finite(Head(*now.head()), states):
            name = str(self._stored).removeprefix("torch.")
            raise Unsupported(f"the result overflows when run in {name}", mend="store it as --dtype float32")
        quality = self.quality(now, model, "the result")
        held_out = [list(tokens) for tokens in self._held_out]
        original = quality["perplexity_base"] if model.idmap is None else self._referring(held_out).perplexity(held_out)
        return {**quality, "perplexity_original": original}


def in_own_tokens(model: Model, sequences: Sequence[Tokens]) -> Sequence[Tokens]:
    """Sequences of the base's tokens in those that the model has by now.

    A token that is gone becomes several. Still none is longer than the longest was, which the model has positions for:
    what is beyond that is cut off.
    """
    if model.idmap is None:
        return sequences
    assert model.base is not None
    translation = _translation(model.base.files[TOKENIZER], model.files[TOKENIZER], tuple(model.idmap))
    longest = max(map(len, sequences), default=0)
    return [array("i", translation(tokens)[:longest]) for tokens in sequences]


@lru_cache(maxsize=2)
def _translation(base: bytes, trimmed: bytes, old_ids: tuple[int, ...]) -> Translation:
    return Translation(base, trimmed, old_ids)  # takes seconds where tokens are many


def _joined(sequences: Sequence[Tokens]) -> Tokens:
    return list(chain.from_iterable(sequences))
