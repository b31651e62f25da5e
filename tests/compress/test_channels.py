from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgelm.compress.channels import Moments
from edgelm.errors import Unsupported

D, F, T = 6, 16, 200


def setting(seed: int, drift: float = 0.1) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """A weight, correlated activations of the base in four sequences, and those of a drifted stream."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(D, F, dtype=torch.float64, generator=generator)
    mix = torch.randn(F, F, dtype=torch.float64, generator=generator)
    base = [(torch.randn(T // 4, F, dtype=torch.float64, generator=generator) @ mix) + 0.5 for _ in range(4)]
    now = [a + drift * torch.randn(a.shape, dtype=torch.float64, generator=generator) for a in base]
    return weight, base, now


def moments(weight: Tensor, base: list[Tensor], now: list[Tensor], centred: bool = False) -> Moments:
    found = Moments(weight, centred=centred, layer=3)
    for a, b in zip(base, now, strict=True):
        found.add(a, b, [len(a)])
    return found


def test_sequences_count_alike_together_and_alone() -> None:
    weight, base, now = setting(0)
    alone = moments(weight, base, now)
    together = Moments(weight, centred=False, layer=3)
    together.add(torch.cat(base), torch.cat(now), [len(a) for a in base])
    for sums in ("act_F", "base_FF", "gram_FF", "cross_DF", "base_F", "sum_F", "target_D"):
        assert torch.allclose(getattr(alone, sums), getattr(together, sums))


@pytest.mark.parametrize("centred", [False, True])
def test_refit_is_the_ridge_solution(centred: bool) -> None:
    """Against torch's own least squares on the stacked problem, penalty rows and bias column included."""
    weight, base, now = setting(0)
    kept = torch.tensor([0, 2, 3, 7, 8, 12, 15])
    fit = moments(weight, base, now, centred).refit(kept)
    a, b = torch.cat(base), torch.cat(now)[:, kept]
    root = fit.penalty**0.5
    rows = torch.cat([b, root * torch.eye(len(kept), dtype=torch.float64)])
    goal = torch.cat([a @ weight.T, root * weight[:, kept].T])
    if centred:
        ones = torch.cat([torch.ones(T, 1), torch.zeros(len(kept), 1)]).double()
        rows = torch.cat([rows, ones], dim=1)
    solution = torch.linalg.lstsq(rows, goal).solution
    assert torch.allclose(fit.weight, solution[: len(kept)].T, atol=1e-8)
    assert torch.allclose(fit.shift, solution[-1] if centred else torch.zeros(D).double(), atol=1e-8)


def test_refit_equals_the_surgeons_form() -> None:
    """With â = a: W′ = [W − W_P (H̃⁻¹_PP)⁻¹ H̃⁻¹_{P:}]_S."""
    weight, base, _ = setting(1)
    found = moments(weight, base, base)
    kept = torch.arange(0, F, 2)
    gone = torch.arange(1, F, 2)
    fit = found.refit(kept)
    inverse = torch.linalg.inv(found.base_FF + fit.penalty * torch.eye(F, dtype=torch.float64))
    update = weight[:, gone] @ torch.linalg.solve(inverse[gone][:, gone], inverse[gone])
    assert torch.allclose(fit.weight, (weight - update)[:, kept], atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), drift=st.floats(0, 2), count=st.integers(1, F), centred=st.booleans())
def test_error_is_as_measured_and_never_raised(seed: int, drift: float, count: int, centred: bool) -> None:
    weight, base, now = setting(seed, drift)
    found = moments(weight, base, now, centred)
    kept = found.keep(count, "wact")
    a, b = torch.cat(base), torch.cat(now)[:, kept]
    errors = []
    for fit in (found.refit(kept), found.slice(kept)):
        rest = a @ weight.T - b @ fit.weight.T - fit.shift
        measured = float(rest.square().sum() / (a @ weight.T).square().sum())
        assert found.error(kept, fit) == pytest.approx(measured, rel=1e-6, abs=1e-12)
        errors.append(measured)
    assert errors[0] <= errors[1] * (1 + 1e-9) + 1e-20


def test_scores_follow_their_formulas() -> None:
    weight, base, now = setting(2)
    act = sum(a.abs().mean(0) ** 2 for a in base) ** 0.5  # type: ignore[operator]
    wact = torch.cat(base).square().mean(0) * weight.square().sum(0)
    for score, worth in (("act", act), ("wact", wact)):
        best = sorted(range(F), key=lambda channel: -worth[channel])[:5]
        assert moments(weight, base, now).keep(5, score).tolist() == sorted(best)
    found = moments(weight, base, now)
    inverse = torch.linalg.inv(found.base_FF + 0.01 * found.base_FF.diagonal().mean() * torch.eye(F).double())
    worst = int((weight.square().sum(0) / inverse.diagonal()).argmin())
    assert set(range(F)) - set(found.keep(F - 1, "obs").tolist()) == {worst}


@pytest.mark.parametrize("score", ["obs", "act", "wact"])
def test_permuting_channels_permutes_the_choice(score: str) -> None:
    weight, base, now = setting(3)
    order = torch.randperm(F, generator=torch.Generator().manual_seed(0))
    kept = moments(weight, base, now).keep(7, score)
    permuted = moments(weight[:, order], [a[:, order] for a in base], [b[:, order] for b in now]).keep(7, score)
    assert sorted(order[permuted].tolist()) == kept.tolist()
    assert moments(weight, base[::-1], now[::-1]).keep(7, score).tolist() == kept.tolist()


def test_surgeon_prefers_what_others_can_replace() -> None:
    """Of two equal channels one goes first however loud they are; the others together say nothing about the rest."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(T, F, dtype=torch.float64, generator=generator)
    a[:, 4] = 5 * a[:, 9]
    weight = torch.ones(D, F, dtype=torch.float64)
    weight[:, 4] *= 3
    kept = {score: set(moments(weight, [a], [a]).keep(F - 1, score).tolist()) for score in ("obs", "wact")}
    assert len({4, 9} & kept["obs"]) == 1
    assert {4, 9} & kept["wact"] >= {4}


def test_silent_layer_is_left_alone() -> None:
    weight = torch.randn(D, F)
    nothing = [torch.zeros(T, F)]
    found = moments(weight, nothing, nothing)
    kept = found.keep(4, "obs")
    assert torch.equal(found.refit(kept).weight, weight[:, kept].double())
    assert found.error(kept, found.slice(kept)) == 0


def test_a_gram_matrix_that_is_not_definite_takes_a_larger_penalty() -> None:
    weight, base, now = setting(4)
    found = moments(weight, base, now)
    usual = found.refit(torch.arange(8)).penalty
    found.gram_FF[0, 0] = -10 * usual  # as rounding in single precision may make it
    assert found.refit(torch.arange(8)).penalty == pytest.approx(100 * usual, rel=0.5)


@pytest.mark.parametrize("score", ["obs", "act"])
def test_what_cannot_be_solved_names_the_layer(score: str) -> None:
    weight, base, now = setting(5)
    base[0][0, 0] = now[0][0, 0] = torch.nan
    with pytest.raises(Unsupported, match="layer 3 computes infinities or NaN"):
        found = moments(weight, base, now)
        found.refit(found.keep(4, score))
    found = moments(weight, *setting(5)[1:])
    for gram in (found.base_FF, found.gram_FF):
        gram[0, 1] = gram[1, 0] = 1e9
    with pytest.raises(Unsupported, match="layer 3 cannot be told apart"):
        found.keep(4, "obs")
    with pytest.raises(Unsupported, match="layer 3 cannot be told apart"):
        found.refit(torch.arange(4))
