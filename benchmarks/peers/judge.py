"""Perplexity, and KL from the base, of any model in memory, on the text of each data set and as their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peers.network import ids
from torch import Tensor

from edgelm.compress.base import Tokens

MEAN = "mean"


class Judge:
    """Knows what the base predicts, kept as the states that its head reads.

    Args:
        network: the base; must not change afterwards.
        held: sequences by data set.
    """

    def __init__(self, network: Any, held: Mapping[str, Sequence[Tokens]]) -> None:
        self._held, self._head_VD = held, network.lm_head.weight.detach().clone()
        with torch.no_grad():
            self._states = {name: [network.model(ids(tokens, network), use_cache=False).last_hidden_state[0, :-1]
                                   for tokens in sequences] for name, sequences in held.items()}  # fmt: skip

    def __call__(self, network: Any) -> dict[str, dict[str, float]]:
        """By data set, and as the mean over data sets: `loss` and `kl` in nats a token, `perplexity` = exp(loss)."""
        made = {name: self._one(network, name) for name in self._held}
        made[MEAN] = {key: sum(one[key] for one in made.values()) / len(made) for key in ("loss", "kl")}
        return {name: {**one, "perplexity": math.exp(min(one["loss"], 700.0))} for name, one in made.items()}

    @torch.no_grad()
    def _one(self, network: Any, name: str) -> dict[str, float]:
        loss = kl = 0.0
        count = 0
        for tokens, state_TD in zip(self._held[name], self._states[name], strict=True):
            given = ids(tokens, network)
            now_TV = network(given, use_cache=False).logits[0, :-1].float().log_softmax(-1)
            base_TV = (state_TD @ self._head_VD.T).float().log_softmax(-1)
            kl += _kl(base_TV, now_TV)
            loss -= float(now_TV.gather(1, given[0, 1:, None]).sum(dtype=torch.float64))
            count += len(now_TV)
        return {"loss": loss / count, "kl": kl / count}


def _kl(base_TV: Tensor, now_TV: Tensor) -> float:
    return float(torch.nn.functional.kl_div(now_TV, base_TV, reduction="sum", log_target=True))
