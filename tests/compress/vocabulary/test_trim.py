from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.trim import tokenizer_files, trim
from edgelm.errors import BadFile, MissingInput
from edgelm.files import canonical_json, sha256_bytes

CONFIG = {"vocab_size": 832, "model_type": "qwen2", "eos_token_id": 5}


def test_the_card_says_what_was_done(contents: dict[str, bytes]) -> None:
    found = trim(contents, CONFIG, Counter({5: 90, 799: 10}), Vocab(keep=320))
    old_ids = found.selection.old_ids
    assert found.record == {
        "tokenizer_sha256": sha256_bytes(contents["tokenizer.json"]), "entries": found.selection.entries,
        "kept": 320, "old_ids_sha256": sha256_bytes(canonical_json(list(old_ids))), "specials": "all",
        "counted": 100, "survived": 100,
        "warnings": ["vocab: generation_config.json names 820 as pad_token_id, which is no token; it is left out"],
    }  # fmt: skip
    assert found.config(CONFIG) == {
        "vocab_size": 320,
        "model_type": "qwen2",
        "eos_token_id": found.selection.new_ids[5],
    }
    assert json.loads(canonical_json(found.record)) == found.record


def test_loss_of_tokens_that_text_has_is_said(contents: dict[str, bytes]) -> None:
    counts = Counter(dict.fromkeys(range(256), 2) | dict.fromkeys(range(256, 800), 1))
    found = trim(contents, CONFIG, counts, Vocab(keep=320))
    assert found.record["survived"] < found.record["counted"] == 1056
    assert any("of the text's tokens go" in warning for warning in found.record["warnings"])


def test_rows_without_a_token_are_not_kept(contents: dict[str, bytes]) -> None:
    found = trim(contents, {**CONFIG, "vocab_size": 10_000}, {}, Vocab(keep=0.9))
    assert max(found.selection.old_ids) < found.selection.entries
    assert found.config({"vocab_size": 10_000, "bos_token_id": 9_999})["bos_token_id"] is None


def test_what_is_not_there_or_damaged_is_named(contents: dict[str, bytes]) -> None:
    with pytest.raises(BadFile, match="a token 80") as caught:
        trim(contents, {**CONFIG, "vocab_size": 320}, {}, Vocab(keep=0.5))
    assert "320 rows" in caught.value.why
    with pytest.raises(MissingInput, match=r"tokenizer\.json"):
        trim({}, CONFIG, {}, Vocab(keep=0.5))
    with pytest.raises(BadFile, match=r"vocab\.json holds no JSON object"):
        trim({**contents, "vocab.json": b"[]"}, CONFIG, {}, Vocab(keep=0.5))
    for name, content in (("tokenizer_config.json", b'{"added_tokens_decoder": {"x": 1}}'),
                          ("generation_config.json", b'{"sequence_bias": [1]}')):  # fmt: skip
        with pytest.raises(BadFile, match="not those of one tokenizer"):
            trim({**contents, name: content}, CONFIG, {}, Vocab(keep=0.5))


def test_files_are_found_by_name(tmp_path: Path, contents: dict[str, Any]) -> None:
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").touch()
    assert tokenizer_files(tmp_path) == contents
