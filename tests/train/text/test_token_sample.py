"""What a tokenizer learns from: each language has its bytes, and no more is read than that takes."""

from __future__ import annotations

from edgelm.data.documents import Document
from edgelm.train.text.token_sample import Sample, is_chinese, rendered

A, ZH = Document("a" * 10), Document("水" * 10)  # 10 and 30 bytes


def test_each_language_has_its_share() -> None:
    sample = Sample(100, chinese=0.3)
    assert list(sample.texts([ZH, A, ZH, *[A] * 20])) == [ZH.text, *[A.text] * 7]
    assert sample.taken == {"chinese": 30, "other": 70}
    assert sample.hanzi == {"水": 10}


def test_what_one_language_lacks_the_other_does_not_take() -> None:
    sample = Sample(100, chinese=0.3)
    assert len(list(sample.texts([A] * 20))) == 7
    assert sample.taken == {"chinese": 0, "other": 70}


def test_all_there_is_is_taken_where_there_is_room() -> None:
    sample = Sample(10_000, chinese=0.5)
    assert list(sample.texts([A, ZH, A])) == [A.text, ZH.text, A.text]


def test_the_last_text_is_cut_and_no_character_is() -> None:
    sample = Sample(35, chinese=0.2)
    assert list(sample.texts([ZH, A, A, A])) == ["水水", A.text, A.text, "aaaaaaaa"]


def test_nothing_is_read_beyond_what_is_needed() -> None:
    documents = iter([A, ZH, A, A, A])
    list(Sample(40, chinese=0.5).texts(documents))
    assert len(list(documents)) == 2
    documents = iter([A, A, A, A])
    list(Sample(20, chinese=0).texts(documents))
    assert len(list(documents)) == 2


def test_a_chat_is_learned_as_it_is_encoded_and_belongs_to_one_language() -> None:
    chat = Document("42", "六乘七等于多少？")
    assert list(rendered(chat)) == ["user\n六乘七等于多少？\n", "assistant\n", "42"]
    sample = Sample(1000, chinese=0.5)
    list(sample.texts([chat]))
    assert sample.taken == {"chinese": len("user\n六乘七等于多少？\nassistant\n42".encode()), "other": 0}


def test_languages_are_told_apart() -> None:
    assert is_chinese("今天 OK") and is_chinese("HTML是一种标记语言。")
    assert not any(map(is_chinese, ["", "plain", "naïve café – “quoted”", "The character 水 means water.", "ひらがな"]))
