from __future__ import annotations

import re
import unicodedata

import pytest

from edgelm.compress.vocabulary.scripts import CHARACTERS, occurs_in, require_known
from edgelm.errors import BadOption


@pytest.mark.parametrize(("text", "english", "chinese"), [
    ("the", True, True), (" — “the”…", True, True), ("守株", False, True), ("，。×·", False, True),
    ("Ａ！", False, True),
    ("é", False, False), ("สวัส", False, False), ("あ", False, False), ("a🙂", False, False), ("", True, True),
])  # fmt: skip
def test_characters_of_the_scripts(text: str, english: bool, chinese: bool) -> None:
    assert occurs_in(["en"])(text.encode()) is english
    assert occurs_in(["zh"])(text.encode()) is chinese
    assert occurs_in(["en", "zh"])(text.encode()) is chinese


def test_pieces_of_characters_always_can() -> None:
    thai = "ส".encode()
    assert all(occurs_in(["en"])(piece) for piece in (thai[:1], thai[1:], b"a" + thai[:2]))


def test_nfc_stays_within_the_scripts() -> None:
    for inside in CHARACTERS.values():
        characters = [chr(code) for code in range(0x11000) if re.match(f"[{inside}]", chr(code))]
        assert all(re.fullmatch(f"[{inside}]*", unicodedata.normalize("NFC", c)) for c in characters)
        marks = [c for c in characters if unicodedata.combining(c)]
        composed = [unicodedata.normalize("NFC", a + b) for a in characters for b in marks]
        assert all(re.fullmatch(f"[{inside}]*", c) for c in composed)


def test_an_unknown_language_brings_the_nearest() -> None:
    require_known(["en", "zh"])
    with pytest.raises(BadOption, match="langs=cn") as caught:
        require_known(["en", "cn"])
    assert "en" in caught.value.mend
