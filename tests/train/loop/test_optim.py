"""The optimisers: Muon as published, and every parameter in exactly one of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from edgelm.train.base import Tuning
from edgelm.train.loop.model import fresh
from edgelm.train.loop.optim import Muon, optimisers, orthogonal

SHAPES = ((24, 16), (16, 24), (24, 16), (8, 8))


def newton_schulz(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """The iteration in float64, written out (https://kellerjordan.github.io/posts/muon)."""
    x = matrix.double() / matrix.double().norm()
    x = x.T if len(x) > len(x.T) else x
    for _ in range(rounds):
        square = x @ x.T
        x = 3.4445 * x - 4.7750 * square @ x + 2.0315 * square @ square @ x
    return x if x.shape == matrix.shape else x.T


def steps(optimizer, parameters, count=6):
    """Some updates with gradients that depend on nothing but their number; the weights afterwards."""
    draw = torch.Generator().manual_seed(1)
    for _ in range(count):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def weights():
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def test_updates_are_those_of_the_formula():
    ours, lr, decay, momentum = weights(), 0.02, 0.1, 0.9
    exact = [weight.detach().double() for weight in ours]
    moving = [torch.zeros_like(weight) for weight in exact]
    draw = torch.Generator().manual_seed(1)
    for _ in range(6):
        for number, weight in enumerate(exact):
            gradient = torch.randn(weight.shape, generator=draw).double()
            moving[number] = momentum * moving[number] + gradient
            update = newton_schulz(gradient + momentum * moving[number])
            exact[number] = (1 - lr * decay) * weight - lr * 0.2 * math.sqrt(max(weight.shape)) * update
    for found, wanted in zip(steps(Muon(ours, lr, momentum, decay), ours), exact, strict=True):
        assert torch.allclose(found.double(), wanted, rtol=0, atol=1e-5)


def test_updates_are_those_of_torch_but_for_its_bfloat16():
    ours, theirs = weights(), weights()
    made = steps(Muon(ours, 1e-3, 0.95, 0.1), ours)
    reference = torch.optim.Muon(theirs, lr=1e-3, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = weights()
    for found, wanted, start in zip(made, steps(reference, theirs), before, strict=True):
        assert (found - wanted).abs().max() < 1e-4
        assert (found - start).abs().max() > 1e-3  # so that standing still would not pass


@pytest.mark.parametrize("shape", [(64, 64), (64, 192), (192, 64), (1, 32)])
def test_singular_values_come_near_one(shape):
    torch.manual_seed(0)
    low_rank = torch.randn(shape[0], 1) @ torch.randn(1, shape[1])
    stack = torch.stack([torch.randn(shape), torch.randn(shape) * 1e-4, low_rank + 0.1 * torch.randn(shape)])
    for matrix, made in zip(stack, orthogonal(stack), strict=True):
        values = torch.linalg.svdvals(made)
        large = torch.linalg.svdvals(matrix) > 0.01 * matrix.norm()  # smaller ones need more rounds
        assert values[large].min() >= 0.6 and values.max() <= 1.3
        assert torch.allclose(made.double(), newton_schulz(matrix), atol=1e-3)


def test_a_stack_is_its_matrices_one_by_one():
    torch.manual_seed(0)
    stack = torch.randn(3, 8, 12)
    apart = torch.cat([orthogonal(matrix[None]) for matrix in stack])
    assert torch.allclose(orthogonal(stack), apart, atol=1e-6)
    assert not orthogonal(torch.zeros(1, 4, 4)).isnan().any()


@pytest.mark.parametrize("plain", [False, True])
def test_every_parameter_is_in_exactly_one_optimiser(plain, tiny):
    model = fresh(tiny.SHAPE, Tuning(0), tiny.TOKENIZER, 0)
    named = optimisers(model, muon=1e-3, adamw=2e-3, decay=0.1, plain=plain)
    held = [id(each) for _, optimizer, _ in named for group in optimizer.param_groups for each in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    assert [(label, rate) for label, _, rate in named] == (
        [("adamw", 2e-3)] if plain else [("muon", 1e-3), ("adamw", 2e-3)]
    )


@pytest.mark.parametrize("plain", [False, True])
def test_only_matrices_inside_layers_decay_and_only_they_are_muons(plain, tiny):
    model = fresh(tiny.SHAPE, Tuning(0), tiny.TOKENIZER, 0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decaying = set()
    for label, optimizer, _ in optimisers(model, muon=1e-3, adamw=1e-3, decay=0.1, plain=plain):
        for group in optimizer.param_groups:
            if group["decay" if label == "muon" else "weight_decay"]:
                decaying |= {names[id(each)] for each in group["params"]}
            if label == "adamw":
                assert group["betas"] == (0.9, 0.95)
    assert decaying == {name for name in tiny.SHAPE.tensors if "layers" in name and "norm" not in name}
