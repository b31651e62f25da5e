"""Pre-tokenizers are told apart by their pattern, not by a vocabulary's ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgelm.deploy.gguf_pre import pre_tokenizer, stages
from edgelm.errors import Unsupported

QWEN_2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_3 = QWEN_2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
BYTES_AND_PATTERN = BYTES | {"use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(pattern: str, **changes: Any) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False} | changes


def tokenizer(*parts: dict[str, Any], ignore_merges: bool = False) -> dict[str, Any]:
    pre = {"type": "Sequence", "pretokenizers": list(parts)} if len(parts) > 1 else parts[0]
    return {"pre_tokenizer": pre, "model": {"type": "BPE", "ignore_merges": ignore_merges}}


@pytest.mark.parametrize(
    ("given", "family", "name"),
    [
        (tokenizer(split(LLAMA_3), BYTES, ignore_merges=True), "llama", "llama-bpe"),
        (tokenizer(split(LLAMA_3), BYTES), "llama", "smaug-bpe"),
        (tokenizer(split(QWEN_2), BYTES), "qwen2", "qwen2"),
        (tokenizer(split(QWEN_2), BYTES), "llama", "qwen2"),
        (tokenizer(BYTES_AND_PATTERN), "llama", "gpt-2"),
        (tokenizer(BYTES_AND_PATTERN), "phi", "phi-2"),
        (tokenizer(DIGITS, BYTES_AND_PATTERN), "llama", "starcoder"),
    ],
)
def test_known_patterns(given: dict[str, Any], family: str, name: str) -> None:
    assert pre_tokenizer(given, family) == name


@pytest.mark.parametrize(
    "given",
    [
        tokenizer(split(LLAMA_3.replace("{1,3}", "{1,2}")), BYTES),
        tokenizer(split(QWEN_2), BYTES, ignore_merges=True),
        tokenizer(split(QWEN_2, behavior="Removed"), BYTES),
        tokenizer(split(QWEN_2, invert=True), BYTES),
        tokenizer(split(QWEN_2), BYTES_AND_PATTERN),
        tokenizer(BYTES_AND_PATTERN | {"add_prefix_space": True}),
        tokenizer({"type": "Whitespace"}, BYTES),
        tokenizer(BYTES),
    ],
)
def test_unknown_patterns_are_refused_and_can_be_named(given: dict[str, Any]) -> None:
    with pytest.raises(Unsupported) as caught:
        pre_tokenizer(given, "llama")
    assert "gguf:pre=NAME" in caught.value.mend


@pytest.mark.parametrize(("model", "family", "name"), [("phi-2", "phi", "phi-2"), ("gpt2", "llama", "gpt-2")])
def test_published_tokenizers(shared: Path, model: str, family: str, name: str) -> None:
    text = (shared / "data" / "tokenizers" / model / "tokenizer.json").read_text(encoding="utf-8")
    assert pre_tokenizer(json.loads(text), family) == name


def test_stages_take_nested_sequences_apart() -> None:
    inner = {"type": "Sequence", "processors": [BYTES, DIGITS]}
    assert list(stages({"type": "Sequence", "processors": [split("x"), inner]})) == [split("x"), BYTES, DIGITS]
    assert list(stages(None)) == []
