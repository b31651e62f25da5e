from __future__ import annotations

import pytest
import torch

from edgelm.compress.maths.bending import Channels, bent_by
from edgelm.compress.maths.ridge import Ridge
from edgelm.errors import Unsupported

T, I, G, O = 120, 7, 5, 3  # noqa: E741 tokens, inputs, aims, outputs


@pytest.mark.parametrize("centred", [False, True])
def test_a_fit_is_the_ridge_solution(centred: bool) -> None:
    """Against torch's own least squares on the stacked problem, penalty rows and bias column included."""
    draw = torch.Generator().manual_seed(0)
    a, t = torch.randn(T, I, generator=draw).double() + 0.5, torch.randn(T, G, generator=draw).double() + 1
    through, start = torch.randn(O, G, generator=draw).double(), torch.randn(O, I, generator=draw).double()
    ridge = Ridge("here", centred=centred)
    for rows in (slice(0, 50), slice(50, T)):
        ridge.add(t[rows], a[rows])
    weight, shift = ridge.fit(start, through)
    rows = torch.cat([a, ridge.penalty**0.5 * torch.eye(I).double()])
    goal = torch.cat([t @ through.T, ridge.penalty**0.5 * start.T])
    if centred:
        rows = torch.cat([rows, torch.cat([torch.ones(T, 1), torch.zeros(I, 1)]).double()], dim=1)
    solution = torch.linalg.lstsq(rows, goal).solution
    assert torch.allclose(weight, solution[:I].T, atol=1e-9)
    assert torch.allclose(shift, solution[-1] if centred else torch.zeros(O).double(), atol=1e-9)


def test_fewer_tokens_hold_a_matrix_nearer_to_what_it_was() -> None:
    shares = []
    for tokens in (10, 210, 10**5):
        ridge = Ridge("here", centred=False)
        ridge.add(torch.randn(tokens, G), torch.randn(tokens, I))
        ridge.fit(torch.zeros(G, I))
        shares.append(ridge.penalty / tokens)  # the mean diagonal is about the number of tokens
    assert shares == pytest.approx([1, 0.1, 0.01], rel=0.5)


def test_sums_that_tell_nothing_are_refused_and_where_nothing_passes_nothing_changes() -> None:
    ridge = Ridge("layer 3", centred=False)
    ridge.add(torch.full((4, G), torch.nan), torch.full((4, I), torch.nan))
    with pytest.raises(Unsupported, match="layer 3"):
        ridge.fit(torch.zeros(G, I))
    silent, start = Ridge("layer 3", centred=False), torch.randn(G, I)
    silent.add(torch.zeros(4, G), torch.zeros(4, I))
    assert torch.allclose(silent.fit(start)[0], start)


@pytest.mark.parametrize("gated", [True, False])
def test_bending_finds_a_small_change_of_a_reader(gated: bool) -> None:
    """The channels were made by other readers: what is lacking because of that is mostly found again."""
    draw = torch.Generator().manual_seed(0)
    writer = torch.randn(6, 12, generator=draw)
    readers = [torch.randn(12, 6, generator=draw) for _ in range(1 + gated)]
    seen_n = [torch.randn(100, 6, generator=draw) for _ in range(3)]

    def written(n: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
        a = torch.nn.functional.silu(n @ weights[0].T)
        return (a * (n @ weights[1].T) if gated else a) @ writer.T

    def lacking(weights: list[torch.Tensor]) -> float:
        return sum(float((written(n, true) - written(n, weights)).square().sum()) for n in seen_n)

    for which in range(1 + gated):
        true = list(readers)
        true[which] = readers[which] + 0.05 * torch.randn(12, 6, generator=draw)
        channels = Channels(torch.nn.functional.silu, [(reader, 0.0) for reader in readers], writer)
        seen = [(n, written(n, true) - written(n, readers)) for n in seen_n]
        bent = list(readers)
        bent[which] = readers[which] + bent_by(channels, which, seen, 1e-3)
        assert lacking(bent) < 0.05 * lacking(readers)
        assert torch.equal(bent_by(channels, which, [(n, 0 * r) for n, r in seen], 1e-3), torch.zeros(12, 6))
