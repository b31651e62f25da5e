"""How fast a model writes and reads, measured without ever holding it.

All layers have one shape, so one is timed and counts as often as there are layers; of the head, a block of rows is.
Parts of the base and of the result take turns, so that what else the machine does slows both; parts of one shape are
timed once for both. What is so small that it stays in the processor's cache is faster than it would be in a model.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from edgelm.compress.base import Tokens
from edgelm.compress.stream.layer import Layer, Passage
from edgelm.compress.stream.model import Model
from edgelm.shapes import shape_of

PASSAGE = 256  # tokens that are read at once, and that lie in the cache when one more is written
_BLOCK = 8192  # rows of the head that are timed
_TINY, _LONG = 100_000, 1.0  # weights of a layer that says little about speed; seconds of a turn that says much
_TURNS = {"tiny": 3, "plain": 15, "long": 5}
Clock = Callable[[], float]
Part = Callable[[], float]  # runs once and says how many seconds it took
Key = tuple[str, *tuple[Any, ...]]  # what kind of part, and the dimensions that its time depends on
Shapes = tuple[tuple[str, tuple[int, ...]], ...]  # of a layer's tensors, by name


@dataclass(frozen=True)
class Measured:
    """What a model's time is made of, by the keys of what is timed."""

    layers: int
    layer: Shapes
    blocks: float  # of the head
    head: Key

    def decode(self, seconds: Mapping[Key, float]) -> float:
        """Milliseconds of one token behind a cache."""
        return 1000 * (self.layers * seconds["decode", self.layer] + self.blocks * seconds[self.head])

    def prefill(self, seconds: Mapping[Key, float]) -> float:
        """Milliseconds of a passage, and of what comes next."""
        return 1000 * (self.layers * seconds["prefill", self.layer] + self.blocks * seconds[self.head])


