"""Fit one layer of a cut model to the stream of the base, norm by norm; see `repairing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgelm.compress.base import FAMILIES, FeedForward
from edgelm.compress.maths.bending import Channels, bent_by
from edgelm.compress.maths.residual import Residual, residual_of
from edgelm.compress.maths.ridge import Ridge
from edgelm.compress.stream.device import fast_products, home
from edgelm.compress.stream.layer import Layer, Passage
from edgelm.compress.stream.model import Model


class LayerFit:
    """Fits one layer, norm by norm."""

    def __init__(self, model: Model, number: int, base: Layer, share: float | None, bend: float) -> None:
        self._config, self._number, self._base, self._share, self._bend = model.config, number, base, share, bend
        self._now = model.layer(number)
        self._device = model.device
        self.penalties: list[float] = []

    def fitted(
        self, x: Sequence[Passage], goal: Sequence[Passage], now: Sequence[Passage], *, same: bool
    ) -> dict[str, Tensor]:
        """The tensors that change, by their names below the layer.

        Args:
            x: the base's stream in front of the layer.
            goal: the base's stream that shall leave it.
            now: the stream that enters it.
            same: whether x and `now` are one; what reads the first norm has nothing to learn then.
        """
        changed: dict[str, Tensor] = {}
        stages = _stages(residual_of(self._config))
        for place, (norm, readers, writers) in enumerate(stages):
            after = stages[place + 1][0] if place + 1 < len(stages) else None
            if place or not same:
                changed |= self._take(self._readers(x, now, readers))
            changed |= self._take(self._writers(x, goal, now, norm, after, writers))
        if self._bend:
            feed = FAMILIES[self._config["model_type"]]
            for which in reversed(range(len(feed.readers))):
                changed |= self._take(self._bent(goal, now, feed, which))
            norm, _, writers = stages[-1]
            changed |= self._take(self._writers(x, goal, now, norm, None, writers))
        return changed

    def _bent(
        self, goal: Sequence[Passage], now: Sequence[Passage], feed: FeedForward, which: int
    ) -> dict[str, Tensor]:
        """One reader of the feed-forward, changed towards what the layer's output lacks."""
        readers, tensors = [f"mlp.{reader}" for reader in feed.readers], self._now.tensors
        seen = []
        for end, here in zip(goal, now, strict=True):
            with fast_products(self._device):
                behind, given = self._now.watch(here, readers[:1])
            seen.append((home(here.rest(given[readers[0]])), here.rest(end.x_TD - behind.x_TD)))
        weights = [(tensors[f"{reader}.weight"], tensors.get(f"{reader}.bias", 0.0)) for reader in readers]
        channels = Channels(self._now.activation, weights, tensors[f"mlp.{feed.writer}.weight"])
        with fast_products(self._device):
            bent_FD = bent_by(channels, which, seen, self._bend)
        return {f"{readers[which]}.weight": weights[which][0] + bent_FD}

    def _take(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Go on with the layer as it is with these."""
        self._now = Layer(self._config, self._number, {**self._now.tensors, **tensors})
        return tensors

    def _readers(self, x: Sequence[Passage], now: Sequence[Passage], readers: Sequence[str]) -> dict[str, Tensor]:
        ridge = self._ridge(readers)
        for base, here in zip(x, now, strict=True):
            with fast_products(self._device):
                n_TD = self._base.watch(base, readers[:1])[1][readers[0]]
                ridge.add(base.rest(n_TD), here.rest(self._now.watch(here, readers[:1])[1][readers[0]]))
        made = {}
        for reader in readers:
            weight, bias = f"{reader}.weight", f"{reader}.bias"
            made[weight], shift = ridge.fit(self._now.tensors[weight], self._now.tensors[weight])
            if bias in self._now.tensors:
                made[bias] = self._now.tensors[bias] + shift
        self.penalties.append(ridge.penalty)
        return made

    def _writers(
        self, x: Sequence[Passage], goal: Sequence[Passage], now: Sequence[Passage], norm: str, after: str | None,
        writers: Sequence[str],
    ) -> dict[str, Tensor]:  # fmt: skip
        """All that write behind one norm, together; the last one's bias takes up the means."""
        ridge = self._ridge(writers)
        for base, end, here in zip(x, goal, now, strict=True):
            with fast_products(self._device):
                seen = self._now.watch(here, [norm, *writers])[1]
                aim_TD = end.x_TD.to(self._device) if after is None else self._base.watch(base, [after])[1][after]
                given_TI = torch.cat([seen[writer] for writer in writers], dim=1)
                ridge.add(here.rest(aim_TD - seen[norm]), here.rest(given_TI))
        weights = [self._now.tensors[f"{writer}.weight"] for writer in writers]
        weight_DI, shift_D = ridge.fit(torch.cat(weights, dim=1))
        self.penalties.append(ridge.penalty)
        parts = weight_DI.split([weight.shape[1] for weight in weights], dim=1)
        made = {f"{writer}.weight": part for writer, part in zip(writers, parts, strict=True)}
        if ridge.centred:
            others = sum(self._now.tensors[f"{writer}.bias"] for writer in writers[:-1])
            made[f"{writers[-1]}.bias"] = shift_D - others
        return made

    def _ridge(self, matrices: Sequence[str]) -> Ridge:
        biased = [f"{matrix}.bias" in self._now.tensors for matrix in matrices]
        return Ridge(f"layer {self._number}", centred=all(biased), share=self._share)


def _stages(residual: Residual) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Of each norm, in the order in which they run: its name, what reads it, and what writes behind it."""
    norms = list(residual.readers)
    opening = tuple(writer for writer in residual.writers if writer not in residual.closing)
    behind: Mapping[str, tuple[str, ...]] = {norms[-1]: residual.closing} | ({norms[0]: opening} if norms[1:] else {})
    return [(norm, residual.readers[norm], behind[norm]) for norm in norms]
