"""Ours, as its user gets it: a recipe that the search finds for a number of parameters, done by `compress`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Step
from edgelm.compress.heal import Heal
from edgelm.compress.run import compress
from edgelm.compress.search.full import full
from edgelm.compress.search.limits import Limit
from edgelm.compress.search.quick import quick
from edgelm.data.texts import TextSource
from edgelm.plugins import spec_of

OURS = "ours"
_NEAR = 0.0005  # of the backbone: what rounding to a tenth of a percent leaves; fewer channels narrow no norm
_BUILT = 4  # candidates whose KL is measured


class Ours:
    """Finds a recipe for each ratio once, with the first seed's calibration text, and compresses with each seed's.

    Args:
        base: what is compressed.
        texts: to calibrate on.
        tokens: of them.
        sequence: of these, at the most at a time.
        device: to compute on.
        work: an empty folder.
    """

    def __init__(
        self, base: Checkpoint, texts: Sequence[TextSource], tokens: int, sequence: int, device: str, work: Path
    ) -> None:  # fmt: skip
        self._base, self._texts, self._work = base, texts, work
        self._how: dict[str, Any] = {"tokens": tokens, "sequence": sequence, "device": device}
        self._found: dict[float, list[Step]] = {}

    def compressed(self, backbone: int, removed: float, seed: int, heal: int = 0) -> tuple[Checkpoint, str]:
        """The result, and its recipe.

        Args:
            backbone: parameters between the base's embedding and its head.
            removed: share of them that goes.
            seed: of the calibration text.
            heal: tokens to train on; 0 leaves that out.
        """
        if removed not in self._found:
            self._found[removed] = self._searched(backbone, removed, seed)
        steps = [*self._found[removed], *([Heal(heal)] if heal else [])]
        out = self._work / f"{removed}-{seed}-{heal}"
        return self._made(steps, out, seed), " ".join(map(spec_of, steps))

    def _searched(self, backbone: int, removed: float, seed: int) -> list[Step]:
        """The recipe that the full search finds nearest to the base."""
        most = self._base.parameters - int((removed - _NEAR) * backbone)
        found = quick(self._base, [], Limit(parameters=most), self._texts, seed=seed, **self._how)
        built = full(
            found, self._work / f"{removed}-found", lambda steps, out: self._made(steps, out, seed),
            {"seed": seed, **self._how}, most=_BUILT,
        )  # fmt: skip
        return built.steps

    def _made(self, steps: Sequence[Step], out: Path, seed: int) -> Checkpoint:
        return compress(self._base, steps, out, texts=self._texts, dtype="float32", seed=seed, **self._how)
