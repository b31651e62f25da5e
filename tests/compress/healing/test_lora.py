from __future__ import annotations

from typing import Any

import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.healing.lora import Corrections
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.network import network_of


def logits_of(network: Any, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return network(torch.tensor([tokens])).logits[0]


def shaken(corrections: Corrections) -> None:
    """As if something had been learned."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in corrections.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))


def test_at_the_start_nothing_changes(base: Checkpoint, opened: Any, batches: list[list[int]]) -> None:
    network = network_of(opened(base))
    before = logits_of(network, batches[0])
    Corrections(network, rank=8, seed=0)
    assert torch.equal(logits_of(network, batches[0]), before)


def test_merged_is_corrected(base: Checkpoint, opened: Any, batches: list[list[int]]) -> None:
    network = network_of(opened(base))
    names = [(name, parameter.shape) for name, parameter in network.named_parameters()]
    before = logits_of(network, batches[0])
    corrections = Corrections(network, rank=8, seed=0)
    shaken(corrections)
    corrected = logits_of(network, batches[0])
    corrections.merge()
    merged = logits_of(network, batches[0])
    assert (corrected - before).abs().max() > 0.01
    assert (merged - corrected).abs().max() < 1e-4
    assert [(name, parameter.shape) for name, parameter in network.named_parameters()] == names


def test_every_linear_layer_and_nothing_else_is_corrected(model: Model) -> None:
    network = network_of(model)
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    corrections = Corrections(network, rank=8, seed=0)
    shaken(corrections)
    corrections.merge()
    changed = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == {name for name in before if "layers" in name and before[name].ndim == 2}


def test_only_corrections_are_learned(model: Model, batches: list[list[int]]) -> None:
    network = network_of(model)
    corrections = Corrections(network, rank=8, seed=0)
    network(torch.tensor(batches[:1])).logits.sum().backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.grad is not None for parameter in corrections.parameters())


def test_seed_and_rank(model: Model) -> None:
    one, same, other = (Corrections(network_of(model), rank=1000, seed=seed) for seed in (1, 1, 2))
    first = [next(corrections.parameters()) for corrections in (one, same, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert max(min(parameter.shape) for parameter in one.parameters()) == 64  # no more than the matrices have
