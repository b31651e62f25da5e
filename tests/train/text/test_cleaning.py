"""Unsound documents are told by what is wrong with them, and the same text has the same digest in any dress."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgelm.data.documents import Document
from edgelm.train.text.cleaning import digest, flaw, normalised


@pytest.mark.parametrize(("document", "found"), [
    (Document("text"), ""), (Document("答", "问"), ""), (Document("smile 🙂"), ""),
    (Document(""), "empty"), (Document(" \n\t"), "empty"), (Document("", "Why?"), "empty"),
    (Document("Because.", " \n"), "empty"), (Document("a\x00b"), "invalid"), (Document("b", "a\x00"), "invalid"),
    (Document("half \ud83d"), "invalid"), (Document("哒��"), "invalid"), (Document("x", "狐��狸"), "invalid"),
    (Document("a" * 99 + "\ufffd"), ""), (Document("a" * 98 + "\ufffd"), "invalid"),
])  # fmt: skip
def test_flaws(document: Document, found: str) -> None:
    assert flaw(document) == found


def test_case_width_and_spaces_are_evened_out() -> None:
    assert normalised("  ＡＢＣ\u3000ﬁne\n\n Straße ") == "abc fine strasse"
    for same in ("A  b\nc", "a b c ", "Ａ b c", "a b C"):
        assert digest(Document(same)) == digest(Document("a b c"))
    for other in ("a b d", "ab c", "a b c.", "a b"):
        assert digest(Document(other)) != digest(Document("a b c"))


def test_question_and_answer_are_not_confused() -> None:
    different = [Document("a b"), Document("b", "a"), Document("a", "b"), Document("a\nb"), Document("a b", "c")]
    assert len({digest(document) for document in different}) == 4  # the first and the fourth say the same


def test_digests_are_64_bits_and_the_same_in_every_process() -> None:
    found = [digest(Document(str(number))) for number in range(400)]
    assert len(set(found)) == 400
    assert 0.4 < sum(value < 1 << 63 for value in found) / 400 < 0.6
    code = "from edgelm.train.text.cleaning import *\nfor n in range(400): print(digest(Document(str(n))))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == list(map(str, found))
