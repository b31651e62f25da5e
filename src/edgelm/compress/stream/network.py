"""A whole model in memory at once, for training that must see all of it, and what became of it put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from edgelm.compress.config import own
from edgelm.compress.stream.layer import turned
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.names import names_of


def network_of(model: Model, dtype: torch.dtype = torch.float32) -> Any:
    """The stock transformers model, with all weights in `dtype`; tensors that are tied stay one."""
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**own(model.config)))
    inner = network.base_model
    if hasattr(inner, "rotary_emb"):  # tables, which no file holds
        inner.rotary_emb = type(inner.rotary_emb)(config=network.config)
    weights = {name: model.outer(name).to(dtype) for name in model.pieces}
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
        prefix = names_of(model.config).layer(number)
        changed = _changed(model, {name: learned.pop(name) for name in list(learned) if name.startswith(prefix)})
        if changed:
            below = {name.removeprefix(prefix): tensor for name, tensor in changed.items()}
            model.put_layer(number, turned(model.config, below))
    for name, tensor in _changed(model, learned).items():
        model.put_outer(name, tensor)


def _changed(model: Model, learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those that differ from the model's, on the CPU."""
    here = {name: tensor.cpu() for name, tensor in learned.items()}
    return {
        name: tensor for name, tensor in here.items() if not torch.equal(tensor, model.outer(name).to(tensor.dtype))
    }
