"""One decoder layer of stock code, with the tensors that it is given, and a sequence on its way through the layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from edgelm.compress.base import Config
from edgelm.compress.config import own
from edgelm.compress.stream.device import home, placed
from edgelm.compress.stream.names import names_of
from edgelm.errors import Unsupported
from edgelm.files import canonical_json, parse_json


@dataclass(frozen=True)
class Passage:
    """Sequences on their way: the stream as it enters the next layer, and what every layer is called with besides."""

    x_TD: Tensor  # noqa: N815  # in the host's memory; one sequence lies behind the other
    calls: Mapping[str, Mapping[str, Any]]  # by layer type, in the host's memory: mask, positions, rotary tables
    lengths: tuple[int, ...]  # of the sequences, in tokens

    def through(self, x_TD: Tensor) -> Passage:
        """The same sequences one layer on."""
        return replace(self, x_TD=x_TD)

    @property
    def rests(self) -> list[int]:
        """The lengths of the sequences without their first tokens."""
        return [length - 1 for length in self.lengths]

    def rest(self, given_TI: Tensor) -> Tensor:
        """The rows of all tokens but the first of each sequence.

        That one is orders of magnitude larger than the others, and would outweigh them.
        """
        return torch.cat([part[1:] for part in given_TI.split(self.lengths)]) if self.lengths[1:] else given_TI[1:]

    def telling(self, given: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """What belongs to each sequence, without its first token."""
        parts = [tensor.split(self.lengths) for tensor in given.values()]
        for sequence in zip(*parts, strict=True):
            yield {name: part[1:] for name, part in zip(given, sequence, strict=True)}


class Layer:
    """A layer that can be run.

    Args:
        config: of the model.
        number: which of its layers this is, from 0.
        tensors: its weights by their names below the layer, matrices (out, in), in the dtype and on the device to
            compute in.
    """

    def __init__(self, config: Config, number: int, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.device = next(iter(tensors.values())).device
        self.kind = kind_of(config, number)
        with torch.device("meta"):
            skeleton = _skeleton(config)
            self._module = type(skeleton.layers[number])(skeleton.config, number)
        self._module.load_state_dict(turned(config, tensors), assign=True)
        self._module.requires_grad_(False).eval()

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """What the feed-forward makes of what its first matrix says (Llama, Qwen, Phi)."""
        mlp: Any = self._module.mlp
        found: Callable[[Tensor], Tensor] = mlp.activation_fn if hasattr(mlp, "activation_fn") else mlp.act_fn
        return found

    @torch.no_grad()
    def run(self, passage: Passage) -> Passage:
        """The sequences behind the layer."""
        return passage.through(home(self.output(passage)))

    def output(self, passage: Passage) -> Tensor:
        """The stream behind the layer (T × D), where the layer is."""
        x_TD = passage.x_TD.to(self.device, non_blocking=True)
        x_1TD = self._module(x_TD[None], **placed(passage.calls[self.kind], self.device))
        return (x_1TD[0] if isinstance(x_1TD, tuple) else x_1TD)[0]

    def watch(self, passage: Passage, modules: Sequence[str]) -> tuple[Passage, dict[str, Tensor]]:
        """The sequences behind the layer, and what the named modules were given (T × in)."""
        with _inputs({name: self._module.get_submodule(name) for name in modules}) as seen:
            after = self.run(passage)
        return after, {name: given[0] for name, given in seen.items()}


@torch.no_grad()
def enter(config: Config, x_TD: Tensor, lengths: Sequence[int], tensors: Mapping[str, Tensor]) -> Passage:
    """Sequences from their embedded tokens, and what their layers will be called with; no layer runs.

    None sees another: positions that begin anew tell the stock class where to mask.

    Args:
        config: of the model.
        x_TD: the embedded tokens, one sequence behind the other.
        lengths: of the sequences.
        tensors: what the class adds besides, by their names below the model without its head.
    """
    skeleton = _skeleton(config)
    inner, real = skeleton.inner, skeleton.layers
    gates = [_Turnstile(layer) for layer in real]
    setattr(inner, skeleton.stack, nn.ModuleList(gates))
    try:
        with _inputs({"first": gates[0]}) as seen:
            places_1T = torch.cat([torch.arange(length) for length in lengths])[None]
            told = {"inputs_embeds": x_TD[None], "position_ids": places_1T, "use_cache": False}
            torch.func.functional_call(inner, dict(tensors), (), told)
    finally:
        setattr(inner, skeleton.stack, real)
    calls = {kind_of(config, number): gate.call for number, gate in enumerate(gates)}
    return Passage(seen["first"][0], calls, tuple(lengths))


@torch.no_grad()
def normed(config: Config, x_TD: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """The states that the head reads, by a final norm with these weights."""
    return torch.func.functional_call(_skeleton(config).final, dict(tensors), (x_TD,))


def turned(config: Config, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A layer's tensors from how steps see them, matrices (out, in), to how its class keeps them, and back."""
    turn = names_of(config).turned
    return {name: tensor.T if turn and tensor.ndim == 2 else tensor for name, tensor in tensors.items()}


def kind_of(config: Config, number: int) -> str:
    """Layers of one kind share their mask (full or sliding attention)."""
    types = getattr(_skeleton(config).config, "layer_types", None)
    return types[number] if types else ""


class _Turnstile(nn.Module):
    """Stands where a layer stands, notes what it is called with, and lets the stream pass unchanged."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.call: dict[str, Any] = {}
        self._places = list(inspect.signature(layer.forward).parameters)[1:]  # behind the stream

    def forward(self, hidden_states: Tensor, *call: Any, **named: Any) -> Tensor:
        self.call = dict(zip(self._places, call, strict=False)) | named
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

    config: Any  # the class's own
    inner: Any  # the model without its head
    stack: str  # what it calls the list of its layers
    final: nn.Module  # the norm behind them, taken out

    @property
    def layers(self) -> nn.ModuleList:
        """Its layers."""
        layers: nn.ModuleList = getattr(self.inner, self.stack)
        return layers


def _skeleton(config: Config) -> _Skeleton:
    return _skeleton_of(canonical_json(config))


@lru_cache(maxsize=4)
def _skeleton_of(text: bytes) -> _Skeleton:
    config = parse_json(text, "a configuration")
    names = names_of(config)
    try:
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**own(config))).eval()
        inner = network.base_model
        if hasattr(inner, "rotary_emb"):
            inner.rotary_emb = type(inner.rotary_emb)(config=network.config)
    except Exception as error:  # classes check few settings, and fail in any way on others
        raise Unsupported("config.json makes no model", why=f"{type(error).__name__}: {error}",
                          mend="correct the setting: hidden_act, rope_scaling or whatever it is") from None  # fmt: skip
    final = getattr(inner, names.final)
    setattr(inner, names.final, nn.Identity())
    return _Skeleton(network.config, inner, names.stack, final)
