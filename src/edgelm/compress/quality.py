"""What compression cost: perplexity before and after, and how far the predictions moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgelm.compress.base import Tokens
from edgelm.compress.model import Decoder

_ROWS = 256  # positions whose logits are in memory at a time


@dataclass(frozen=True)
class Reference:
    """What the base predicts on held-out text, kept as final states and head: far smaller than its logits."""

    held_out: Sequence[Tokens]
    states: list[Tensor]  # T × D of each sequence
    head: nn.Linear

    @classmethod
    def of(cls, base: Decoder, held_out: Sequence[Tokens]) -> Reference:
        """Run the base before it is changed."""
        return cls(held_out, [base.final_states(tokens) for tokens in held_out], base.head)

    @torch.no_grad()
    def compare(self, result: Decoder) -> dict[str, Any]:
        """Perplexities of base and result, and KL(base ‖ result) in nats a token.

        The perplexity is exp of the mean negative log-likelihood of every token but the first of a sequence.
        """
        loss_base = loss_result = divergence = 0.0
        count = 0
        for tokens, base_TD in zip(self.held_out, self.states, strict=True):
            result_TD = result.final_states(tokens)
            for start in range(0, len(tokens) - 1, _ROWS):
                rows = slice(start, min(start + _ROWS, len(tokens) - 1))
                target_T1 = torch.tensor(tokens[rows.start + 1 : rows.stop + 1], device=base_TD.device)[:, None]
                base_TV = self.head(base_TD[rows]).float().log_softmax(-1)
                result_TV = result.head(result_TD[rows]).float().log_softmax(-1)
                loss_base -= float(base_TV.gather(1, target_T1).double().sum())
                loss_result -= float(result_TV.gather(1, target_T1).double().sum())
                divergence += float((base_TV.exp() * (base_TV - result_TV)).double().sum())
                count += len(target_T1)
        return {
            "perplexity_base": _perplexity(loss_base / count),
            "perplexity": _perplexity(loss_result / count),
            "kl": divergence / count,
            "tokens": count,
        }


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # beyond it a float overflows
