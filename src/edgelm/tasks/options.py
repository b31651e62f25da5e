"""Which choice an answer names: a letter found in free text as OpenCompass 0.3.1 finds it, or the likeliest choice."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache

# Tried in this order; `@` stands for any of the option letters. The gap in the middle of the list (a phrase that must
# follow another without a separator) and the unescaped dots are the original's, and part of the protocol.
_PHRASES = r"""
答案是?\s*@
答案是?\s*：\s*@
答案是?\s*:\s*@
答案选项应?该?是\s*@
答案选项应?该?为\s*@
答案应该?是\s*@
答案应该?选\s*@
答案选项为?\s*：\s*@
答案选项是?\s*:\s*@
答案为\s*@
答案选\s*@
选择?\s*@
故选?\s*@只有选?项?\s?@\s?是?对
只有选?项?\s?@\s?是?错
只有选?项?\s?@\s?不?正确
只有选?项?\s?@\s?错误
说法不?对选?项?的?是\s?@
说法不?正确选?项?的?是\s?@
说法错误选?项?的?是\s?@
@\s?是正确的
@\s?是正确答案
选项\s?@\s?正确
所以答\s?@
所以\s?@[.。$]?$
所有\s?@[.。$]?$
[\s，：:,]@[。，,\.]?$
[\s，,：:][故即]@[。\.]?$
[\s，,：:]因此@[。\.]?$
[是为。]\s?@[。\.]?$
因此\s?@[。\.]?$
显然\s?@[。\.]?$
答案是\s?\S+(?:。|$)
答案应该是\s?\S+(?:。|$)
答案为\s?\S+(?:。|$)
[Tt]he answer is:?\s+\(?@\)?
[Tt]he answer is option:?\s+\(?@\)?
[Tt]he correct answer is:?\s+\(?@\)?
[Tt]he correct answer is option:?\s+\(?@\)?
[Tt]he correct answer is:?.*?boxed{@}
[Tt]he correct option is:?.*?boxed{@}
[Tt]he correct answer option is:?.*?boxed{@}
[Tt]he answer to the question is:?\s+\(?@\)?
^选项\s?@
^@\s?选?项
(?:\s|^)@[\s。，,：:\.$]
1.\s?.*?$
1.\s?@[.。$]?$
@:
@
""".strip().split("\n")


@cache
def _patterns(options: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(phrase.replace("@", f"[{options}]"), re.DOTALL) for phrase in _PHRASES)


def first_option(answer: str, options: str) -> str:
    """The option letter that the first fitting phrase of the answer names; empty if there is none.

    Of a phrase that holds several letters the first in the order of `options` counts.
    Source: OpenCompass 0.3.1, `first_option_postprocess`.
    """
    answer = answer.strip()
    for pattern in _patterns(options):
        if match := pattern.search(answer):
            found = next((letter for letter in options if letter in match[0]), "")
            if found:
                return found
    return ""


def first_capital(answer: str) -> str:
    """The first upper-case character of any script; empty if there is none.

    Source: OpenCompass 0.3.1, `first_capital_postprocess`.
    """
    return next((character for character in answer if character.isupper()), "")


def likeliest(answer: str, lengths: Sequence[int] | None = None) -> int:
    """The place of the largest of the log-likelihoods that an answer lists, the first of equals.

    `lengths` divide them, such as the choices' bytes.
    """
    logs = json.loads(answer)
    weighed = [log / length for log, length in zip(logs, lengths, strict=True)] if lengths else logs
    return max(range(len(weighed)), key=weighed.__getitem__)