def speed(
    base: Model, result: Model, texts: tuple[Tokens, Tokens], stored: torch.dtype, clock: Clock = time.perf_counter
) -> dict[str, Any]:
    """How fast the base and the result as it is now are, for the card; the figures are for comparing the two.

    `decode` is one token behind a cache of `context` tokens, `prefill` a passage of as many; both in milliseconds a
    token and tokens a second. Layers and cache are those of transformers. A CPU computes in float32, as half precision
    is slow on many; a GPU in what the result is stored in.

    Args:
        base: the base.
        result: the model.
        texts: any tokens of the one's vocabulary and of the other's, three at least.
        stored: what the result's weights are stored in.
        clock: seconds that have passed.
    """
    device = result.device
    dtype = torch.float32 if device.type == "cpu" else stored
    pair = [Model(model.config, model.pieces, dtype, device) for model in (base, result)]
    count = min(PASSAGE, *(shape_of(model.config).context - 1 for model in pair), *(len(text) - 1 for text in texts))
    timed: dict[Key, Part] = {}
    heads = [_head(model, timed, clock) for model in pair]  # before layers are in memory: a head is read whole
    layers = [_layer(model, text[: count + 1], timed, clock) for model, text in zip(pair, texts, strict=True)]
    parts = [Measured(model.layers, layer, *head) for model, layer, head in zip(pair, layers, heads, strict=True)]
    seconds = _medians(timed, tiny=all(_weights(layer) < _TINY for layer in layers))
    return {
        "decode": _compared(*(part.decode(seconds) for part in parts)),
        "prefill": _compared(*(part.prefill(seconds) / count for part in parts)),
        "context": count, "dtype": str(dtype).removeprefix("torch."), "device": _named(device),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def _compared(base: float, result: float) -> dict[str, float]:
    """Milliseconds a token, and what follows from them."""
    return {
        "ms_base": base, "ms": result, "tokens_per_second_base": 1000 / base, "tokens_per_second": 1000 / result,
        "faster": base / result,
    }  # fmt: skip


def _head(model: Model, timed: dict[Key, Part], clock: Clock) -> tuple[float, Key]:
    """How many blocks of rows the head has, and the key of one, which is among the parts that are timed."""
    weight_VD, _ = model.head()
    rows, width = weight_VD[:_BLOCK].shape
    key = ("head", rows, width)
    if key not in timed:
        timed[key] = _heading(weight_VD[:rows].to(model.dtype, copy=True), clock)
    return len(weight_VD) / rows, key


def _layer(model: Model, tokens: Tokens, timed: dict[Key, Part], clock: Clock) -> Shapes:
    """The shapes of a layer, by which its parts are among those that are timed."""
    layer = model.layer(0)
    key = tuple(sorted((name, tuple(tensor.shape)) for name, tensor in layer.tensors.items()))
    if ("decode", key) not in timed:
        passage = model.enter(tokens)
        timed["decode", key] = _decoding(layer, passage, clock)
        timed["prefill", key] = _prefilling(layer, passage, clock)
    return key


def _decoding(layer: Layer, passage: Passage, clock: Clock) -> Part:
    """The layer on a passage's last token, with the others in its cache."""
    full = DynamicCache()
    with torch.no_grad():
        layer.output(_part(passage, slice(None, -1), full))

    def run() -> float:
        last = _part(passage, slice(-1, None), copy.deepcopy(full))  # it is added to
        return _seconds(lambda: layer.output(last), layer.device, clock)

    return run


def _prefilling(layer: Layer, passage: Passage, clock: Clock) -> Part:
    """The layer on all of a passage but its last token."""
    before = _part(passage, slice(None, -1), None)
    return lambda: _seconds(lambda: layer.output(before), layer.device, clock)


def _heading(weight_VD: Tensor, clock: Clock) -> Part:
    """Rows of the head on one token."""
    x_1D = weight_VD[:1].clone()
    return lambda: _seconds(lambda: x_1D @ weight_VD.T, weight_VD.device, clock)


def _part(passage: Passage, part: slice, cache: DynamicCache | None) -> Passage:
    """A part of a passage, with or without a cache."""
    x_TD = passage.x_TD[part]
    return Passage(x_TD, {kind: _call(call, part, cache) for kind, call in passage.calls.items()}, (len(x_TD),))


def _call(call: Mapping[str, Any], part: slice, cache: DynamicCache | None) -> dict[str, Any]:
    made = dict(call)
    if isinstance(mask := call.get("attention_mask"), Tensor):  # the last token sees all, the others one another
        made["attention_mask"] = mask[..., part, :] if part.stop is None else mask[..., part, part]
    if isinstance(positions := call.get("position_ids"), Tensor):
        made["position_ids"] = positions[..., part]
    if tables := call.get("position_embeddings"):
        made["position_embeddings"] = tuple(table[..., part, :] for table in tables)
    if cache is not None:
        name = "cache" if "cache" in call else "past_key_values"  # of newer and of older transformers
        made |= {name: cache, "use_cache": True}
    return made


def _weights(layer: Shapes) -> int:
    return sum(math.prod(shape) for _, shape in layer)


def _medians(parts: Mapping[Key, Part], *, tiny: bool) -> dict[Key, float]:
    """Median seconds of each. Parts of one kind take turns, so that each finds the cache as the other leaves it."""
    found: dict[Key, float] = {}
    for kind in dict.fromkeys(key[0] for key in parts):
        own = {key: part for key, part in parts.items() if key[0] == kind}
        first = sum(part() for part in own.values())  # which does not count
        turns = _TURNS["tiny" if tiny else "plain" if first < _LONG else "long"]
        took = [{key: part() for key, part in own.items()} for _ in range(turns)]
        found |= {key: median(turn[key] for turn in took) for key in own}
    return found


@torch.no_grad()
def _seconds(work: Callable[[], object], device: torch.device, clock: Clock) -> float:
    _wait(device)
    start = clock()
    work()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
