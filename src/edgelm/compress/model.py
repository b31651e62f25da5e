"""A causal language model opened for surgery: run layer by layer, layers and channels removed.

Everything that knows where a family keeps its parts is here. Letters: T tokens, D model width, F hidden channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import FAMILIES, Config, FeedForward, Tokens
from edgelm.compress.config import keep_layers
from edgelm.stock import load_model


@dataclass(frozen=True)
class Passage:
    """One sequence on its way: the stream as it enters the next layer, and what every layer is called with besides."""

    x_TD: Tensor  # noqa: N815
    calls: Mapping[str, Mapping[str, Any]]  # by layer type: mask, positions, rotary tables

    def through(self, x_TD: Tensor) -> Passage:
        """The same sequence one layer on."""
        return replace(self, x_TD=x_TD)


class _Turnstile(nn.Module):
    """Stands where a layer stands, notes what it is called with, and lets the stream pass unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.call: dict[str, Any] = {}

    def forward(self, hidden_states: Tensor, **call: Any) -> Tensor:
        self.call = call
        return hidden_states


class Decoder:
    """The opened model and the configuration that describes it at any moment."""

    def __init__(self, network: Any, config: Config) -> None:
        self.network = network.requires_grad_(False)
        self.config = config

    @classmethod
    def load(cls, checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Decoder:
        """Load a checkpoint with the stock class, to compute in `dtype`.

        Raises:
            InputError: see `load_model`.
        """
        return cls(load_model(checkpoint, dtype), checkpoint.config)

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers."""
        return self.network.model.layers

    @property
    def head(self) -> nn.Linear:
        """What makes logits of the final states."""
        return self.network.lm_head

    @property
    def _parts(self) -> FeedForward:
        return FAMILIES[self.config["model_type"]]

    def writer(self, layer: int) -> nn.Linear:
        """The feed-forward matrix that writes into the stream."""
        return self._module(layer, self._parts.writer)

    def _module(self, layer: int, name: str) -> nn.Linear:
        return getattr(self.layers[layer].mlp, name)

    # Running

    @torch.no_grad()
    def enter(self, tokens: Tokens) -> Passage:
        """Embed a sequence, and note what its layers will be called with; no layer runs."""
        real, gates = self.layers, [_Turnstile() for _ in self.layers]
        self.network.model.layers = nn.ModuleList(gates)
        try:
            with _inputs(gates[0]) as seen:
                self.network.model(input_ids=self._ids(tokens), use_cache=False)
        finally:
            self.network.model.layers = real
        return Passage(seen[0][0], {self._type(layer): gate.call for layer, gate in enumerate(gates)})

    def _ids(self, tokens: Tokens) -> Tensor:
        return torch.tensor([list(tokens)], device=self.network.device)

    def _type(self, layer: int) -> str:
        """Layers of one type share their mask (full or sliding attention)."""
        types = getattr(self.network.config, "layer_types", None)
        return types[layer] if types else ""

    @torch.no_grad()
    def run(self, layer: int, passage: Passage) -> Passage:
        """The sequence behind one layer."""
        x_1TD = self.layers[layer](passage.x_TD[None], **passage.calls[self._type(layer)])
        return passage.through(x_1TD[0])

    def run_watching(self, layer: int, passage: Passage) -> tuple[Passage, Tensor]:
        """The sequence behind one layer, and its hidden channels there (T × F)."""
        with _inputs(self.writer(layer)) as seen:
            after = self.run(layer, passage)
        return after, seen[0][0]

    @torch.no_grad()
    def final_states(self, tokens: Tokens) -> Tensor:
        """The normalised states that the head reads (T × D)."""
        return self.network.model(input_ids=self._ids(tokens), use_cache=False).last_hidden_state[0]

    # Surgery

    def keep_layers(self, kept: Sequence[int]) -> None:
        """Remove all other layers and renumber these."""
        self.network.model.layers = nn.ModuleList(self.layers[layer] for layer in kept)
        self.config = keep_layers(self.config, kept)
        self.network.config.num_hidden_layers = len(kept)
        if "layer_types" in self.config:
            self.network.config.layer_types = list(self.config["layer_types"])

    def narrow(self, layer: int, kept: Tensor, weight_DS: Tensor, shift_D: Tensor) -> None:
        """Keep the hidden channels `kept` of one layer; the output matrix becomes `weight_DS`, its bias moves."""
        for name in self._parts.readers:
            reader = self._module(layer, name)
            bias = None if reader.bias is None else reader.bias[kept]
            setattr(self.layers[layer].mlp, name, _linear(reader.weight[kept], bias))
        writer = self.writer(layer)
        bias = None if writer.bias is None else (writer.bias + shift_D).to(writer.bias.dtype)
        setattr(self.layers[layer].mlp, self._parts.writer, _linear(weight_DS.to(writer.weight.dtype), bias))
        self.config = {**self.config, "intermediate_size": len(kept)}

    def tensors(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The tensors of those names, as they are now."""
        state = self.network.state_dict()
        return {name: state[name] for name in names}


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    out, into = weight.shape
    linear = nn.Linear(into, out, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.contiguous(), requires_grad=False)
    return linear


@contextmanager
def _inputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module is called with, for as long as the block lasts."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()
