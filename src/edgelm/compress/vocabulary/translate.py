"""Sequences of tokens in a vocabulary from which tokens were left out."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.compress.base import Tokens
from edgelm.compress.vocabulary.byte_bpe import LETTERS, ByteBpe, byte_bpe
from edgelm.files import parse_json


class Translation:
    """From the base's tokens to those that stay: a token that is gone becomes the tokens that its bytes merge to.

    The text stays the same to the byte. It is what the trimmed tokenizer makes of it wherever all of its tokens stay.

    Args:
        base: the contents of the base's `tokenizer.json`.
        trimmed: of the trimmed one's.
        old_ids: the base's id of each token that stays.
    """

    def __init__(self, base: bytes, trimmed: bytes, old_ids: Sequence[int]) -> None:
        from tokenizers import Tokenizer  # a plan does without

        self._base: ByteBpe = byte_bpe(parse_json(base, "tokenizer.json"))
        self._core = Tokenizer.from_str(trimmed.decode()).model
        self._new = {old: [new] for new, old in enumerate(old_ids)}

    def __call__(self, tokens: Tokens) -> list[int]:
        """The same text in the tokens that stay."""
        return [new for token in tokens for new in self._of(token)]

    def _of(self, token: int) -> list[int]:
        if token not in self._new:
            written = "".join(map(LETTERS.__getitem__, self._base.spelled(token)))
            self._new[token] = [piece.id for piece in self._core.tokenize(written)]
        return self._new[token]
