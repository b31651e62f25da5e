from __future__ import annotations

from typing import Any

from edgelm.compress.vocabulary.byte_bpe import byte_bpe
from edgelm.compress.vocabulary.named import named_tokens


def named(files: dict[str, Any], config: dict[str, Any], specials: Any) -> set[str]:
    bpe = byte_bpe(files["tokenizer.json"])
    return {bpe.texts[token] for token in named_tokens(bpe, files, config, specials)}


def test_used_are_those_that_something_needs(files: dict[str, Any]) -> None:
    letter = files["tokenizer.json"]["model"]["vocab"]["q"]
    bad = next(text for text, token in files["vocab.json"].items() if token == 70)
    needed = {"<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>", "<|spare_1|>", bad, "q"}
    assert named(files, {"bos_token_id": letter, "pad_token_id": 10**6}, "used") == needed
    del files["generation_config.json"], files["special_tokens_map.json"]
    files["tokenizer_config.json"]["chat_template"] = [{"name": "default", "template": "{{ '<|spare_0|>' }}"}]
    assert named(files, {}, "used") == {"<|bos|>", "<|eos|>", "<|spare_0|>"}
    files["chat_template.jinja"] = "{{ '<|spare_1|>' }}"
    assert "<|spare_1|>" in named(files, {}, "used")


def test_all_are_those_that_are_listed(files: dict[str, Any]) -> None:
    added = {entry["content"] for entry in files["tokenizer.json"]["added_tokens"]}
    assert added <= named(files, {}, "all")
    files["tokenizer_config.json"]["extra_special_tokens"] = {"mark": {"content": "Ġother"}}
    assert "Ġother" in named(files, {}, "all")


def test_what_encoding_puts_in_is_named(tokenizer: dict[str, Any]) -> None:
    ids = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    roberta = {"type": "RobertaProcessing", "sep": ["<|eos|>", ids["<|eos|>"]], "cls": ["<|bos|>", ids["<|bos|>"]]}
    padding = {"pad_token": "<|spare_1|>", "pad_id": ids["<|spare_1|>"]}
    changed = {**tokenizer, "post_processor": {"type": "Sequence", "processors": [roberta]}, "padding": padding}
    changed["model"] = {**tokenizer["model"], "unk_token": "<|im_end|>"}
    found = named({"tokenizer.json": changed}, {}, "used")
    assert found == {"<|eos|>", "<|bos|>", "<|spare_1|>", "<|im_end|>"}
