"""Which tokens can occur in text of a language: those whose characters are all of its scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from edgelm.errors import BadOption, UnknownName

_LATIN = "\\u0000-\\u007f\\u2000-\\u206f"  # ASCII; general punctuation
_HAN = "\\u3000-\\u303f\\u3400-\\u4dbf\\u4e00-\\u9fff\\uff00-\\uffef\\u00b7\\u00d7"  # ideographs, full width, · and ×
# As the inside of a regular expression's class. None of these characters becomes one of another script by NFC.
CHARACTERS = {"en": _LATIN, "zh": _LATIN + _HAN}


def require_known(languages: Iterable[str]) -> None:
    """Refuse a language whose scripts are not known here.

    Raises:
        BadOption: with the nearest that is known.
    """
    for language in languages:
        if language not in CHARACTERS:
            raise BadOption(f"vocab:langs={language} is not possible",
                            mend=UnknownName("language", language, CHARACTERS).mend)  # fmt: skip


def occurs_in(languages: Iterable[str]) -> Callable[[bytes], bool]:
    """Whether a token of these bytes can occur in text of the languages.

    A token that is no UTF-8 by itself is a piece of characters, of whatever script, and always can. One that is UTF-8
    stands for whole characters wherever it occurs, since no character's bytes begin within another's.
    """
    matches = re.compile(f"[{''.join(CHARACTERS[language] for language in languages)}]*").fullmatch

    def occurs(spelled: bytes) -> bool:
        try:
            return matches(spelled.decode()) is not None
        except UnicodeDecodeError:
            return True

    return occurs
