"""What compression cost: perplexity before and after, and how far the predictions moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgelm.compress.base import Tokens
from edgelm.compress.stream.model import Model

_ROWS = 256  # positions whose logits are in memory at a time
_BLOCK = 8192  # rows of the head that are in float32 at a time


@dataclass(frozen=True)
class Head:
    """What makes logits of the states that it is given, in float32, from a matrix kept as stored."""

    weight_VD: Tensor  # noqa: N815
    bias_V: Tensor | None  # noqa: N815

    def __call__(self, states_TD: Tensor) -> Tensor:
        """The logits (T × V), where the matrix is."""
        states_TD = states_TD.to(self.weight_VD.device).float()
        blocks = [states_TD @ block_BD.float().T for block_BD in self.weight_VD.split(_BLOCK)]
        logits_TV = torch.cat(blocks, dim=-1)
        return logits_TV if self.bias_V is None else logits_TV + self.bias_V.float()

    def of(self, ids: Sequence[int] | None) -> Head:
        """The head for these tokens alone, in this order; None: for all."""
        if ids is None:
            return self
        rows = torch.from_numpy(np.asarray(ids, np.int64))
        return Head(self.weight_VD[rows], None if self.bias_V is None else self.bias_V[rows])


@dataclass(frozen=True)
class Reference:
    """What the base predicts on held-out text, kept as final states: far smaller than its logits or its head."""

    states: list[Tensor]  # T × D of each sequence
    base: Model  # whose head is read when it is needed

    @classmethod
    def of(cls, base: Model, held_out: Sequence[Tokens], progress: Callable[[int, int], object]) -> Reference:
        """Run the base."""
        return cls(base.final_states(held_out, progress), base)

    @torch.no_grad()
    def perplexity(self, held_out: Sequence[Tokens]) -> float:
        """The base's on these sequences, over all of its tokens."""
        head, loss = Head(*self.base.head()), 0.0
        for tokens, states_TD in zip(held_out, self.states, strict=True):
            for rows in _blocks(tokens):
                loss -= _said(head(states_TD[rows]).log_softmax(-1), tokens, rows)
        return _perplexity(loss / sum(len(tokens) - 1 for tokens in held_out))

    @torch.no_grad()
    def compare(
        self, result: Model, held_out: Sequence[Tokens], idmap: Sequence[int] | None,
        progress: Callable[[int, int], object],
    ) -> dict[str, Any]:  # fmt: skip
        """Perplexities of base and result, and KL(base ‖ result) in nats a token.

        The perplexity is exp of the mean negative log-likelihood of every token but the first of a sequence.

        Args:
            result: the compressed model.
            held_out: the same sequences, in the result's tokens.
            idmap: the base's token of each of the result's, where some were left out: the base then predicts over
                these alone.
            progress: told how many of how many layers are behind.
        """
        states = result.final_states(held_out, progress)
        base_head, head = Head(*self.base.head()).of(idmap), Head(*result.head())
        loss_base = loss_result = divergence = 0.0
        count = 0
        for tokens, base_TD, result_TD in zip(held_out, self.states, states, strict=True):
            for rows in _blocks(tokens):
                base_TV, result_TV = base_head(base_TD[rows]).log_softmax(-1), head(result_TD[rows]).log_softmax(-1)
                loss_base -= _said(base_TV, tokens, rows)
                loss_result -= _said(result_TV, tokens, rows)
                divergence += float((base_TV.exp() * (base_TV - result_TV)).double().sum())
                count += rows.stop - rows.start
        return {
            "perplexity_base": _perplexity(loss_base / count),
            "perplexity": _perplexity(loss_result / count),
            "kl": divergence / count,
            "tokens": count,
        }


def finite(head: Head, states: Sequence[Tensor]) -> bool:
    """Whether no logit of these sequences (each T × D) is infinite or NaN."""
    return all(
        bool(torch.isfinite(head(block_TD)).all()) for states_TD in states for block_TD in states_TD.split(_ROWS)
    )


def _blocks(tokens: Tokens) -> Iterator[slice]:
    """The positions of a sequence that have a next token, as many together as have logits at a time."""
    for start in range(0, len(tokens) - 1, _ROWS):
        yield slice(start, min(start + _ROWS, len(tokens) - 1))


def _said(chances_TV: Tensor, tokens: Tokens, rows: slice) -> float:
    """The log-likelihood of what follows at each of these positions, summed."""
    target_T1 = torch.tensor(tokens[rows.start + 1 : rows.stop + 1], device=chances_TV.device)[:, None]
    return float(chances_TV.gather(1, target_T1).double().sum())


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # beyond it a float overflows
