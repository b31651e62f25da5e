from __future__ import annotations

from edgelm.compress.vocabulary.ids import ids_in, renumbered

NEW = {5: 0, 6: 1, 7: 2}
CONFIG = {
    "bos_token_id": 5, "eos_token_id": [6, 9, 7], "pad_token_id": -1, "sep_token_id": None, "forced_eos_token_id": 9,
    "suppress_tokens": [7, 9], "bad_words_ids": [[5, 6], [5, 9], [7]], "force_words_ids": [[[5], [9]], [6]],
    "stop_words_ids": [[6]], "sequence_bias": [[[5, 7], 9], [[9], 5]],
    "vocab_size": 5, "max_length": 5, "use_cache": True,
}  # fmt: skip


def test_every_id_gets_its_new_number() -> None:
    assert renumbered(CONFIG, NEW) == {
        "bos_token_id": 0, "eos_token_id": [1, 2], "pad_token_id": -1, "sep_token_id": None,
        "forced_eos_token_id": None,
        "suppress_tokens": [2], "bad_words_ids": [[0, 1], [2]], "force_words_ids": [[[0]], [1]],
        "stop_words_ids": [[1]], "sequence_bias": [[[0, 2], 9]], "vocab_size": 5, "max_length": 5, "use_cache": True,
    }  # fmt: skip
    assert list(renumbered(CONFIG, NEW)) == list(CONFIG)


def test_ids_are_found_by_key() -> None:
    assert ids_in(CONFIG) == {
        "bos_token_id": {5}, "eos_token_id": {6, 7, 9}, "forced_eos_token_id": {9}, "suppress_tokens": {7, 9},
        "bad_words_ids": {5, 6, 7, 9}, "force_words_ids": {5, 6, 9}, "stop_words_ids": {6}, "sequence_bias": {5, 7, 9},
    }  # fmt: skip
    assert ids_in({}) == {}
