from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.byte_bpe import byte_bpe
from edgelm.compress.vocabulary.closure import Closure
from edgelm.compress.vocabulary.keep import select, wanted_rows
from edgelm.errors import BadOption


@pytest.fixture
def counts(tokenizer: dict[str, Any], loaded: Any, strange: list[str]) -> Counter[int]:
    core = loaded(tokenizer)
    return Counter(token for text in strange for token in core.encode(text, add_special_tokens=False).ids)


def closed(tokenizer: dict[str, Any], kept: tuple[int, ...]) -> bool:
    closure = Closure(byte_bpe(tokenizer))
    return all(set(closure.parts(token)) <= set(kept) for token in kept)


@pytest.mark.parametrize("policy", [
    Vocab(keep=0.7), Vocab(keep=512), Vocab(keep=0.7, specials="used"), Vocab(langs=("en",)), Vocab(langs=("en", "zh")),
    Vocab(min_count=2), Vocab(min_count=3, specials="used"),
], ids=str)  # fmt: skip
def test_what_is_chosen_is_closed_real_and_in_order(
    tokenizer: dict[str, Any], counts: Counter[int], policy: Vocab
) -> None:
    bpe = byte_bpe(tokenizer)
    found = select(tokenizer, counts, policy)
    old_ids = found.old_ids
    assert len(old_ids) % 64 == 0
    assert set(old_ids) <= bpe.texts.keys()
    assert bpe.byte_ids <= set(old_ids)
    assert closed(tokenizer, old_ids)
    ordinary = [token for token in old_ids if token not in bpe.added]
    added = [token for token in old_ids if token in bpe.added]
    assert list(old_ids) == sorted(ordinary) + sorted(added)
    assert found.new_ids == {old: new for new, old in enumerate(old_ids)}
    assert (policy.specials == "used") or added == sorted(bpe.added)
    assert found.survived == sum(counts[token] for token in old_ids) <= found.counted == sum(counts.values())
    assert select(tokenizer, dict(reversed(counts.items())), policy) == found  # the order of counting does not matter


def test_keep_takes_the_most_frequent_and_gives_the_number_asked_for(
    tokenizer: dict[str, Any], counts: Counter[int]
) -> None:
    entries = len(byte_bpe(tokenizer).texts)
    for keep in (0.55, 0.7, 0.9, 500, 576):
        found = select(tokenizer, counts, Vocab(keep=keep))
        assert len(found.old_ids) == wanted_rows(keep, entries)
        assert not found.warnings
        left = max(counts[token] for token in byte_bpe(tokenizer).texts.keys() - set(found.old_ids))
        closure = Closure(byte_bpe(tokenizer))
        for token in set(byte_bpe(tokenizer).texts) - set(found.old_ids):
            if counts[token] == left and counts[token] > 1:  # it did not fit with what it is merged from, or is a tie
                assert len(closure.missing(token, set(found.old_ids))) >= 1
    assert select(tokenizer, counts, Vocab(keep=0.7)).survived >= select(tokenizer, {}, Vocab(keep=0.7)).survived


def test_the_number_follows_from_the_tokenizer_alone(tokenizer: dict[str, Any], counts: Counter[int]) -> None:
    for policy in (Vocab(keep=0.6), Vocab(langs=("en",)), Vocab(langs=("en", "zh"))):
        assert len(select(tokenizer, {}, policy).old_ids) == len(select(tokenizer, counts, policy).old_ids)


def test_langs_keeps_every_token_of_the_scripts_and_pieces(tokenizer: dict[str, Any]) -> None:
    bpe = byte_bpe(tokenizer)
    kept = {bpe.texts[token] for token in select(tokenizer, {}, Vocab(langs=("en",))).old_ids}
    for text, token in bpe.ids.items():
        spelled = bpe.spelled(token)
        if spelled.isascii() or "�" in spelled.decode(errors="replace"):
            assert text in kept


def test_min_count_keeps_what_is_frequent(tokenizer: dict[str, Any], counts: Counter[int]) -> None:
    kept = set(select(tokenizer, counts, Vocab(min_count=3)).old_ids)
    assert {token for token, count in counts.items() if count >= 3} <= kept


def test_unused_specials_go_and_used_stay(tokenizer: dict[str, Any], counts: Counter[int]) -> None:
    ids = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    found = select(tokenizer, counts, Vocab(keep=0.8, specials="used"), named={ids["<|bos|>"]})
    stay = {text for text, token in ids.items() if token in found.old_ids and text.strip()}
    assert stay == {"<|bos|>", "<|im_start|>", "<|im_end|>"}  # named; in the text that was counted
    everything = select(tokenizer, counts, Vocab(keep=0.8), named={ids["<|bos|>"]})
    assert ids.keys() == {text for text, token in ids.items() if token in everything.old_ids}


def test_named_tokens_stay_however_rare(tokenizer: dict[str, Any]) -> None:
    last = max(byte_bpe(tokenizer).ids.values())
    assert last in select(tokenizer, {}, Vocab(keep=320), named={last, 10**6}).old_ids


def test_sizes() -> None:
    assert [wanted_rows(keep, 6400) for keep in (0.55, 0.5, 1.0, 100, 64)] == [3520, 3200, 6400, 128, 64]
    assert wanted_rows(0.6, 128_256) == 76_992


def test_sizes_to_avoid_and_sizes_that_cannot_be(tokenizer: dict[str, Any]) -> None:
    entries = len(byte_bpe(tokenizer).texts)  # 806 or 808
    assert 768 < entries < 832
    assert len(select(tokenizer, {}, Vocab(keep=512), avoid=(512,)).old_ids) == 576
    assert len(select(tokenizer, {}, Vocab(keep=768), avoid=(768,)).old_ids) == 704
    most = select(tokenizer, {}, Vocab(keep=0.999))
    assert len(most.old_ids) == 768
    assert "768 tokens stay where 832" in most.warnings[0]
    least = select(tokenizer, {}, Vocab(keep=64))
    assert len(least.old_ids) == 320
    assert "320 tokens stay where 64" in least.warnings[0]
    policy: Any = SimpleNamespace(keep=None, langs=(), min_count=0, specials="all")  # everything is met so often
    with pytest.raises(BadOption, match="no multiple of 64"):
        select(tokenizer, {}, policy)
