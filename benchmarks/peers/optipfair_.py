"""optipfair as installed (`pip install optipfair`): channels by weights (MAW), also with activations, or layers."""

from __future__ import annotations

from typing import Any

import torch
from peers.network import Batches, DoesNotRun, layers, split

VARIANTS = ("MAW", "MAW with activations", "layers")


def look(network: Any, batches: Batches) -> Batches:
    """It runs the text itself."""
    return batches


def cut(network: Any, batches: Batches, removed: float, seed: int, variant: str) -> None:
    try:
        import optipfair
        from optipfair.pruning.depth import analyze_layer_importance
    except ImportError:
        raise DoesNotRun("optipfair is not installed") from None
    loader = [{"input_ids": torch.tensor([list(tokens)])} for tokens in batches]
    try:
        if variant == "layers":
            influence = analyze_layer_importance(network, loader, show_progress=False)
            gone = sorted(influence, key=influence.__getitem__)[: int(removed * len(layers(network)))]
            optipfair.prune_model(network, "DEPTH", layer_indices=gone, show_progress=False)
        else:
            _, channels = split(network, removed, heads=False)
            share = 100 * (1 - channels / network.config.intermediate_size)
            given = loader if variant == "MAW with activations" else None
            optipfair.prune_model(network, "MLP_GLU", "MAW", share, dataloader=given, show_progress=False)
    except Exception as error:  # whatever breaks inside of it
        raise DoesNotRun(f"optipfair: {type(error).__name__}: {error}"[:160]) from None
