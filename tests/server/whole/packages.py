"""Packages of tiny models, as teams pack them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.pack import Entry, pack
from edgelm.rules import Rules

README = {"README.md": "edgelm compress tiny/base depth:drop=1 -o out/base\n"}


class Packer:
    """Packs for a competition.

    Args:
        folder: that packages and their parts are written to.
        rules: of the competition.
    """

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._folder, self._rules = folder, rules
        self._made = 0

    def pack(
        self, team: str, track: str, checkpoint: Path | None, *, proof: bool = True, source: Mapping[str, str] = README
    ) -> Path:
        """A package that the checker accepts.

        Args:
            team: its name.
            track: of the rules.
            checkpoint: of the track's one model; none is brought if None.
            proof: whether it says why the model was run on no phone, without which it is refused.
            source: texts of the source by name.
        """
        self._made += 1
        place = self._folder / str(self._made)
        for name, text in {f"source/{name}": text for name, text in source.items()}.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)
        [slot] = self._rules.track(track).slots
        entries = {}
        if checkpoint is not None:
            (place / "proof").mkdir()
            (place / "proof" / "error.txt").write_text("no phone was at hand\n")
            entries = {slot: Entry(checkpoint, proof=place / "proof" if proof else None)}
        pack(entries, team=team, track=track, rules=self._rules, source=place / "source", out=place / "package",
             title=f"{team} {self._made}", omitted={} if entries else {slot: "not done yet"})  # fmt: skip
        return place / "package"


def carded(checkpoint: Path, track: str) -> Path:
    """A checkpoint whose card says that it was made for a track."""
    compressed = Card(base="tiny/base", derivation="compressed", recipe=["depth:drop=1"])
    made = Card(derivation="from-scratch", recipe=["tokenizer", "pretrain"])
    card = compressed if track == "compression" else made
    Checkpoint(checkpoint).write_card(card.model_copy(update={"data": [Source(name="c4", tokens=1000)]}))
    return checkpoint
