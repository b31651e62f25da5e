"""What cutting along each axis would cost, from one look at the base: it runs once, and nothing is changed.

All costs are in one coin, so that they can be added: by how much the stream would be turned, 1 − cos, summed over the
layers. Depth's own score says it. Merged heads are run. Of a feed-forward whose output is off by δ, ½·‖δ‖²/‖x‖² says
it well enough: an error is hardly ever parallel to the stream x behind it. A few layers that are cut stand for all.

What is fitted is fitted to the calibration text and judged on other text. Where it was fitted, an error looks smaller
than it is (half as large with six tokens a channel), while that of depth, which fits nothing, does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgelm.compress.base import FAMILIES, Config, Progress, Tokens
from edgelm.compress.channels import Moments
from edgelm.compress.maths.attention import Attention
from edgelm.compress.maths.merging import INPUTS, Merging
from edgelm.compress.search.axes import probed
from edgelm.compress.search.curves import Curve
from edgelm.compress.stream.layer import Layer, Passage
from edgelm.compress.stream.model import Model

Costs = dict[int, float]  # by what is left

_TRIED = 8  # layers that are cut to see what it costs; of a large model a layer takes a minute of two cores


def probe(
    model: Model,
    batches: Sequence[Tokens],
    held_out: Sequence[Tokens],
    choices: Mapping[str, list[int]],
    progress: Progress,
) -> dict[str, Curve]:
    """The curve of each axis that has a choice.

    Args:
        model: the base.
        batches: calibration sequences.
        held_out: those to judge on.
        choices: what may be left along each axis, most first (see `Space.choices`).
        progress: told how many layers are done.

    Raises:
        Unsupported: a layer's channels or heads cannot be compared; names the layer.
    """
    free = {field: values for field, values in choices.items() if len(values) > 1}
    wanted = {field: probed(values) for field, values in free.items()}
    points: dict[str, Costs] = {field: {values[0]: 0.0} for field, values in free.items()}
    turns = []
    fitted, judged = model.enter_all(batches), model.enter_all(held_out)
    tried = spread(model.layers)
    for number in range(model.layers):
        progress("look at the base", number, model.layers)
        seen = _look(model, number, fitted, judged, wanted if number in tried else {})
        fitted, judged = seen.fitted, seen.judged
        turns.append(seen.turn)
        for field, costs in seen.costs.items():
            for left, cost in costs.items():
                points[field][left] = points[field].get(left, 0.0) + cost * model.layers / len(tried)
    if "layers" in free:
        points["layers"] |= depth_costs(turns, free["layers"])
    if "vocab" in free:
        points["vocab"] |= vocab_costs(Counter(token for tokens in batches for token in tokens), free["vocab"])
    return {field: Curve.through(costs) for field, costs in points.items()}


def spread(layers: int) -> set[int]:
    """Layers at equal distances, from the first to the last, that stand for all."""
    return {round(place * (layers - 1) / (_TRIED - 1)) for place in range(_TRIED)}


def depth_costs(turns: Sequence[float], left: Sequence[int]) -> Costs:
    """The turns of the layers that would go, by the number of those that stay; the first and the last always do."""
    ordered = sorted(turns[1:-1])
    return {layers: sum(ordered[: len(turns) - layers]) for layers in left}


def vocab_costs(counts: Counter[int], left: Sequence[int]) -> Costs:
    """The share of text that is in tokens which would go, the rarest first, by the number of those that stay.

    Tokens that a text does not show are not free: by Good (1953) they have as large a share of all text as those have
    in it that it shows once. In nats a token this is about what sharing out their probability costs.
    """
    whole, total = left[0], sum(counts.values())
    ordered = sorted(counts.values(), reverse=True)
    once = ordered.count(1)
    unseen = once / total / max(whole - len(ordered), 1)
    known = (1 - once / total) / total  # what each time counts, for the shares to be 1 in all
    return {rows: sum(ordered[rows:]) * known + unseen * (whole - max(rows, len(ordered))) for rows in left}


@dataclass(frozen=True)
class _Seen:
    """One layer of the base: the sequences behind it, how far it turns them, and what cutting it would cost."""

    fitted: list[Passage]
    judged: list[Passage]
    turn: float
    costs: dict[str, Costs]  # by axis


def _look(
    model: Model, number: int, fitted: Sequence[Passage], judged: Sequence[Passage], wanted: Mapping[str, list[int]]
) -> _Seen:
    layer, costs = model.layer(number), dict[str, Costs]()
    writer = f"mlp.{FAMILIES[model.config['model_type']].writer}"
    judged_after, inputs = zip(*(layer.watch(passage, [writer]) for passage in judged), strict=True)
    if "ffn" in wanted:
        moments, fitted_after = _moments(layer, number, writer, fitted)
        a_TF = torch.cat([passage.rest(seen[writer]) for passage, seen in zip(judged, inputs, strict=True)])
        energy = sum(float(passage.rest(passage.x_TD).square().sum()) for passage in judged_after)
        order = moments.removals(len(moments.act_F) - min(wanted["ffn"]))  # those of the others are its beginnings
        kept = {left: moments.staying(order[: len(moments.act_F) - left]) for left in wanted["ffn"]}
        costs["ffn"] = {left: 0.5 * _lost(moments, kept[left], a_TF) / max(energy, 1e-30) for left in kept}
        del moments  # the largest by far
    else:
        fitted_after = [layer.run(passage) for passage in fitted]
    if "kv_heads" in wanted:
        costs["kv_heads"] = {
            left: _turn(judged_after, map(_merged(model.config, layer, number, fitted, left).run, judged))
            for left in wanted["kv_heads"]
        }
    return _Seen(fitted_after, list(judged_after), _turn(fitted, fitted_after), costs)


def _moments(layer: Layer, number: int, writer: str, passages: Sequence[Passage]) -> tuple[Moments, list[Passage]]:
    """What decides about a feed-forward's channels, and the sequences behind the layer."""
    moments = Moments(layer.tensors[f"{writer}.weight"], centred=f"{writer}.bias" in layer.tensors, layer=number)
    after = []
    for passage in passages:
        behind, seen = layer.watch(passage, [writer])
        after.append(behind)
        a_TF = passage.rest(seen[writer])
        moments.add(a_TF, a_TF, passage.rests)
    return moments, after


