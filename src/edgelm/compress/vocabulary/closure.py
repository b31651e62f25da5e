"""What a token is merged from: kept together with it, the token comes about exactly as before.

When BPE makes the token t of some text, the merges within t are those that it makes of t's bytes alone: merges go
lowest rank first, and none of them crosses a border of t. So the tokens on the way to t are those of its own bytes.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import pairwise

from edgelm.compress.vocabulary.byte_bpe import ByteBpe


class Closure:
    """The tokens on the way to each token of a BPE, found when asked for."""

    def __init__(self, bpe: ByteBpe) -> None:
        self._ids, self._texts = bpe.ids, {token: text for text, token in bpe.ids.items()}
        self._ranks = {(bpe.ids[left], bpe.ids[right]): rank for rank, (left, right) in enumerate(bpe.merges)}
        self._made = [bpe.ids[left + right] for left, right in bpe.merges]  # by rank
        self._parts: dict[int, tuple[int, ...]] = {}

    def missing(self, token: int, kept: Set[int]) -> set[int]:
        """The token and those on the way to it, as far as they are not in `kept`, itself a closed set."""
        found: set[int] = set()
        waiting = [token]
        while waiting:
            one = waiting.pop()
            if one not in kept and one not in found:
                found.add(one)
                waiting += self.parts(one)
        return found

    def parts(self, token: int) -> tuple[int, ...]:
        """The two tokens whose merge makes this one; none for a byte, or if merges do not arrive at it.

        Such a token comes about only as an added one, or where a word that is a token is taken without merging.
        """
        if token not in self._parts:
            self._parts[token] = self._last_merge(self._texts.get(token, ""))
        return self._parts[token]

    def _last_merge(self, text: str) -> tuple[int, ...]:
        """The two pieces that are left before the last merge, by the plain procedure: lowest rank, leftmost, again."""
        pieces = [self._ids.get(character, -1) for character in text]
        never = len(self._made)  # the rank of two pieces that do not merge
        ranks = [self._ranks.get(two, never) for two in pairwise(pieces)]
        while len(ranks) > 1 and (best := min(ranks)) != never:
            at = ranks.index(best)
            pieces[at : at + 2] = [self._made[best]]
            del ranks[at]
            for before in range(max(at - 1, 0), min(at + 1, len(ranks))):
                ranks[before] = self._ranks.get((pieces[before], pieces[before + 1]), never)
        return tuple(pieces) if len(ranks) == 1 and ranks[0] != never else ()
