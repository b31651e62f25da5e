from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgelm.compress.maths.hidden_refit import ReaderMoments
from edgelm.errors import Unsupported

D, S, O = 24, 16, 10  # noqa: E741


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moments_of(base_TD: Tensor, now_TS: Tensor) -> ReaderMoments:
    moments = ReaderMoments("a norm")
    for rows in range(0, len(base_TD), 50):
        moments.add(base_TD[rows : rows + 50], now_TS[rows : rows + 50])
    return moments


def first(weight_OD: Tensor) -> Tensor:
    return weight_OD[:, :S]


@pytest.mark.parametrize("biased", [False, True])
def test_the_fit_is_the_minimum(biased: bool) -> None:
    base_TD = random(200, D) + 1
    now_TS = (base_TD @ random(D, S, seed=1) + 0.3 * random(200, S, seed=2)) / D**0.5
    weight_OD, bias_O = random(O, D, seed=3), random(O, seed=4) if biased else None
    moments = moments_of(base_TD, now_TS)
    made_OS, shift_O = moments.fit(weight_OD, first, bias_O)
    made_OS.requires_grad_()
    bias = torch.zeros(O) if shift_O is None else shift_O.clone().requires_grad_()
    target_TO = base_TD @ weight_OD.T + (0 if bias_O is None else bias_O)
    loss = (target_TO - now_TS @ made_OS.T - bias).square().sum()
    loss = loss + moments.penalty * (made_OS - first(weight_OD)).square().sum()
    loss.backward()
    assert made_OS.grad is not None
    assert made_OS.grad.abs().max() < 1e-2
    assert (shift_O is not None) == biased
    if biased:
        assert bias.grad is not None
        assert bias.grad.abs().max() < 1e-2


def test_nothing_to_mend_mends_nothing() -> None:
    base_TD, weight_OD, bias_O = random(100, D), random(O, D, seed=1), random(O, seed=2)
    made_OD, shift_O = moments_of(base_TD, base_TD).fit(weight_OD, lambda rows: rows, bias_O)
    assert torch.allclose(made_OD, weight_OD, atol=1e-5)
    assert shift_O is not None
    assert torch.allclose(shift_O, bias_O, atol=1e-5)


def test_a_silent_norm_keeps_its_readers() -> None:
    weight_OD = random(O, D)
    made_OS, _ = moments_of(torch.zeros(100, D), torch.zeros(100, S)).fit(weight_OD, first, None)
    assert torch.allclose(made_OS, first(weight_OD))


def test_few_tokens_are_trusted_less() -> None:
    base_TD = random(400, D)
    few, many = (moments_of(base_TD[:count], base_TD[:count, :S]) for count in (2 * S - 1, 400))
    for moments in (few, many):
        moments.fit(random(O, D), first, None)
    assert few.penalty / few.tokens > 3 * many.penalty / many.tokens


def test_sums_that_are_no_numbers_name_the_norm() -> None:
    with pytest.raises(Unsupported, match="a norm cannot be fitted"):
        moments_of(torch.full((9, D), torch.nan), torch.full((9, S), torch.nan)).fit(random(O, D), first, None)
