"""The loss of a student that learns what its teacher predicts (arXiv 1503.02531) and, in part, what the text says.

    L = α τ² · KL( softmax(z_T/τ) ‖ softmax(z_S/τ) ) + (1 − α) · CE

Letters: B sequences, T tokens, N positions that count, D model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from edgelm.compress.base import Tokens
from edgelm.compress.quality import Head

CHUNK = 256  # positions whose logits are in memory at a time
_PASS = 4096  # tokens that go through the networks at a time, padding included


@dataclass(frozen=True)
class Aim:
    """What is asked of a student's logits.

    Attributes:
        tau: the temperature τ at which both are compared.
        alpha: the share α of the teacher; the rest is the text's.
    """

    tau: float = 1.0
    alpha: float = 0.9

    def __call__(self, logits_NV: Tensor, taught_NV: Tensor, next_N: Tensor) -> tuple[Tensor, Tensor]:
        """The loss summed over positions, and its gradient by the logits."""
        soft_NV, taught_NV = (logits_NV / self.tau).log_softmax(-1), (taught_NV / self.tau).log_softmax(-1)
        share_NV = taught_NV.exp()
        loss = self.alpha * self.tau**2 * (share_NV * (taught_NV - soft_NV)).sum()
        gradient_NV = self.alpha * self.tau * (soft_NV.exp() - share_NV)
        if self.alpha < 1:
            hard_NV, next_N1, rest = logits_NV.log_softmax(-1), next_N[:, None], 1 - self.alpha
            loss = loss - rest * hard_NV.gather(1, next_N1).sum()
            gradient_NV += rest * hard_NV.exp()
            gradient_NV.scatter_add_(1, next_N1, torch.full_like(next_N1, -rest, dtype=gradient_NV.dtype))
        return loss, gradient_NV


def summed(states_ND: Tensor, head: Head, taught_ND: Tensor, teacher: Head, next_N: Tensor, aim: Aim) -> Tensor:
    """The loss summed over positions, with gradients by the states and by the head.

    Never more than `CHUNK` positions have logits, which for all of them would be the largest tensors by far.

    Args:
        states_ND: final states of the student.
        head: the student's.
        taught_ND: final states of the teacher.
        teacher: its head, for the same vocabulary.
        next_N: the token that comes next.
        aim: the loss of a chunk.
    """
    return _Summed.apply(states_ND.float(), head.weight_VD, head.bias_V, taught_ND, teacher, next_N, aim)


class _Summed(torch.autograd.Function):
    """Gradients are made together with the loss, chunk by chunk, so that logits are computed once."""

    @staticmethod
    def forward(
        ctx: Any, states_ND: Tensor, weight_VD: Tensor, bias_V: Tensor | None, taught_ND: Tensor, teacher: Head,
        next_N: Tensor, aim: Aim,
    ) -> Tensor:  # fmt: skip
        d_states_ND, d_weight_VD, d_bias_V = (
            torch.zeros_like(given) if given is not None and wanted else None
            for given, wanted in zip((states_ND, weight_VD, bias_V), ctx.needs_input_grad[:3], strict=True)
        )
        head, total = Head(weight_VD, bias_V), states_ND.new_zeros(())
        for start in range(0, len(next_N), CHUNK):
            part = slice(start, start + CHUNK)
            loss, d_logits_NV = aim(head(states_ND[part]), teacher(taught_ND[part]), next_N[part])
            total += loss
            if d_states_ND is not None:
                d_states_ND[part] = d_logits_NV @ weight_VD
            if d_weight_VD is not None:
                d_weight_VD.addmm_(d_logits_NV.T, states_ND[part])
            if d_bias_V is not None:
                d_bias_V += d_logits_NV.sum(0)
        ctx.save_for_backward(d_states_ND, d_weight_VD, d_bias_V)
        return total

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> tuple[Tensor | None, ...]:
        made = (None if gradient is None else gradient * scales[0] for gradient in ctx.saved_tensors)
        return (*made, None, None, None, None)


@dataclass(frozen=True)
class Distillation:
    """A student beside its teacher, both stock models for the same tokens on one device."""

    student: Any
    teacher: Any
    aim: Aim

    def passes(self, rows: Sequence[Tokens]) -> Iterator[Tensor]:
        """The mean loss over all predicted tokens of some sequences, in parts whose gradients are to be summed."""
        count = sum(len(row) - 1 for row in rows)
        for part in _passes(rows):
            yield self.loss(*padded(part)) / count

    def loss(self, ids_BT: Tensor, counts_BT: Tensor) -> Tensor:
        """The loss summed over the positions that count, each judged by its prediction of the next token.

        Padding stands on the right, where no token before it sees it: the networks need no mask.
        """
        place = self.student.lm_head.weight.device
        ids_BT, counts_BT = ids_BT.to(place), counts_BT.to(place)
        next_BT = ids_BT.roll(-1, dims=1)
        with torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
            with torch.no_grad():
                taught_BTD = self.teacher.base_model(ids_BT, use_cache=False)[0]
            states_BTD = self.student.base_model(ids_BT, use_cache=False)[0]
        return summed(states_BTD[counts_BT], _head(self.student), taught_BTD[counts_BT], _head(self.teacher),
                      next_BT[counts_BT], self.aim)  # fmt: skip


def _head(network: Any) -> Head:
    return Head(network.lm_head.weight, network.lm_head.bias)


def padded(rows: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Sequences as one tensor (B × T), and which positions have a next token that is theirs."""
    ids_BT = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths_B1 = torch.tensor([[len(row)] for row in rows])
    return ids_BT, torch.arange(ids_BT.shape[1]) < lengths_B1 - 1


def _passes(rows: Sequence[Tokens]) -> Iterator[list[Tokens]]:
    """Sequences of like length together, as many as go through at a time."""
    part: list[Tokens] = []
    for row in sorted(rows, key=len):
        if part and (len(part) + 1) * len(row) > _PASS:
            yield part
            part = []
        part.append(row)
    yield part
