"""Fit what reads a narrowed residual stream to what was read before, by least squares.

n is the output of a norm in the base, n̂ that of the same norm in the narrowed model, behind the layers already
fitted. All readers of a norm share its sums. Letters: T tokens, D model width, S its coordinates afterwards, O
outputs of a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from edgelm.compress.base import Config, Tokens
from edgelm.compress.maths.hidden_basis import Basis, by_rows, narrow_layer, parts
from edgelm.compress.maths.residual import Norm, residual_of
from edgelm.compress.maths.ridge import Ridge
from edgelm.compress.stream.device import fast_products, home
from edgelm.compress.stream.layer import Layer, Passage
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.rewrite import Change

_PENALTY, _PENALTY_FEW = 0.01, 0.05  # λ over the mean diagonal of Σ n̂ n̂ᵀ; the second for fewer than 2S tokens
_TINY = 1e-30


def fitted(reader: Mapping[str, Tensor], start: Callable[[Tensor], Tensor], ridge: Ridge) -> dict[str, Tensor]:
    """W′, and b′ if there is a b: the minimum of Σ‖W n + b − W′ n̂ − b′‖² + λ‖W′ − W₀‖², by blocks of rows.

    Args:
        reader: W as `weight`, which reads n, and b as `bias`.
        start: makes rows of W₀, which reads n̂, from rows of W.
        ridge: the sums over n̂ and n.

    Raises:
        Unsupported: see `Ridge.fit`.
    """
    shifts: list[Tensor] = []

    def fit(rows_BD: Tensor) -> Tensor:
        weight_BS, shift_B = ridge.fit(start(rows_BD), rows_BD)
        shifts.append(shift_B)
        return weight_BS.float()

    made = {"weight": by_rows(reader["weight"], fit)}
    if "bias" in reader:
        made["bias"] = reader["bias"].float() + torch.cat(shifts).float()
    return made


def ridge_of(where: str, readers: Iterable[Mapping[str, Tensor]]) -> Ridge:
    """Sums for the readers of one norm, which `where` names; of these all have a bias or none has."""
    return Ridge(f"what reads {where}", centred=all("bias" in reader for reader in readers),
                 share=lambda inputs, tokens: _PENALTY_FEW if tokens < 2 * inputs else _PENALTY,
                 without="width:refit=0")  # fmt: skip


class Refitting:
    """Walks the base and the narrowed model side by side, and fits each layer's readers behind the fitted ones.

    `rewrite` of the core cannot do it, because here the two streams differ in width.

    Args:
        model: the base; its embedding must not have changed yet.
        batches: the calibration sequences.
        after: the configuration of the narrowed model.
        basis: of the narrowed stream.
    """

    def __init__(self, model: Model, batches: Sequence[Tokens], after: Config, basis: Basis) -> None:
        self._model, self._after, self._basis = model, after, basis
        self._residual = residual_of(model.config)
        self._norm, self._norm_now = self._residual.norm(model.config), self._residual.norm(after)
        self._base = model.enter_all(batches)
        self._now = [passage.through(home(basis.stream(self._here(passage)))) for passage in self._base]

    def fit(self, layer: Layer, number: int, scales: Mapping[str, float]) -> Change:
        """The next layer narrowed and fitted.

        Args:
            layer: as it was.
            number: which one it is.
            scales: s of each of its norms.

        Raises:
            Unsupported: see `Ridge.fit`.
        """
        changed = narrow_layer(layer.tensors, self._model.config, self._basis, scales)
        penalties = []
        for norm, names in self._residual.readers.items():  # the second is fitted behind the readers of the first
            readers = {name: parts(layer.tensors, name) for name in names}
            ridge = ridge_of(f"{norm} of layer {number}", readers.values())
            now = Layer(self._after, number, layer.tensors | changed)
            for x, y in zip(self._base, self._now, strict=True):
                ridge.add(self._normed(layer, x, norm, self._norm), self._normed(now, y, norm, self._norm_now))
            for name, reader in readers.items():
                made = self._fit(reader, layer.tensors[f"{norm}.weight"], ridge)
                changed |= {f"{name}.{part}": tensor for part, tensor in made.items()}
            penalties.append(ridge.penalty)
        return Change(changed, {"penalty": penalties})

    def go_on(self, layer: Layer, number: int) -> float:
        """Let both streams pass the layer, as it was and as it now lies in the model; how far they are then apart."""
        now = Layer(self._after, number, self._model.layer_tensors(number))
        with fast_products(self._model.device):
            self._base = [layer.run(passage) for passage in self._base]
            self._now = [now.run(passage) for passage in self._now]
        return self._error()

    def head(
        self, head: Mapping[str, Tensor], final: Mapping[str, Tensor], final_now: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], float]:
        """The head (`weight`, `bias`) fitted behind all layers, and its λ.

        Args:
            head: before.
            final: the norm that it reads, before.
            final_now: that norm, narrowed.

        Raises:
            Unsupported: see `Ridge.fit`.
        """
        ridge = ridge_of(self._residual.final, [head])
        for x, y in zip(self._base, self._now, strict=True):
            base_TD, now_TS = x.rest(self._here(x)), y.rest(self._here(y))
            ridge.add(self._norm.apply(base_TD, **final), self._norm_now.apply(now_TS, **final_now))
        return self._fit(head, final["weight"], ridge), ridge.penalty

    def _fit(self, reader: Mapping[str, Tensor], gain_D: Tensor, ridge: Ridge) -> dict[str, Tensor]:
        return fitted(reader, lambda rows: self._basis.reader(rows, gain_D), ridge)

    def _normed(self, layer: Layer, passage: Passage, name: str, norm: Norm) -> Tensor:
        """What a norm of a layer makes of all tokens but the first; only for the second norm must the layer run."""
        first = name == next(iter(self._residual.readers))
        x_TD = self._here(passage) if first else layer.watch(passage, [name])[1][name]
        return norm.apply(passage.rest(x_TD), **parts(layer.tensors, name))

    def _here(self, passage: Passage) -> Tensor:
        """A stream on the device to compute on."""
        return passage.x_TD.to(self._model.device)

    def _error(self) -> float:
        """Mean over the tokens of ‖Q′ᵀx − x̂‖² over ‖x‖²: how far the narrowed stream is from the base's."""
        total, tokens = 0.0, 0
        for x, y in zip(self._base, self._now, strict=True):
            base_TD, now_TS = x.rest(self._here(x)), y.rest(self._here(y))
            off_T = (self._basis.stream(base_TD) - now_TS).square().sum(-1)
            total += float((off_T / base_TD.square().sum(-1).clamp_min(_TINY)).double().sum())
            tokens += len(off_T)
        return total / tokens
