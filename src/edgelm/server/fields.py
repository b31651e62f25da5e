"""Texts that strangers send, as they may stand in the database and on pages."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # what is not seen, or turns around what stands beside it
_DIGEST = "^[0-9a-f]{64}$"


def _seen(text: str) -> str:
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        raise ValueError("characters that are not seen are not taken")
    return text


def _paragraphs(text: str) -> str:
    _seen(text.replace("\n", "").replace("\t", ""))
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(_seen)]
Prose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), AfterValidator(_paragraphs)
]
Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$"),
    AfterValidator(_seen), AfterValidator(str.casefold),
]  # fmt: skip
Secret = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Digest = Annotated[str, Field(pattern=_DIGEST)]


class Body(BaseModel):
    """What a call takes or gives; a field that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
