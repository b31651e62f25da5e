"""The running average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgelm.train.loop.average import Average


def test_the_average_looks_back_over_a_tenth_of_the_updates():
    model = nn.Linear(1, 1, bias=False)
    average, expected = Average(model), 0.0
    for step in range(1, 101):
        nn.init.constant_(model.weight, float(step))
        average.update(step)
        weight = min(1.0, 10 / step)
        expected += weight * (step - expected)
        if step <= 10:
            assert average.tensors["weight"].item() == step
    assert average.tensors["weight"].item() == pytest.approx(expected)
    assert 85 < expected < 95


def test_in_its_place_it_leaves_the_weights_bit_for_bit():
    model = nn.Linear(3, 3)
    average = Average(model)
    own = {name: each.detach().clone() for name, each in model.named_parameters()}
    for tensor in average.tensors.values():
        tensor += 1 / 3
    kept = {name: each.clone() for name, each in average.tensors.items()}
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert all(torch.equal(each, kept[name]) for name, each in model.named_parameters())
        raise ZeroDivisionError
    assert all(torch.equal(each, own[name]) for name, each in model.named_parameters())
    assert all(torch.equal(each, kept[name]) for name, each in average.tensors.items())
