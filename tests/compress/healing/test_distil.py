from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from edgelm.compress.healing import distil
from edgelm.compress.healing.distil import Aim, Distillation, padded, summed
from edgelm.compress.quality import Head
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.network import network_of

N, D, V = 37, 12, 50


def plain(logits_NV: Tensor, taught_NV: Tensor, next_N: Tensor, aim: Aim) -> Tensor:
    """The loss as the formula has it."""
    soft, taught = (logits_NV / aim.tau).log_softmax(-1), (taught_NV / aim.tau).log_softmax(-1)
    divergence = kl_div(soft, taught, reduction="sum", log_target=True)
    return aim.alpha * aim.tau**2 * divergence + (1 - aim.alpha) * cross_entropy(logits_NV, next_N, reduction="sum")


@pytest.fixture
def given() -> dict[str, Any]:
    """Random states, heads and tokens; every second head with a bias."""
    torch.manual_seed(3)
    head = Head(torch.randn(V, D, requires_grad=True), torch.randn(V, requires_grad=True))
    return {"states_ND": torch.randn(N, D, requires_grad=True), "head": head, "taught_ND": torch.randn(N, D + 4),
            "teacher": Head(torch.randn(V, D + 4), None), "next_N": torch.randint(0, V, (N,))}  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 5, 64])
@pytest.mark.parametrize("aim", [Aim(), Aim(2.5, 0.9), Aim(0.5, 1.0), Aim(1.0, 0.0)])
def test_in_chunks_it_is_the_formula(given: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, aim: Aim) -> None:
    monkeypatch.setattr(distil, "CHUNK", chunk)
    learned = [given["states_ND"], given["head"].weight_VD, given["head"].bias_V]
    loss = summed(**given, aim=aim)
    whole = plain(given["head"](given["states_ND"]), given["teacher"](given["taught_ND"]), given["next_N"], aim)
    assert (loss / whole).item() == pytest.approx(1, abs=1e-6)
    for found, expected in zip(
        torch.autograd.grad(3 * loss, learned), torch.autograd.grad(whole, learned), strict=True
    ):
        assert torch.allclose(found, 3 * expected, rtol=1e-5, atol=1e-4)


def test_without_a_teachers_share_it_is_cross_entropy(given: Any) -> None:
    plain_loss = cross_entropy(given["head"](given["states_ND"]), given["next_N"], reduction="sum")
    assert summed(**given, aim=Aim(alpha=0)).item() == pytest.approx(plain_loss.item(), rel=1e-6)


@pytest.mark.parametrize("tau", [0.7, 1.0, 4.0])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(given: Any, tau: float) -> None:
    same = given | {"taught_ND": given["states_ND"].detach(), "teacher": given["head"]}
    loss = summed(**same, aim=Aim(tau, 1.0))
    assert loss == 0
    loss.backward()
    for learned in (given["states_ND"], given["head"].weight_VD, given["head"].bias_V):
        assert not learned.grad.any()


def test_no_gradient_that_nobody_wants(given: Any) -> None:
    frozen = given | {"head": Head(given["head"].weight_VD.detach(), None)}
    summed(**frozen, aim=Aim()).backward()
    assert given["states_ND"].grad.any()
    assert given["head"].weight_VD.grad is None


@pytest.fixture
def pair(model: Model) -> Distillation:
    """A student that is its teacher but for the last norm."""
    student, teacher = network_of(model), network_of(model).requires_grad_(False)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "layernorm" in name:
                parameter.mul_(1.1)
    return Distillation(student, teacher, Aim())


def test_what_does_not_count_has_no_gradient(pair: Distillation, batches: list[list[int]]) -> None:
    ids, counts = padded([batches[0], batches[1][:20]])
    assert counts.sum(1).tolist() == [len(batches[0]) - 1, 19]
    counts[0, 5:9] = False
    seen: list[Tensor] = []

    def keep(module: Any, args: Any, made: Any) -> None:
        made[0].retain_grad()
        seen.append(made[0])

    pair.student.model.register_forward_hook(keep)
    pair.loss(ids, counts).backward()
    assert seen[0].grad is not None
    assert torch.equal(seen[0].grad.abs().sum(-1) > 0, counts)


def test_padding_and_passes_change_nothing(
    pair: Distillation, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [batches[0], batches[1][:9], batches[2][:30], batches[3]]
    alone = sum(pair.loss(*padded([row])).item() for row in rows) / sum(len(row) - 1 for row in rows)
    for most, parts in ((4096, 1), (100, 2), (1, 4)):
        monkeypatch.setattr(distil, "_PASS", most)
        found = [loss.item() for loss in pair.passes(rows)]
        assert len(found) == parts
        assert sum(found) == pytest.approx(alone, rel=1e-5)
