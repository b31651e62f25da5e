"""A whole model in memory at once, for training that must see all of it, and what became of it put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from edgelm.compress.stream.model import Model


def network_of(model: Model, dtype: torch.dtype = torch.float32) -> Any:
    """The stock transformers model, with all weights in `dtype`; tensors that are tied stay one."""
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**model.config))
    network.model.rotary_emb = type(network.model.rotary_emb)(config=network.config)  # tables, which no file holds
    weights = {name: piece.read().to(dtype) for name, piece in model.pieces.items()}
    network.load_state_dict(weights, strict=False, assign=True)  # a tied head has no tensor of its own
    network.tie_weights()
    assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    return network.eval()


def put_network(model: Model, network: Any) -> None:
    """Write what has changed of the weights; what is equal to the bit stays where it lies.

    Args:
        model: which `network_of` made the network from.
        network: on any device.
    """
    learned = {name: parameter.detach() for name, parameter in network.named_parameters()}
    for number in range(model.layers):
        prefix = f"model.layers.{number}."
        changed = _changed(model, {name: learned.pop(name) for name in list(learned) if name.startswith(prefix)})
        if changed:
            model.put_layer(number, {name.removeprefix(prefix): tensor for name, tensor in changed.items()})
    for name, tensor in _changed(model, learned).items():
        model.put_outer(name, tensor)


def _changed(model: Model, learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that differ from the model's, on the CPU."""
    here = {name: tensor.cpu() for name, tensor in learned.items()}
    return {
        name: tensor for name, tensor in here.items() if not torch.equal(tensor, model.outer(name).to(tensor.dtype))
    }
