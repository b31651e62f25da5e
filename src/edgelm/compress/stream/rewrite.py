"""Changing a model layer by layer, each layer fitted behind those that are already changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.stream.device import fast_products
from edgelm.compress.stream.layer import Layer, Passage
from edgelm.compress.stream.model import Model
from edgelm.files import read_json, write_json


@dataclass(frozen=True)
class Change:
    """What becomes of a layer: the tensors that change, by their names below it, and what the card says of it.

    `then`, if given, watches the layer as it is by then, and changes it further.
    """

    tensors: Mapping[str, Tensor]
    record: dict[str, Any]
    then: Collector | None = None


class Collector(Protocol):
    """Sees what passes through one layer, and decides what becomes of it."""

    def add(self, base: Mapping[str, Tensor], now: Mapping[str, Tensor], lengths: Sequence[int]) -> None:
        """Count some sequences without their first tokens.

        Args:
            base: what the watched modules are given in the model as the step found it, each (T × in), one sequence
                behind the other.
            now: the same of the layer as it is, behind the layers already changed.
            lengths: of the sequences, T in all.
        """
        ...

    def finish(self) -> Change:
        """Decide."""
        ...


def rewrite(
    model: Model, batches: Sequence[Tokens], config: Config, watched: Sequence[str],
    collector: Callable[[int, Layer], Collector], progress: Progress, what: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """Change every layer; what the card says of each.

    A layer that an earlier, interrupted run has written is taken from there: the same text makes the same streams.

    Args:
        model: whose layers change; its `config` becomes `config` at the end.
        batches: the calibration sequences.
        config: of the model afterwards.
        watched: modules whose inputs a collector wants.
        collector: makes one for a layer.
        progress: told how many layers are done.
        what: names the step to it.
    """
    assert model.folder is not None
    before = model.enter_all(batches)
    behind, records = list(before), []
    for number in range(model.layers):
        progress(what, number, model.layers)
        layer = model.layer(number)
        said = model.folder / f"layer-{number:05}.json"
        if said.is_file():
            model.adopt(said.with_suffix(".safetensors"))
            with fast_products(model.device):
                after = [layer.run(passage) for passage in before]
        else:
            after, record = _written(model, layer, config, number, before, behind, watched, collector(number, layer))
            write_json(said, record)
        records.append(read_json(said))
        changed = Layer(config, number, model.layer_tensors(number))
        del layer  # two are enough in memory
        with fast_products(model.device):
            for place, passage in enumerate(behind):
                behind[place] = changed.run(passage)
        before = after
    model.config = config
    return records


def _written(
    model: Model, layer: Layer, config: Config, number: int, before: Sequence[Passage], behind: Sequence[Passage],
    watched: Sequence[str], collector: Collector,
) -> tuple[list[Passage], dict[str, Any]]:  # fmt: skip
    """The sequences behind the layer, and what the card says of what it has become."""
    after, change = _decided(layer, config, number, before, behind, watched, collector)
    model.put_layer(number, change.tensors)
    return after, change.record


def _decided(
    layer: Layer, config: Config, number: int, before: Sequence[Passage], behind: Sequence[Passage],
    watched: Sequence[str], collector: Collector,
) -> tuple[list[Passage], Change]:  # fmt: skip
    """The sequences behind the layer, and what a collector, and those that follow it, make of the layer."""
    now, tensors, record = layer, dict[str, Tensor](), dict[str, Any]()
    following: Collector | None = collector
    while following:
        after = []
        for base, here in zip(before, behind, strict=True):
            with fast_products(layer.device):
                passage, seen = layer.watch(base, watched)
                after.append(passage)
                same = now is layer and here is base  # nothing has changed so far
                seen_now = seen if same else now.watch(here, watched)[1]
                following.add(_rest(base, seen), _rest(here, seen_now), base.rests)
        change = following.finish()
        tensors |= change.tensors
        record |= change.record
        following = change.then
        if following:
            now = Layer(config, number, {**layer.tensors, **tensors})
    return after, Change(tensors, record)


def observe(
    model: Model, batches: Sequence[Tokens], watched: Sequence[str],
    seen: Callable[[int, Mapping[str, Tensor]], object], progress: Progress, what: str,
) -> None:  # fmt: skip
    """Let `seen` have what the watched modules are given in every layer, sequence by sequence; nothing changes."""
    passages = model.enter_all(batches)
    for number in range(model.layers):
        progress(what, number, model.layers)
        layer = model.layer(number)
        for place, passage in enumerate(passages):
            with fast_products(model.device):
                passages[place], given = layer.watch(passage, watched)
                for sequence in passage.telling(given):
                    seen(number, sequence)


def _rest(passage: Passage, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: passage.rest(tensor) for name, tensor in given.items()}
