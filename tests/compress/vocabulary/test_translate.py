from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import Tokenizer

from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.count import count_tokens
from edgelm.compress.vocabulary.translate import Translation
from edgelm.compress.vocabulary.trim import trim

SEEN = ["The quick brown fox jumps over the lazy dog.", "守株待兔的故事"]
UNSEEN = "Все счастливые семьи похожи; otherwise สวัสดีครับ 🙂\n\n\tdef f(x): return x"


@pytest.fixture
def translation(tokenizer: dict[str, Any]) -> tuple[Tokenizer, Tokenizer, Translation]:
    base = json.dumps(tokenizer).encode()
    config = {"model_type": "qwen2", "vocab_size": 1024}
    made = trim({"tokenizer.json": base}, config, count_tokens(base, SEEN), Vocab(min_count=1))
    after = made.files["tokenizer.json"]
    return (Tokenizer.from_str(base.decode()), Tokenizer.from_str(after.decode()),
            Translation(base, after, made.selection.old_ids))  # fmt: skip


def test_text_whose_tokens_stay_is_what_the_trimmed_tokenizer_makes_of_it(
    translation: tuple[Tokenizer, Tokenizer, Translation],
) -> None:
    before, after, translate = translation
    for text in SEEN:
        ids = before.encode(text, add_special_tokens=False).ids
        assert translate(ids) == after.encode(text, add_special_tokens=False).ids
        assert len(translate(ids)) == len(ids)


def test_any_other_text_stays_the_same_to_the_byte(translation: tuple[Tokenizer, Tokenizer, Translation]) -> None:
    before, after, translate = translation
    ids = before.encode(UNSEEN, add_special_tokens=False).ids
    made = translate(ids)
    assert len(made) > len(ids)
    assert max(made) < after.get_vocab_size()
    assert after.decode(made, skip_special_tokens=False) == before.decode(ids, skip_special_tokens=False)
