"""Bytes to text: what is unusual is named, nothing is lost."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelm.errors import BadFile
from edgelm.results.decode import LARGEST, decode

TEXT = "Model,GSM8K\nphi-2,1.97\n"


def test_a_plain_text_is_itself():
    assert decode(TEXT.encode()) == (TEXT, [])
    assert decode("größe,中\n".encode()) == ("größe,中\n", [])


@pytest.mark.parametrize(("data", "said"), [
    (codecs.BOM_UTF8 + TEXT.encode(), "UTF-8 with a byte order mark"), (TEXT.encode("utf-16"), "UTF-16 with"),
    (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "UTF-16 with"), (TEXT.encode("utf-16-le"), "UTF-16 without"),
    (TEXT.encode("utf-16-be"), "UTF-16 without"), (TEXT.encode("utf-32"), "UTF-32"),
    (TEXT.replace("\n", "\r\n").encode(), "CR LF"), (TEXT.replace("\n", "\r").encode(), "end in CR"),
])  # fmt: skip
def test_unusual_encodings_and_line_ends(data, said):
    text, odd = decode(data)
    assert text == TEXT and len(odd) == 1 and said in odd[0]


def test_latin_1_and_a_missing_newline_are_both_said():
    text, odd = decode("Größe".encode("latin-1"))
    assert text == "Größe" and len(odd) == 2


LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")


@given(text=st.text(LETTERS, min_size=1).map(lambda text: f"a{text}\n"),
       encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))  # fmt: skip
def test_any_text_comes_back(text, encoding):
    assert decode(text.encode(encoding))[0] == text


def test_a_file_beyond_the_limit_is_refused():
    decode(b"a" * LARGEST)
    with pytest.raises(BadFile, match="1,048,577 bytes"):
        decode(b"a" * (LARGEST + 1))
