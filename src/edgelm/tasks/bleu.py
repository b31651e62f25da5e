"""BLEU of one text against another, equal to the `bleu` of Hugging Face's `evaluate` to the last bit.

Four orders of n-grams, no smoothing, a penalty for short texts (Papineni et al. 2002), over the tokens of WMT's
`mteval-v13a`. It is not sacrebleu's sentence score, which smooths.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass

ORDERS = 4
_ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}
_SPLITS = tuple((re.compile(pattern), parts) for pattern, parts in (
    (r"([!-&(-+/:-@\[-`{-~ ])", r" \1 "),  # every ASCII sign but ' , - .
    (r"([^0-9])([.,])", r"\1 \2 "),  # a full stop or comma that does not follow a digit
    (r"([.,])([^0-9])", r" \1 \2"),  # or is not followed by one
    (r"([0-9])(-)", r"\1 \2 "),  # a hyphen behind a digit
))  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """A text as BLEU sees it: how many tokens, and how often each run of one to four of them occurs."""

    tokens: int
    runs: Counter[tuple[str, ...]]


def tokens(text: str) -> list[str]:
    """The tokens of a text as `mteval-v13a` cuts it."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES.items():
        text = text.replace(entity, sign)
    text = f" {text} "
    for pattern, parts in _SPLITS:
        text = pattern.sub(parts, text)
    return text.split()


def count(text: str) -> Counted:
    """A text made ready for comparison."""
    words = tokens(text)
    starts = [words[start:] for start in range(ORDERS)]
    runs = Counter(run for order in range(1, ORDERS + 1) for run in zip(*starts[:order], strict=False))
    return Counted(len(words), runs)


def similarity(answer: Counted, reference: Counted) -> float:
    """The BLEU of an answer against one reference, 0 to 1; 0 if they have no run of four tokens in common."""
    matches = [0] * ORDERS
    for run, times in reference.runs.items():
        if run in answer.runs:
            matches[len(run) - 1] += min(times, answer.runs[run])
    if not matches[-1]:
        return 0.0
    # The order of the operations is that of the original, and that of `sum` before Python 3.12: another one differs in
    # the last bit.
    total = 0.0
    for order, found in enumerate(matches):
        total += (1 / ORDERS) * math.log(found / (answer.tokens - order))
    ratio = answer.tokens / reference.tokens
    return math.exp(total) * (1.0 if ratio > 1.0 else math.exp(1 - 1.0 / ratio))
