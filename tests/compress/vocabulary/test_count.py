from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from edgelm.compress.vocabulary.count import count_tokens
from edgelm.errors import BadFile


def test_counts_are_those_of_the_library(tokenizer: dict[str, Any], loaded: Any, strange: list[str]) -> None:
    core = loaded(tokenizer)
    expected = Counter(token for text in strange for token in core.encode(text, add_special_tokens=False).ids)
    cut = {**tokenizer, "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}}
    told: list[int] = []
    many = [text for _ in range(200) for text in strange]
    found = count_tokens(json.dumps(cut).encode(), iter(many), told.append)
    assert found == Counter({token: 200 * count for token, count in expected.items()})
    assert told[-1] == len(many)
    assert found[core.token_to_id("<|im_end|>")] == 200
    assert not found[core.token_to_id("<|bos|>")]


def test_no_documents_no_counts(tokenizer: dict[str, Any]) -> None:
    assert not count_tokens(json.dumps(tokenizer).encode(), [])
    with pytest.raises(BadFile):
        count_tokens(b"{}", [])
