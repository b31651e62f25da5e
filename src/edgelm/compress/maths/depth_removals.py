"""Which layers a model can best do without, found by leaving out one after another (as SLEB does, arXiv 2402.09025).

Every round tries the model without each of its layers, and takes the layer away without which predictions are nearest
to the base's: by KL(base ‖ candidate), over all tokens that another follows. Up to the layer that it lacks a candidate
is the model itself; the candidates therefore go through the layers side by side, and each layer is read once a round,
however many there are. In memory are one layer or the heads, and a stream for each candidate of as many sequences as
fit into `TRIALS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from edgelm.compress.base import Progress, Tokens
from edgelm.compress.costs.bounds import TRIALS
from edgelm.compress.healing.lessons import teacher_of
from edgelm.compress.quality import Head
from edgelm.compress.stream.device import fast_products
from edgelm.compress.stream.layer import Passage
from edgelm.compress.stream.model import Model, groups
from edgelm.errors import BadFile
from edgelm.files import read_json, write_json

_ROWS = 256  # positions whose logits are in memory at a time
_JOURNAL = "removals.json"


def greedy(
    model: Model, batches: Sequence[Tokens], free: Collection[int], drop: int, *, tokens: int, progress: Progress
) -> dict[str, Any]:
    """The `drop` layers among `free` that go, for the card; the model stays as it is.

    `dropped` are their numbers, `order` the same as they went, `kl` the KL after each, and `scores` that without each
    layer of the model alone. What is found is written down in the model's folder, if it has one, round by round: an
    interrupted run goes on from there.

    Args:
        model: what is cut.
        batches: calibration sequences, in the model's tokens; the first ones are looked at, of `tokens` tokens.
        free: layers that may go.
        drop: how many go.
        tokens: to look at; no sequence is cut for it.
        progress: told how many layers are behind, in each round.

    Raises:
        BadFile: what the model or the base computes is no number.
    """
    text = _first(batches, tokens)
    teacher = teacher_of(model) if model.base else model
    rounds = _Rounds(model)
    if len(rounds.done) < drop:
        wanted = teacher.final_states(text, partial(progress, "depth: run the base"))
        trial = _Trial(model, teacher, text, wanted)
        while len(rounds.done) < drop:
            left, told = rounds.left, partial(progress, f"depth: find layer {len(rounds.done) + 1} of {drop}")
            scores = trial.without_each(left, [layer for layer in left if layer in free or not rounds.done], told)
            if not all(map(math.isfinite, scores.values())):
                raise BadFile("the model's predictions are no numbers", mend="give a sound checkpoint")
            rounds.add(min(sorted(set(free) & set(left)), key=scores.__getitem__), scores)
    return {
        "dropped": sorted(rounds.order),
        "order": rounds.order,
        "kl": [done["kl"] for done in rounds.done],
        "scores": rounds.done[0]["scores"] if rounds.done else [],
        "scored_on": {"sequences": len(text), "tokens": sum(map(len, text))},
    }


class _Rounds:
    """What was taken away so far, written down."""

    def __init__(self, model: Model) -> None:
        self._layers, self._path = model.layers, model.folder / _JOURNAL if model.folder else None
        self.done: list[dict[str, Any]] = read_json(self._path) if self._path and self._path.is_file() else []

    @property
    def order(self) -> list[int]:
        """The layers, as they went."""
        return [done["layer"] for done in self.done]

    @property
    def left(self) -> list[int]:
        """The layers that are still there."""
        return [layer for layer in range(self._layers) if layer not in self.order]

    def add(self, layer: int, scores: Mapping[int, float]) -> None:
        """Take a layer away; the first round's scores are of all layers, and kept."""
        every = {} if self.done else {"scores": [scores[each] for each in self.left]}
        self.done.append({"layer": layer, "kl": scores[layer], **every})
        if self._path:
            write_json(self._path, self.done)


class _Trial:
    """Tries a model out without one layer or another.

    Args:
        model: whose layers are left out.
        teacher: with the same tokens, whose predictions are to be met.
        text: sequences of their tokens.
        wanted: the teacher's final states (T × D) of each.
    """

    def __init__(self, model: Model, teacher: Model, text: Sequence[Tokens], wanted: Sequence[Tensor]) -> None:
        self._model, self._teacher, self._text, self._wanted = model, teacher, text, wanted
        self._groups = list(groups(text, TRIALS // (4 * model.config["hidden_size"] * (model.layers + 1))))

    def without_each(
        self, left: Sequence[int], tried: Collection[int], told: Callable[[int, int], object]
    ) -> dict[int, float]:
        """Mean KL(teacher ‖ model of the layers `left` without this one) for each layer of `tried`, nats a token.

        Sequences are run one by one and summed exactly: their order and number in memory are of no consequence.
        """
        sums: dict[int, list[float]] = {layer: [] for layer in tried}
        for group in self._groups:
            streams = self._streams([self._text[place] for place in group], left, tried, told)
            head = Head(*self._model.head())
            wanted = head if self._teacher is self._model else Head(*self._teacher.head())
            for number, place in enumerate(group):
                found = {layer: passages[number].x_TD for layer, passages in streams.items()}
                for layer, part in _divergences(wanted, self._wanted[place], head, found):
                    sums[layer].append(part)
        count = sum(len(tokens) - 1 for tokens in self._text)
        return {layer: math.fsum(parts) / count for layer, parts in sums.items()}

    def _streams(
        self, text: Sequence[Tokens], left: Sequence[int], tried: Collection[int], told: Callable[[int, int], object]
    ) -> dict[int, list[Passage]]:
        """The final states without each layer of `tried`."""
        whole = [self._model.enter(tokens) for tokens in text]
        lacking: dict[int, list[Passage]] = {}
        for behind, number in enumerate(left):
            told(behind, len(left))
            before = list(whole)
            layer = self._model.layer(number)
            with fast_products(self._model.device):
                for passages in (whole, *lacking.values()):
                    for place, passage in enumerate(passages):
                        passages[place] = layer.run(passage)
            if number in tried:
                lacking[number] = before
        norm = self._model.norm()
        for passages in lacking.values():
            passages[:] = [passage.through(norm(passage.x_TD)) for passage in passages]
        return lacking


def _divergences(
    wanted_head: Head, wanted_TD: Tensor, head: Head, found: Mapping[int, Tensor]
) -> Iterator[tuple[int, float]]:
    """The KL from what is wanted, summed over a block of a sequence's tokens, for each of the states found."""
    device = head.weight_VD.device
    for start in range(0, len(wanted_TD) - 1, _ROWS):
        rows = slice(start, min(start + _ROWS, len(wanted_TD) - 1))
        wanted_TV = wanted_head(wanted_TD[rows].to(device)).log_softmax(-1)
        chance_TV = wanted_TV.exp()
        for layer, found_TD in found.items():
            found_TV = head(found_TD[rows].to(device)).log_softmax(-1)
            yield layer, float((chance_TV * (wanted_TV - found_TV)).sum(-1, dtype=torch.float64).sum())


def _first(batches: Sequence[Tokens], tokens: int) -> list[Tokens]:
    """The first sequences, until they have so many tokens."""
    text: list[Tokens] = []
    for sequence in batches:
        if sum(map(len, text)) >= tokens:
            break
        text.append(sequence)
    return text
