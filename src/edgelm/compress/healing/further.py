"""Text that only healing reads: the documents after those that a model was calibrated on and judged by."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Tokens
from edgelm.compress.calibrate import Calibration
from edgelm.compress.sequences import Piece, cut_pieces, sources_of
from edgelm.data.texts import TextSource


class Further:
    """The documents after those of a calibration, always in the same order: who draws more draws what others did too.

    Args:
        base: whose tokenizer is used.
        texts: those that the calibration was drawn from.
        calibration: what was drawn.
        sequence: as it was drawn.
        seed: as it was drawn.
    """

    def __init__(
        self, base: Checkpoint, texts: Sequence[TextSource], calibration: Calibration, sequence: int, seed: int
    ) -> None:
        self._base, self._texts, self._sequence, self._seed = base, texts, sequence, seed
        self._first = calibration.documents
        self._record: dict[str, Any] = {}

    def draw(self, tokens: int) -> list[Tokens]:
        """Sequences of at least so many tokens, or all that there are; four bytes a token.

        Raises:
            BadFile: the tokenizer has more entries than the model.
        """
        found: list[Piece] = []
        count = 0
        for piece in cut_pieces(self._base, self._texts, self._sequence, self._seed):
            if count >= tokens:
                break
            if piece.document >= self._first:
                found.append(piece._replace(tokens=array("i", piece.tokens)))
                count += len(piece.tokens)
        if not self._record or count > self._record["tokens"]:
            sources, allowed = sources_of(self._texts, found)
            self._record = {"tokens": count, "sequences": len(found), "allowed": allowed,
                            "sources": [source.model_dump(mode="json") for source in sources]}  # fmt: skip
        return [piece.tokens for piece in found]

    def told(self) -> dict[str, Any]:
        """What was drawn since this was asked for last, as `learned_from`, for a step's record; empty if nothing was.

        Tokens are the base's.
        """
        record, self._record = self._record, {}
        return {"learned_from": record} if record else {}
