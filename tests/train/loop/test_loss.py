"""The loss: cross-entropy as torch has it, with its gradients, in chunks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from edgelm.train.loop import loss
from edgelm.train.loop.loss import summed_loss
from edgelm.train.rows.batches import IGNORED

POSITIONS, WIDTH, VOCAB = 37, 16, 50


@pytest.fixture
def case():
    torch.manual_seed(0)
    labels = torch.randint(VOCAB, (POSITIONS,))
    labels[::3] = IGNORED
    labels[-2:] = IGNORED
    return torch.randn(POSITIONS, WIDTH), torch.randn(VOCAB, WIDTH), labels


def reference(hidden, head, labels, z=0.0):
    """Value and gradients in float64; the z term has a gradient alone."""
    hidden, head = hidden.double().requires_grad_(), head.double().requires_grad_()
    logits = hidden @ head.T
    value = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    (value + z * (logits.logsumexp(-1)[labels != IGNORED] ** 2).sum()).backward()
    return value.detach(), hidden.grad, head.grad


@pytest.mark.parametrize("z", [0.0, 1e-2])
@pytest.mark.parametrize("rows", [1, 5, 24, 36, 37, 100])
def test_value_and_gradients_are_those_of_torch(case, rows, z, monkeypatch):
    monkeypatch.setitem(loss.CELLS, "cpu", rows * VOCAB)
    hidden, head = case[0].clone().requires_grad_(), case[1].clone().requires_grad_()
    found = summed_loss(hidden, head, case[2], z)
    (found * 0.5).backward()
    value, d_hidden, d_head = reference(*case, z)
    assert found.item() == pytest.approx(value.item(), rel=1e-6)
    assert torch.allclose(hidden.grad.double(), d_hidden / 2, atol=1e-5)
    assert torch.allclose(head.grad.double(), d_head / 2, atol=1e-5)


@pytest.mark.parametrize("z", [0.0, 1e-2])
def test_what_is_compiled_for_a_gpu_is_the_same_chunk(case, z):
    logits = case[0] @ case[1].T
    made, wanted = (form(logits.clone(), case[2], z) for form in (loss.by_comparing, loss.in_place))
    gradient = wanted[1] * (case[2] != IGNORED)[:, None]  # on a CPU ignored labels never come so far
    torch.testing.assert_close(made[0], wanted[0])
    torch.testing.assert_close(made[1], gradient)


def test_ignored_positions_have_no_gradient(case):
    hidden = case[0].clone().requires_grad_()
    summed_loss(hidden, case[1], case[2], 1e-2).backward()
    ignored = case[2] == IGNORED
    assert not hidden.grad[ignored].any() and hidden.grad[~ignored].any(dim=-1).all()


def test_nothing_to_learn_is_no_loss_and_no_gradient(case):
    hidden, head = case[0].requires_grad_(), case[1].requires_grad_()
    found = summed_loss(hidden, head, torch.full_like(case[2], IGNORED))
    found.backward()
    assert found.item() == 0 and not hidden.grad.any() and not head.grad.any()


def test_without_gradients_none_are_made(case, monkeypatch):
    """Looking at held-out text costs no product but the logits."""
    hidden, head = case[0], case[1].clone().requires_grad_()
    products = []
    monkeypatch.setattr(torch, "mm", lambda *given, **named: products.append(given))
    with torch.no_grad():
        found = summed_loss(hidden, head, case[2])
    assert found.item() == pytest.approx(reference(*case)[0].item(), rel=1e-6)
    assert not found.requires_grad and not products


def test_products_in_bfloat16_and_the_loss_in_float32(case):
    hidden, head = case[0].clone().requires_grad_(), case[1].clone().requires_grad_()
    found = summed_loss(hidden, head, case[2], dtype=torch.bfloat16)
    found.backward()
    value, d_hidden, d_head = reference(*case)
    assert found.dtype == hidden.grad.dtype == head.grad.dtype == torch.float32
    assert found.item() == pytest.approx(value.item(), rel=1e-2)
    for ours, exact in ((hidden.grad, d_hidden), (head.grad, d_head)):
        assert F.cosine_similarity(ours.double().flatten(), exact.flatten(), dim=0) > 0.999


def test_large_logits_are_no_trouble():
    hidden, head = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    found = summed_loss(hidden, head, torch.tensor([1]))
    found.backward()
    assert found.item() == 2000 and hidden.grad.item() == 2


@pytest.mark.parametrize("frozen", [0, 1])
def test_either_side_may_be_frozen(case, frozen):
    sides = [case[0].clone(), case[1].clone()]
    sides[1 - frozen].requires_grad_()
    summed_loss(*sides, case[2]).backward()
    exact = reference(*case)[2 - frozen]
    assert torch.allclose(sides[1 - frozen].grad.double(), exact, atol=1e-5)
