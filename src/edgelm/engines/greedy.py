"""The next token of each row: the likeliest, after the checkpoint's repetition penalty if it has one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FAILED = -1  # in place of a token where the logits are not finite


class Choice:
    """Greedy choice; for a penalty other than 1 it remembers which tokens each row has had, prompt and answer."""

    def __init__(self, penalty: float, rows: int) -> None:
        self.penalty = penalty
        self._seen_NV: Tensor | None = None
        self._free = list(range(rows))
        self._place: dict[int, int] = {}

    def tokens(self, rows: Sequence[int], logits_RV: Tensor, new: Sequence[Sequence[int]]) -> list[int]:
        """The next token of each row, `FAILED` where its logits are not finite.

        Args:
            rows: their numbers.
            logits_RV: FP32.
            new: the tokens that each row has had since it was last asked: its prompt, then one at a time.
        """
        if self.penalty != 1:
            logits_RV = self._penalised(logits_RV, self._remember(rows, new, logits_RV))
        next_R1 = logits_RV.argmax(-1, keepdim=True)
        best_R1 = logits_RV.gather(1, next_R1)
        return next_R1.where(best_R1.isfinite(), FAILED)[:, 0].tolist()

    @property
    def rows(self) -> list[int]:
        """The rows that are remembered."""
        return list(self._place)

    def forget(self, rows: Sequence[int]) -> None:
        """Rows that ended."""
        self._free += [self._place.pop(row) for row in rows if row in self._place]

    def _remember(self, rows: Sequence[int], new: Sequence[Sequence[int]], logits_RV: Tensor) -> Tensor:
        """Which tokens each row has had, R × V."""
        if self._seen_NV is None:
            self._seen_NV = logits_RV.new_zeros(len(self._free), logits_RV.shape[1], dtype=torch.bool)
        for row in rows:
            if row not in self._place:
                self._place[row] = self._free.pop()
                self._seen_NV[self._place[row]] = False
        pairs = [(self._place[row], token) for row, tokens in zip(rows, new, strict=True) for token in tokens]
        places, tokens = torch.tensor(pairs, device=logits_RV.device).unbind(1)
        self._seen_NV[places, tokens] = True
        return self._seen_NV[torch.tensor([self._place[row] for row in rows], device=logits_RV.device)]

    def _penalised(self, logits_RV: Tensor, seen_RV: Tensor) -> Tensor:
        """As transformers' `RepetitionPenaltyLogitsProcessor` does it (arXiv 1909.05858)."""
        worse_RV = torch.where(logits_RV < 0, logits_RV * self.penalty, logits_RV / self.penalty)
        return torch.where(seen_RV, worse_RV, logits_RV)