def _turn(one: Iterable[Passage], other: Iterable[Passage]) -> float:
    """Mean 1 − cos over all tokens but a sequence's first, which is far larger than the others."""
    turned, tokens = 0.0, 0
    for x, y in zip(one, other, strict=True):
        cosine_T = torch.cosine_similarity(x.rest(x.x_TD).double(), y.rest(y.x_TD).double(), dim=-1)
        turned += float((1 - cosine_T).sum())
        tokens += len(cosine_T)
    return turned / max(tokens, 1)


def _lost(moments: Moments, kept: Tensor, a_TF: Tensor) -> float:
    """Σ‖δ‖² of what the feed-forward writes with these channels, over tokens by what all channels hold."""
    fit = moments.refit(kept)
    wanted_TD, weight_DS = a_TF @ moments.weight_DF.to(a_TF.dtype).T, fit.weight.to(a_TF.dtype)
    return float((wanted_TD - a_TF[:, kept] @ weight_DS.T - fit.shift.to(a_TF.dtype)).square().sum())


def _merged(config: Config, layer: Layer, number: int, passages: Sequence[Passage], groups: int) -> Layer:
    """The layer with so many key/value heads: to be run, as its own feed-forward reads what they write."""
    attention = Attention.of(config)
    merging = Merging(layer, number, groups, config, "mean" if attention.normed else "svd")
    for passage in passages:
        given = _watched(layer, passage, INPUTS)
        merging.add(given, given, passage.rests)
    change = merging.finish()
    after = {**config, "num_key_value_heads": groups}
    now = Layer(after, number, {**layer.tensors, **change.tensors})
    if change.then:
        for passage in passages:
            told, told_now = (_watched(each, passage, attention.output) for each in (layer, now))
            change.then.add(told, told_now, passage.rests)
        now = Layer(after, number, {**now.tensors, **change.then.finish().tensors})
    return now


def _watched(layer: Layer, passage: Passage, module: str) -> dict[str, Tensor]:
    """What a module is given, without the first token."""
    return {module: passage.rest(layer.watch(passage, [module])[1][module])}
