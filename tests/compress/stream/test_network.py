from __future__ import annotations

from typing import Any

import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.network import network_of, put_network
from edgelm.stock import load_model


def test_it_is_the_stock_model(base: Checkpoint, opened: Any, batches: list[list[int]]) -> None:
    network, stock, ids = network_of(opened(base)), load_model(base, torch.float32), torch.tensor(batches[:1])
    assert type(network) is type(stock)
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in stock.named_parameters()]
    with torch.no_grad():
        assert torch.equal(network(ids).logits, stock(ids).logits)


def test_tied_stays_tied(base: Checkpoint, opened: Any) -> None:
    network = network_of(opened(base))
    assert (network.lm_head.weight is network.model.embed_tokens.weight) == base.shape.tied


def test_half_precision_keeps_its_tables_whole(model: Model) -> None:
    network = network_of(model, torch.bfloat16)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    assert network.model.rotary_emb.inv_freq.dtype == torch.float32


def test_only_what_changed_is_put(base: Checkpoint, opened: Any, batches: list[list[int]], logits: Any) -> None:
    model = opened(base)
    before, network = dict(model.pieces), network_of(model)
    put_network(model, network)
    assert model.pieces == before
    changed = {"model.layers.1.self_attn.k_proj.weight", "model.layers.3.input_layernorm.weight", model.embedding}
    with torch.no_grad():
        for name in changed:
            network.get_parameter(name).mul_(1.5)
        put_network(model, network)
        assert {name for name, piece in model.pieces.items() if piece is not before[name]} == changed
        expected = network(torch.tensor(batches[:1])).logits[0]
    assert torch.allclose(logits(model, batches[0]), expected, atol=1e-5)
