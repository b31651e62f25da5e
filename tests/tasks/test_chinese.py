"""Chinese words by jieba, and its absence."""

import sys

import pytest

from edgelm.errors import MissingPackage
from edgelm.tasks import chinese


def test_words_joined_are_the_text():
    text = "我爱北京天安门，GDP增长25.89%。\r\n\u3000"
    assert "".join(chinese.words(text)) == text
    assert chinese.words("我爱北京天安门") == ["我", "爱", "北京", "天安门"]
    assert chinese.words("") == []


def test_words_of_others_do_not_change_ours():
    import jieba

    jieba.add_word("爱北京")
    assert chinese.words("我爱北京") == ["我", "爱", "北京"]


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    chinese.segmenter.cache_clear()
    with pytest.raises(MissingPackage, match="jieba") as caught:
        chinese.words("北京")
    assert caught.value.mend == "pip install -e '.[eval]' in the checkout of edgelm"
