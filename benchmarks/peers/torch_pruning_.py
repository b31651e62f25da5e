"""torch-pruning as installed (`pip install torch-pruning`): its dependency graph and importances, on channels.

It is asked to cut the outputs of the gates, and finds itself what is coupled to them. `global` compares all layers with
one another, so that they become of unequal shape.
"""

from __future__ import annotations

from typing import Any

import torch
from peers.network import Batches, DoesNotRun, ids, layers, split
from torch import Tensor, nn

VARIANTS = ("magnitude", "Taylor", "Taylor global", "Taylor global, not normalised")


def cut(network: Any, slopes: dict[str, Tensor], removed: float, seed: int, variant: str) -> None:
    try:
        import torch_pruning as tp
    except ImportError:
        raise DoesNotRun("torch-pruning is not installed") from None
    _, channels = split(network, removed, heads=False)
    network.config.use_cache = False
    free = {linear for layer in layers(network) for linear in (layer.mlp.gate_proj, layer.mlp.up_proj)}
    taylor = variant.startswith("Taylor")
    importance = (
        tp.importance.GroupTaylorImportance(normalizer=None if "not" in variant else "mean")
        if taylor
        else tp.importance.GroupMagnitudeImportance(p=2)
    )
    try:
        pruner = tp.pruner.BasePruner(
            network, {"input_ids": ids(range(16), network)}, importance,
            global_pruning="global" in variant,
            pruning_ratio=1 - channels / network.config.intermediate_size,
            ignored_layers=[one for one in network.modules() if isinstance(one, nn.Linear) and one not in free],
            root_module_types=[nn.Linear], output_transform=lambda made: made.logits.sum(),
        )  # fmt: skip
        if taylor:
            for name, parameter in network.named_parameters():
                parameter.grad = slopes.get(name)
        pruner.step()
    except DoesNotRun:
        raise
    except Exception as error:  # whatever breaks inside of it
        raise DoesNotRun(f"torch-pruning {tp.__version__}: {type(error).__name__}: {error}"[:160]) from None
    finally:
        network.zero_grad(set_to_none=True)


def look(network: Any, batches: Batches) -> dict[str, Tensor]:
    """Gradients of the loss summed over the sequences."""
    with torch.enable_grad():
        for tokens in batches:
            given = ids(tokens, network)
            network(given, labels=given, use_cache=False).loss.backward()
    made = {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }
    network.zero_grad(set_to_none=True)
    return made
