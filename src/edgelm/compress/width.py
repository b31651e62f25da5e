"""Narrow the feed-forward layers: keep the channels that matter, refit what reads them (arXiv 2210.17323)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.errors import BadOption
from edgelm.files import canonical_json, sha256_bytes

if TYPE_CHECKING:
    from edgelm.compress.model import Decoder

_ALIGN, _ALIGN_SMALL, _SMALL = 128, 4, 512  # multiples wanted of F′; the second for models whose F is below _SMALL


@dataclass(frozen=True)
class Width:
    """Keep the same number of hidden channels in every layer.

    Attributes:
        ffn: how many channels stay.
        score: what ranks them: `obs` the output error that is left after refitting, `wact` energy, `act` mean
            activation.
        update: `ls` refits the output matrix by least squares on the compressed model's own stream.
    """

    ffn: int
    score: Literal["obs", "act", "wact"] = "obs"
    update: Literal["ls", "none"] = "ls"

    def idle(self, config: Config) -> bool:
        """Whether all channels stay."""
        return self.ffn == config["intermediate_size"]

    def plan(self, config: Config) -> Config:
        """The configuration with the feed-forward width `ffn`.

        Raises:
            BadOption: not between 1 and the model's own width, or no multiple of what the kernels want.
        """
        ffn = config["intermediate_size"]
        align = _ALIGN if ffn >= _SMALL else _ALIGN_SMALL
        if not 0 < self.ffn <= ffn:
            raise BadOption(f"width:ffn={self.ffn} does not fit a feed-forward width of {ffn}",
                            mend=f"give a multiple of {align} below {ffn}")  # fmt: skip
        if self.ffn % align and not self.idle(config):
            below = self.ffn // align * align
            near = [str(n) for n in (below, below + align) if 0 < n <= ffn]
            raise BadOption(f"width:ffn={self.ffn} is no multiple of {align}", why="other widths run slower",
                            mend=f"the nearest: {' or '.join(near) or ffn}")  # fmt: skip
        return {**config, "intermediate_size": self.ffn}

    def apply(self, model: Decoder, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Narrow layer by layer, each seeing the stream that the narrowed ones before it make."""
        from edgelm.compress.channels import Moments  # torch, which a plan does without

        base = [model.enter(tokens) for tokens in batches]
        narrowed = list(base)
        kept_by_layer, penalties, errors = [], [], []
        for layer in range(len(model.layers)):
            progress("width: narrow layers", layer, len(model.layers))
            writer = model.writer(layer)
            moments = Moments(writer.weight, centred=writer.bias is not None, layer=layer)
            for number, (x, y) in enumerate(zip(base, narrowed, strict=True)):
                base[number], a_TF = model.run_watching(layer, x)
                moments.add(a_TF[1:], model.run_watching(layer, y)[1][1:])
            kept = moments.keep(self.ffn, self.score)
            fit = moments.refit(kept) if self.update == "ls" else moments.slice(kept)
            model.narrow(layer, kept, fit.weight, fit.shift)
            narrowed = [model.run(layer, y) for y in narrowed]
            kept_by_layer.append(kept.tolist())
            penalties.append(fit.penalty)
            errors.append(moments.error(kept, fit))
        return {
            "kept_sha256": sha256_bytes(canonical_json(kept_by_layer)),
            "penalty": penalties,
            "error": errors,  # of each layer's output, relative
            "warnings": moments.warnings if self.update == "ls" else [],
        }
