"""A fixed text that every model weighs: asked like any question, so that no model knows what it is for.

Its perplexity is that of a word, whose number is the same for all tokenizers and known without one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgelm.chat import ask
from edgelm.devices.prompt import PASSAGE
from edgelm.engines.base import Request
from edgelm.errors import BadFile
from edgelm.files import canonical_json, parse_json, sha256_bytes

_CHARACTERS = 1000  # of the passage, and fewer for a short context: no tokenizer makes two tokens of one letter
_CONTEXT = 512  # tokens, where the configuration does not say
_ASKED = 10  # words, after which the others are weighed


def fixed_text(context: int | None, settings: Mapping[str, Any]) -> tuple[Request, int]:
    """What asks for the text's weight, and how many words are weighed.

    Args:
        context: of the model, in tokens.
        settings: all that every answer of the run depends on.
    """
    words = PASSAGE[: min(_CHARACTERS, (context or _CONTEXT) // 2)].split()
    begun, weighed = " ".join(words[:_ASKED]), " " + " ".join(words[_ASKED:])
    key = sha256_bytes(canonical_json({**settings, "weighed": [begun, weighed]}))
    return Request(key, 0, ask(begun), 1, choices=(weighed,)), len(words) - _ASKED


def word_perplexity(answer: str, words: int) -> float:
    """The perplexity of a word in the text, from the answer; infinite where it is too large for a number.

    Raises:
        BadFile: the answer is none to that request.
    """
    logs = parse_json(answer, "the weight of the fixed text")
    if not (isinstance(logs, list) and len(logs) == 1 and isinstance(logs[0], int | float)):
        raise BadFile("the weight of the fixed text is no number")
    try:
        return math.exp(-logs[0] / words)
    except OverflowError:
        return math.inf
