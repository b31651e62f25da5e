"""Walk the base and a cut model side by side, and fit each layer of the latter to the stream of the former.

x is the base's stream, x̂ the cut model's behind the layers already fitted. At every norm two things are fitted, one
after the other: what reads it, W′n̂ ≈ W n, and what writes behind it, W′â ≈ x − x̂, x being the stream where the base's
next norm reads it. Behind a layer's last norm that is the next layer that the cut model still has: a layer before a gap
stands for those that are gone. Then the channels of the feed-forward are bent, and what reads them is fitted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgelm.compress.base import Progress, Tokens
from edgelm.compress.maths.layer_fit import LayerFit
from edgelm.compress.stream.device import fast_products
from edgelm.compress.stream.layer import Passage
from edgelm.compress.stream.model import Model
from edgelm.files import read_json, write_json

_TINY = 1e-30


def repair(
    model: Model, batches: Sequence[Tokens], share: float | None, bend: float, progress: Progress
) -> dict[str, Any]:  # fmt: skip
    """Fit every layer that is not the base's own on the base's own stream; what the card says of it.

    What an earlier, interrupted run has written is taken from there.

    Args:
        model: to be repaired; knows its base, and which of its layers it has kept.
        batches: the calibration sequences, in the model's tokens.
        share: see `LayerFit`.
        bend: see `bent_by`: its `share`; 0 leaves channels as they are.
        progress: told how many layers are done.

    Raises:
        Unsupported: see `Ridge.fit` of `maths.ridge`.
    """
    assert model.base is not None
    walk = _Walk(model, model.base, batches, share, bend)
    records = []
    for number in range(model.layers):
        progress("repair layers", number, model.layers)
        records.append(walk.layer(number))
    fitted = [record for record in records if record]
    return {
        "repaired": [number for number, record in enumerate(records) if record],
        "penalty": [record["penalty"] for record in fitted],
        "error": [record["error"] for record in fitted], "warnings": [],
    }  # fmt: skip


class _Walk:
    """Where the two models are: both streams in front of the same layer of the base."""

    def __init__(self, model: Model, base: Model, batches: Sequence[Tokens], share: float | None, bend: float) -> None:
        self._model, self._base, self._share, self._bend = model, base, share, bend
        self._ids = model.idmap
        self._x = base.enter_all([self._old(tokens) for tokens in batches])
        self._now = model.enter_all(batches)
        self._at, self._same = 0, True  # the base's next layer; whether the streams are one

    def _old(self, tokens: Tokens) -> Tokens:
        return tokens if self._ids is None else [self._ids[token] for token in tokens]

    def layer(self, number: int) -> dict[str, Any]:
        """Fit one layer, and go on behind it; nothing is said of one that stays as it is."""
        model, folder = self._model, self._model.folder
        assert folder is not None
        own, end = model.kept[number], [*model.kept[1:], self._base.layers][number]
        self._x, self._same = self._run(self._x, self._at, own), self._same and self._at == own
        goal = self._run(self._x, own, end)
        said = folder / f"layer-{number:05}.json"
        if said.is_file():
            model.adopt(said.with_suffix(".safetensors"))
        elif not (self._same and end == own + 1 and self._untouched(number, own)):
            fitting = LayerFit(model, number, self._base.layer(own), self._share, self._bend)
            tensors = fitting.fitted(self._x, goal, self._now, same=self._same)
            model.put_layer(number, tensors)
            write_json(said, {"penalty": fitting.penalties})
        changed = said.is_file()
        now = model.layer(number)
        with fast_products(model.device):
            self._now = [now.run(passage) for passage in self._now]
        self._x, self._at, self._same = goal, end, self._same and not changed
        return {**read_json(said), "error": self._error()} if changed else {}

    def _run(self, passages: Sequence[Passage], start: int, end: int) -> list[Passage]:
        """Behind the base's layers from `start` to before `end`."""
        for number in range(start, end):
            layer = self._base.layer(number)
            with fast_products(self._base.device):
                passages = [layer.run(passage) for passage in passages]
        return list(passages)

    def _untouched(self, number: int, own: int) -> bool:
        """Whether a layer's tensors are where the base's are."""
        here, there = self._model.called.layer(number), self._base.called.layer(own)
        stored = {name.removeprefix(here): piece.stored for name, piece in self._model.pieces.items()
                  if name.startswith(here)}  # fmt: skip
        return all(place == self._base.piece(there + name).stored for name, place in stored.items())

    def _error(self) -> float:
        """Σ‖x − x̂‖² over Σ‖x‖²: how far the two streams are apart, first tokens left out."""
        off = sum(float(x.rest(x.x_TD - y.x_TD).square().sum()) for x, y in zip(self._x, self._now, strict=True))
        return off / max(sum(float(x.rest(x.x_TD).square().sum()) for x in self._x), _TINY)
