"""Narrow a model: feed-forward channels, the residual stream, query heads; refit what reads them (arXiv 2210.17323)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.maths.attention import plan_heads
from edgelm.compress.maths.hidden_plan import BasisName, check_square, planned
from edgelm.errors import BadOption
from edgelm.shapes import shape_of

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

_ALIGN, _ALIGN_SMALL, _SMALL = 128, 4, 512  # multiples wanted of F′; the second for models whose F is below _SMALL
_KEYS = {"ffn": "intermediate_size", "hidden": "hidden_size", "heads": "num_attention_heads"}


@dataclass(frozen=True)
class Width:
    """Keep as many channels, coordinates or heads in every layer; one at least of the first three is given.

    Attributes:
        ffn: feed-forward channels that stay.
        score: what ranks channels and heads: `obs` the output error that is left after refitting, `wact` energy, `act`
            mean activation.
        update: `ls` refits the output matrix by least squares on the compressed model's own stream.
        hidden: coordinates of the residual stream that stay, the width of the model.
        heads: query heads that stay: of every group as many, or whole groups.
        basis: which coordinates: `pca` turns the stream to its main directions first, `channels` takes some as they
            are. Where a model has LayerNorms, or its head is its embedding, channels; else pca.
        untie: give such a model a head of its own, so that pca can turn it.
        refit: fit what reads the narrowed stream to it by least squares.
    """

    ffn: int | None = None
    score: Literal["obs", "act", "wact"] = "obs"
    update: Literal["ls", "none"] = "ls"
    hidden: int | None = None
    heads: int | None = None
    basis: BasisName | None = None
    untie: bool = False
    refit: bool = False

    def __post_init__(self) -> None:
        if self.ffn is None and self.hidden is None and self.heads is None:
            raise BadOption("width says nothing to narrow", mend="width:ffn=8192, hidden= or heads=, for example")
        if self.hidden is None:
            self._refuse_manner("nothing says how far")

    def _refuse_manner(self, why: str) -> None:
        for name in ("basis", "untie", "refit"):
            if getattr(self, name):
                raise BadOption(f"width:{name} says how to narrow the stream, but {why}",
                                mend=f"add hidden=3072, for example, or leave {name} out")  # fmt: skip

    def parts(self, config: Config) -> list[str]:
        """What is narrower afterwards, in the order in which it is narrowed: `ffn`, `hidden`, `heads`.

        Heads are best done last, but go first where so many as there are do not divide the new width.
        """
        parts = [part for part, key in _KEYS.items() if getattr(self, part) not in (None, config.get(key))]
        heads_first = self.hidden is not None and self.hidden % config["num_attention_heads"]
        return sorted(parts, key=lambda part: part != "heads") if heads_first else parts

    def idle(self, config: Config) -> bool:
        """Whether everything stays as wide as it is."""
        return not self.parts(config)

    def plan(self, config: Config) -> Config:
        """The configuration of the narrower model.

        Raises:
            BadOption: a width is not between 1 and the model's own, no multiple of what the kernels want, or none that
                can be run elsewhere.
        """
        parts = self.parts(config)
        if self.hidden is not None and "hidden" not in parts:
            self._refuse_manner(f"it is {config['hidden_size']} wide already")
        for part in parts:
            if part == "ffn":
                config = {**config, "intermediate_size": self._aligned_ffn(config["intermediate_size"])}
            elif part == "hidden":
                assert self.hidden is not None
                config = planned(config, self.hidden, basis=self.basis, untie=self.untie, heads=self.heads)
            else:
                assert self.heads is not None
                config = plan_heads(config, self.heads)
        if "heads" in parts:
            check_square(shape_of(config), config["hidden_size"], config["num_attention_heads"])
        return config

    def _aligned_ffn(self, ffn: int) -> int:
        assert self.ffn is not None
        align = _ALIGN if ffn >= _SMALL else _ALIGN_SMALL
        if not 0 < self.ffn <= ffn:
            raise BadOption(f"width:ffn={self.ffn} does not fit a feed-forward width of {ffn}",
                            mend=f"give a multiple of {align} below {ffn}")  # fmt: skip
        if self.ffn % align:
            below = self.ffn // align * align
            near = [str(n) for n in (below, below + align) if 0 < n <= ffn]
            raise BadOption(f"width:ffn={self.ffn} is no multiple of {align}", why="other widths run slower",
                            mend=f"the nearest: {' or '.join(near) or ffn}")  # fmt: skip
        return self.ffn

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Narrow layer by layer, each seeing the stream that the narrowed ones before it make."""
        from edgelm.compress.maths.widths import narrow  # torch, which a plan does without

        return narrow(model, batches, self, progress)
