"""Chinese words, as jieba cuts them."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from edgelm.errors import MissingPackage


def words(text: str) -> list[str]:
    """The words of a text in order, white space and punctuation among them; joined, they are the text.

    Raises:
        MissingPackage: jieba is not installed.
    """
    return list(segmenter().cut(text))


@cache
def segmenter() -> Any:
    """A segmenter with jieba's own dictionary, whatever other code adds to the shared one.

    Raises:
        MissingPackage: jieba is not installed.
    """
    try:
        import jieba
    except ImportError:
        raise MissingPackage("jieba", "eval") from None
    jieba.setLogLevel(logging.WARNING)
    return jieba.Tokenizer()
