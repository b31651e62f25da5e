from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers

from edgelm.compress.vocabulary.byte_bpe import ALPHABET, byte_bpe, pair
from edgelm.errors import BadFile, Unsupported


def test_the_alphabet_is_that_of_the_library() -> None:
    assert set(ALPHABET) == set(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(ALPHABET.values()) == list(range(256))
    for text in ("Aé 守🙂\n", "\x00\x7f"):
        [(written, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
        assert bytes(ALPHABET[character] for character in written) == text.encode()


def test_every_token_is_spelled_as_the_library_decodes_it(tokenizer: dict[str, Any], loaded: Any) -> None:
    bpe, core = byte_bpe(tokenizer), loaded(tokenizer)
    assert len(bpe.texts) == core.get_vocab_size()
    for token in bpe.texts:
        assert bpe.spelled(token).decode(errors="replace") == core.decode([token], skip_special_tokens=False)
    assert len(bpe.byte_ids) == 256


def test_merges_of_both_spellings() -> None:
    assert pair("Ġ t") == pair(["Ġ", "t"]) == ("Ġ", "t")


def test_an_added_token_goes_by_the_models_id(tokenizer: dict[str, Any]) -> None:
    entry = {**tokenizer["added_tokens"][0], "content": "a", "id": 9999}
    bpe = byte_bpe({**tokenizer, "added_tokens": [entry]})
    assert bpe.added[bpe.ids["a"]].text == "a"
    assert 9999 not in bpe.texts


def changed(tokenizer: dict[str, Any], **model: Any) -> dict[str, Any]:
    return {**tokenizer, "model": {**tokenizer["model"], **model}}


@pytest.mark.parametrize(("change", "why"), [
    ({"type": "Unigram"}, "Unigram"), ({"byte_fallback": True}, "SentencePiece"),
    ({"end_of_word_suffix": "</w>"}, "where words"), ({"dropout": 0.1}, "at random"),
])  # fmt: skip
def test_other_kinds_are_refused(tokenizer: dict[str, Any], change: dict[str, Any], why: str) -> None:
    with pytest.raises(Unsupported, match="only a byte-level BPE") as caught:
        byte_bpe(changed(tokenizer, **change))
    assert why in caught.value.why


def test_a_bpe_of_characters_is_refused(tokenizer: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        byte_bpe({**tokenizer, "pre_tokenizer": {"type": "Whitespace"}})


def test_llama_2_is_refused(shared: Path) -> None:
    path = shared / "data/tokenizers/llama-2/tokenizer.json"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    with pytest.raises(Unsupported, match="byte-level"):
        byte_bpe(json.loads(path.read_bytes()))


@pytest.mark.parametrize(
    "change", [{"merges": [["a", "守"]]}, {"merges": ["a b c"]}, {"vocab": None}, {"merges": None}]
)
def test_damage_is_named(tokenizer: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(BadFile, match=r"tokenizer\.json"):
        byte_bpe(changed(tokenizer, **change))
    with pytest.raises(BadFile):
        byte_bpe({})
