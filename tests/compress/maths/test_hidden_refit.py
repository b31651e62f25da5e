from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgelm.compress.maths.hidden_refit import fitted, ridge_of
from edgelm.compress.maths.ridge import Ridge
from edgelm.errors import Unsupported

D, S, O = 24, 16, 10  # noqa: E741


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ridge(base_TD: Tensor, now_TS: Tensor, reader: dict[str, Tensor]) -> Ridge:
    made = ridge_of("a norm", [reader])
    for rows in range(0, len(base_TD), 50):
        made.add(base_TD[rows : rows + 50], now_TS[rows : rows + 50])
    return made


def first(weight_OD: Tensor) -> Tensor:
    return weight_OD[:, :S]


@pytest.mark.parametrize("biased", [False, True])
def test_the_fit_is_the_minimum(biased: bool) -> None:
    base_TD = random(200, D) + 1
    now_TS = (base_TD @ random(D, S, seed=1) + 0.3 * random(200, S, seed=2)) / D**0.5
    reader = {"weight": random(O, D, seed=3)} | ({"bias": random(O, seed=4)} if biased else {})
    sums = ridge(base_TD, now_TS, reader)
    made = {name: tensor.requires_grad_() for name, tensor in fitted(reader, first, sums).items()}
    assert made.keys() == reader.keys()
    target_TO = base_TD @ reader["weight"].T + reader.get("bias", 0)
    loss = (target_TO - now_TS @ made["weight"].T - made.get("bias", 0)).square().sum()
    loss = loss + sums.penalty * (made["weight"] - first(reader["weight"])).square().sum()
    loss.backward()
    for tensor in made.values():
        assert tensor.grad is not None
        assert tensor.grad.abs().max() < 1e-2


def test_nothing_to_mend_mends_nothing() -> None:
    base_TD, reader = random(100, D), {"weight": random(O, D, seed=1), "bias": random(O, seed=2)}
    made = fitted(reader, lambda rows: rows, ridge(base_TD, base_TD, reader))
    assert all(torch.allclose(made[name], reader[name], atol=1e-5) for name in reader)


def test_a_silent_norm_keeps_its_readers() -> None:
    reader = {"weight": random(O, D)}
    made = fitted(reader, first, ridge(torch.zeros(100, D), torch.zeros(100, S), reader))
    assert torch.allclose(made["weight"], first(reader["weight"]))


def test_few_tokens_are_trusted_less() -> None:
    base_TD, reader = random(400, D), {"weight": random(O, D)}
    few, many = (ridge(base_TD[:count], base_TD[:count, :S], reader) for count in (2 * S - 1, 400))
    for sums in (few, many):
        fitted(reader, first, sums)
    assert few.penalty / few.tokens > 3 * many.penalty / many.tokens


def test_sums_that_are_no_numbers_name_the_norm() -> None:
    reader = {"weight": random(O, D)}
    with pytest.raises(Unsupported, match="a norm cannot be fitted") as caught:
        fitted(reader, first, ridge(torch.full((9, D), torch.nan), torch.full((9, S), torch.nan), reader))
    assert "width:refit=0" in caught.value.mend
