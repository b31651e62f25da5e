"""Which documents are sound, and which say the same: 64-bit digests of texts with case, width and spaces evened out."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

from edgelm.data.documents import Document

LOST = 0.01  # share of replacement characters from which a text counts as damaged
_BLANK = "\ufffd"


def flaw(document: Document) -> str:
    """Why a document cannot be trained on: `empty` (no text, or a question without words), `invalid`; else nothing.

    Invalid are NUL characters, halves of surrogate pairs, and texts of which much was lost in an earlier decoding.
    """
    parts = (document.text,) if document.question is None else (document.text, document.question)
    if not all(part.strip() for part in parts):
        return "empty"
    return "invalid" if any(map(_damaged, parts)) else ""


def _damaged(text: str) -> bool:
    if "\x00" in text or text.count(_BLANK) > LOST * len(text):
        return True
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def normalised(text: str) -> str:
    """A text as it is compared: NFKC, case folded, all white space one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def digest(document: Document) -> int:
    """64 bits that sound documents share if they say the same, in question and answer."""
    parts = (document.text,) if document.question is None else (document.question, document.text)
    text = "\n".join(map(normalised, parts))  # a normalised text has no line breaks
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
