"""One decoder layer of stock code, with the tensors that it is given, and a sequence on its way through the layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from edgelm.compress.base import Config
from edgelm.files import canonical_json, parse_json


@dataclass(frozen=True)
class Passage:
    """One sequence on its way: the stream as it enters the next layer, and what every layer is called with besides."""

    x_TD: Tensor  # noqa: N815
    calls: Mapping[str, Mapping[str, Any]]  # by layer type: mask, positions, rotary tables

    def through(self, x_TD: Tensor) -> Passage:
        """The same sequence one layer on."""
        return replace(self, x_TD=x_TD)


class Layer:
    """A layer that can be run.

    Args:
        config: of the model.
        number: which of its layers this is, from 0.
        tensors: its weights by their names below the layer, in the dtype to compute in.
    """

    def __init__(self, config: Config, number: int, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.kind = kind_of(config, number)
        with torch.device("meta"):
            network = _skeleton(config).network
            self._module = type(network.model.layers[number])(network.config, number)
        self._module.load_state_dict(tensors, assign=True)
        self._module.requires_grad_(False).eval()

    @torch.no_grad()
    def run(self, passage: Passage) -> Passage:
        """The sequence behind the layer."""
        x_1TD = self._module(passage.x_TD[None], **passage.calls[self.kind])
        return passage.through((x_1TD[0] if isinstance(x_1TD, tuple) else x_1TD)[0])

    def watch(self, passage: Passage, modules: Sequence[str]) -> tuple[Passage, dict[str, Tensor]]:
        """The sequence behind the layer, and what the named modules were given (T × in)."""
        with _inputs({name: self._module.get_submodule(name) for name in modules}) as seen:
            after = self.run(passage)
        return after, {name: given[0] for name, given in seen.items()}


@torch.no_grad()
def enter(config: Config, x_TD: Tensor) -> Passage:
    """A sequence from its embedded tokens, and what its layers will be called with; no layer runs."""
    inner = _skeleton(config).network.model
    gates = [_Turnstile() for _ in inner.layers]
    real, inner.layers = inner.layers, nn.ModuleList(gates)
    try:
        with _inputs({"first": gates[0]}) as seen:
            inner(inputs_embeds=x_TD[None], use_cache=False)
    finally:
        inner.layers = real
    return Passage(seen["first"][0], {kind_of(config, number): gate.call for number, gate in enumerate(gates)})


@torch.no_grad()
def normed(config: Config, x_TD: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """The states that the head reads, by a final norm with these weights."""
    return torch.func.functional_call(_skeleton(config).final, dict(tensors), (x_TD,))


FINAL_NORM = {"phi": "final_layernorm"}  # elsewhere it is called "norm"


def kind_of(config: Config, number: int) -> str:
    """Layers of one kind share their mask (full or sliding attention)."""
    types = getattr(_skeleton(config).network.config, "layer_types", None)
    return types[number] if types else ""


class _Turnstile(nn.Module):
    """Stands where a layer stands, notes what it is called with, and lets the stream pass unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.call: dict[str, Any] = {}

    def forward(self, hidden_states: Tensor, **call: Any) -> Tensor:
        self.call = call
        return hidden_states


@contextmanager
def _inputs(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect what modules are called with, for as long as the block lasts."""
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        return lambda _, inputs: seen.__setitem__(name, inputs[0])

    hooks = [module.register_forward_pre_hook(note(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class _Skeleton:
    """The stock model of a configuration: no weights, but able to make masks and rotary tables."""

    network: Any
    final: nn.Module  # the norm before the head, taken out of the network


def _skeleton(config: Config) -> _Skeleton:
    return _skeleton_of(canonical_json(config))


@lru_cache(maxsize=4)
def _skeleton_of(text: bytes) -> _Skeleton:
    stock = AutoConfig.for_model(**parse_json(text, "a configuration"))
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(stock).eval()
    network.model.rotary_emb = type(network.model.rotary_emb)(config=network.config)
    name = FINAL_NORM.get(stock.model_type, "norm")
    final = getattr(network.model, name)
    setattr(network.model, name, nn.Identity())
    return _Skeleton(network, final)
