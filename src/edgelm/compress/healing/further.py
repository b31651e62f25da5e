"""Text that only healing reads: the documents after those that a model was calibrated on and judged by.

Where there is no other, as of a book in a single file, it is what follows in the documents that it was calibrated on.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Tokens
from edgelm.compress.calibrate import Calibration
from edgelm.compress.sequences import Piece, cut_pieces, sources_of
from edgelm.data.texts import TextSource


class Further:
    """Text after that of a calibration, always in the same order: who draws more draws what others did too.

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
        self._documents, self._calibrated = calibration.documents, calibration.calibrated
        self._drawn = len(calibration.batches) + len(calibration.held_out)
        self._record: dict[str, Any] = {}

    def draw(self, tokens: int) -> list[Tokens]:
        """Sequences of at least so many tokens, or all that there are; four bytes a token.

        Raises:
            BadFile: the tokenizer has more entries than the model.
        """
        found: list[Piece] = []
        count = 0
        for piece in self._others() if self._more else self._rest():
            if count >= tokens:
                break
            found.append(piece._replace(tokens=array("i", piece.tokens)))
            count += len(piece.tokens)
        if not self._record or count > self._record["tokens"]:
            sources, allowed = sources_of(self._texts, found)
            self._record = {"tokens": count, "sequences": len(found), "allowed": allowed,
                            "sources": [source.model_dump(mode="json") for source in sources]}  # fmt: skip
        return [piece.tokens for piece in found]

    @cached_property
    def _more(self) -> bool:
        return next(self._others(), None) is not None

    def _others(self) -> Iterator[Piece]:
        """Of the documents that follow."""
        return (piece for piece in self._pieces() if piece.document >= self._documents)

    def _rest(self) -> Iterator[Piece]:
        """Of those that were calibrated on; none of one that was held out as a whole."""
        return (piece for piece in islice(self._pieces(), self._drawn, None) if piece.document in self._calibrated)

    def _pieces(self) -> Iterator[Piece]:
        return cut_pieces(self._base, self._texts, self._sequence, self._seed)

    def told(self) -> dict[str, Any]:
        """What was drawn since this was asked for last, as `learned_from`, for a step's record; empty if nothing was.

        Tokens are the base's.
        """
        record, self._record = self._record, {}
        return {"learned_from": record} if record else {}
