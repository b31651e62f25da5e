"""Narrow the residual stream of a whole model, in bounded memory (`width:hidden`).

The base is run twice: to find the coordinates that stay, and to see what every norm will divide by when only these
are left. Then the tensors are written, layer by layer, fitted to the narrowed stream or not. Q is one for the whole
model: a turning of its own for every layer, as in SliceGPT (arXiv 2401.15024), would need matrices in the shortcuts,
which no stock class has. Letters: D model width, S kept coordinates, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.maths.hidden_basis import Rotation, Selection, by_rows, narrow_layer
from edgelm.compress.maths.hidden_plan import BasisName, basis_for, narrowed
from edgelm.compress.maths.hidden_refit import Refitting
from edgelm.compress.maths.hidden_saved import Decision, decided
from edgelm.compress.maths.hidden_statistics import ChannelScores, Directions, HiddenStatistics, Made, Scales
from edgelm.compress.maths.residual import residual_of
from edgelm.compress.stream.layer import Layer
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.names import HEAD, HEAD_BIAS
from edgelm.compress.stream.rewrite import Change, observe
from edgelm.files import canonical_json, read_json, sha256_bytes, write_json
from edgelm.shapes import shape_of


def slice_hidden(
    model: Model, batches: Sequence[Tokens], hidden: int, basis: BasisName | None, untie: bool, refit: bool,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """Keep `hidden` coordinates of the stream; what the card says of it.

    What an earlier, interrupted run has decided, and the layers it has written, are taken from there.

    Args:
        model: changed layer by layer; at the end its `config` becomes the narrowed one, and its `bases` one more.
        batches: the calibration sequences.
        hidden: D′, as `planned` has allowed it.
        basis: what the coordinates are; see `basis_for`.
        untie: give a tied model a head of its own, which starts as a copy of the embedding.
        refit: fit all readers of the stream to it by least squares.
        progress: told what is being done.

    Raises:
        Unsupported: the model computes infinities or NaN, or its readers cannot be fitted.
    """
    assert model.folder is not None
    after = narrowed(model.config, hidden, untie=untie)
    chosen = basis_for(model.config, basis, untie=untie)
    decision, path = decided(model.folder, lambda: _decide(_Observer(model, batches, progress), chosen, after),
                             model.device)  # fmt: skip
    narrowing = _Narrowing(model, decision, Refitting(model, batches, after, decision.basis) if refit else None)
    narrowing.layers(progress)
    narrowing.outside(untie=untie)
    model.config, model.bases = after, [*model.bases, path]
    return {
        "basis": chosen, **decision.record, "scales": decision.said, **narrowing.record,
        "warnings": _warnings(batches, hidden) if refit or chosen == "pca" else [],
    }  # fmt: skip


def _warnings(batches: Sequence[Tokens], hidden: int) -> list[str]:
    tokens = sum(len(sequence) - 1 for sequence in batches)
    if tokens >= 2 * hidden:
        return []
    return [f"width: {tokens} calibration tokens are fewer than twice the {hidden} coordinates; give more"]


class _Observer:
    """Runs the base past statistics."""

    def __init__(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> None:
        self._model, self._batches, self._progress = model, batches, progress
        residual = residual_of(model.config)
        last = {name: tensor for name, tensor in model.layer_tensors(model.layers - 1).items()
                if name.rpartition(".")[0] in residual.closing}  # fmt: skip
        self.parts = model.config, last, _final(model)

    def see(self, statistics: HiddenStatistics[Made], what: str) -> Made:
        observe(self._model, self._batches, statistics.watched, statistics.add, self._progress, what)
        return statistics.finish()


def _decide(observer: _Observer, basis: BasisName, after: Config) -> Decision:
    find = _channels if basis == "channels" else _directions
    coordinates, record = find(observer, after["hidden_size"])
    norm = residual_of(after).norm(after)
    scales = observer.see(Scales(*observer.parts, coordinates.stream, norm), "width: measure the norms")
    return Decision(coordinates, scales, record)


def _directions(observer: _Observer, hidden: int) -> tuple[Rotation, dict[str, Any]]:
    Q_DD, energy_D = observer.see(Directions(*observer.parts), "width: find directions")
    return Rotation(Q_DD[:, :hidden].contiguous()), {"energy": float(energy_D[:hidden].sum() / energy_D.sum())}


def _channels(observer: _Observer, hidden: int) -> tuple[Selection, dict[str, Any]]:
    scores_D = observer.see(ChannelScores(*observer.parts), "width: score channels")
    kept = scores_D.argsort(descending=True, stable=True)[:hidden].sort().values
    return Selection(kept), {"kept_sha256": sha256_bytes(canonical_json(kept.tolist()))}


def _final(model: Model) -> dict[str, Tensor]:
    """The norm behind all layers: `weight`, and `bias` where it has one."""
    final = residual_of(model.config).final
    stored = {name: f"{final}.{name}" for name in ("weight", "bias")}
    return {name: model.outer(full).float().to(model.device) for name, full in stored.items() if full in model.names}


class _Narrowing:
    """Writes the narrowed model's tensors."""

    def __init__(self, model: Model, decision: Decision, refitting: Refitting | None) -> None:
        self._model, self._basis, self._scales, self._refitting = model, decision.basis, decision.scales, refitting
        self._residual, self._config = residual_of(model.config), model.config
        self.record: dict[str, Any] = {"penalty": [], "error": []} if refitting else {}

    def layers(self, progress: Progress) -> None:
        """Layer by layer, and with a fit both streams behind each: also behind those that were written before."""
        assert self._model.folder is not None
        for number in range(self._model.layers):
            progress("width: narrow the stream", number, self._model.layers)
            layer = self._model.layer(number)
            said = self._model.folder / f"layer-{number:05}.json"
            if said.is_file():
                self._model.adopt(said.with_suffix(".safetensors"))
            else:
                change = self._change(layer, number)
                self._model.put_layer(number, change.tensors)
                write_json(said, change.record)
            if self._refitting:
                error = self._refitting.go_on(layer, number)
                for key, value in {**read_json(said), "error": error}.items():
                    self.record[key].append(value)

    def _change(self, layer: Layer, number: int) -> Change:
        scales = {norm: self._scales[number, norm] for norm in self._residual.readers}
        if self._refitting:
            return self._refitting.fit(layer, number, scales)
        return Change(narrow_layer(layer.tensors, self._config, self._basis, scales), {})

    def outside(self, *, untie: bool) -> None:
        """The head before the embedding, of which it may be a copy."""
        final = _final(self._model)
        final_now = self._basis.norm(final, self._scales[self._model.layers, self._residual.final])
        if untie or not shape_of(self._config).tied:
            self._head(final, final_now)
        weight_VD = self._model.outer(self._model.embedding).to(self._model.device)
        self._model.put_outer(self._model.embedding, by_rows(weight_VD, self._basis.stream))
        for name, tensor in final_now.items():
            self._model.put_outer(f"{self._residual.final}.{name}", tensor)

    def _head(self, final: Mapping[str, Tensor], final_now: Mapping[str, Tensor]) -> None:
        weight_VD, bias_V = self._model.head()
        if self._refitting is None:
            self._model.put_outer(HEAD, by_rows(weight_VD, lambda rows: self._basis.reader(rows, final["weight"])))
            return
        head = {"weight": weight_VD} if bias_V is None else {"weight": weight_VD, "bias": bias_V}
        made, penalty = self._refitting.head(head, final, final_now)
        self.record["penalty"].append([penalty])
        for name, tensor in made.items():
            self._model.put_outer({"weight": HEAD, "bias": HEAD_BIAS}[name], tensor)
