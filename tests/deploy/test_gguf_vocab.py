"""Tokenizers as llama.cpp's fields. The SentencePiece scores are checked by cutting text as llama.cpp does."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from gguf import TokenType
from tokenizers import Tokenizer

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.gguf_vocab import UNUSED_SCORE, Vocabulary, read_vocabulary
from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported


def change(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def tokenizer_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))


def test_byte_level_bpe(make_checkpoint: Any) -> None:
    folder = make_checkpoint("qwen2")
    found = read_vocabulary(Checkpoint(folder))
    stored = tokenizer_of(folder)
    assert (found.kind, found.pre, found.scores) == ("gpt2", "qwen2", [])
    assert found.merges == [" ".join(merge) for merge in stored["model"]["merges"]]
    assert {token: row for row, token in enumerate(found.tokens)} == stored["model"]["vocab"]
    assert found.types[:6] == [TokenType.CONTROL] * 5 + [TokenType.NORMAL]
    assert found.special == {"bos": 0, "eos": 1, "pad": 2}
    assert (found.add_bos, found.add_eos, found.add_space_prefix) == (False, False, False)
    assert found.chat_template == Checkpoint(folder).chat_template
    assert "<|im_start|>" in (found.chat_template or "")


def test_rows_beyond_the_tokenizer_get_unused_tokens(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama")
    size = Checkpoint(folder).shape.vocab
    change(folder, "config.json", vocab_size=size + 3)
    found = read_vocabulary(Checkpoint(folder))
    assert found.tokens[size:] == [f"[PAD{size + extra}]" for extra in range(3)]
    assert found.types[size - 1 :] == [TokenType.NORMAL] + [TokenType.UNUSED] * 3


def test_a_tokenizer_larger_than_the_embedding_is_refused(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama")
    change(folder, "config.json", vocab_size=300)
    with pytest.raises(BadFile, match="has a token 319"):
        read_vocabulary(Checkpoint(folder))


def test_added_tokens_are_looked_for_as_written(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama")
    added = [*tokenizer_of(folder)["added_tokens"], {"id": 320, "content": "  ", "special": False}]
    change(folder, "tokenizer.json", added_tokens=added)
    change(folder, "config.json", vocab_size=321)
    found = read_vocabulary(Checkpoint(folder))
    assert (found.tokens[320], found.types[320]) == ("  ", TokenType.USER_DEFINED)


def test_a_pre_tokenizer_can_be_named(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama")
    change(folder, "tokenizer.json", pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True})
    with pytest.raises(Unsupported, match="pre-tokenizer"):
        read_vocabulary(Checkpoint(folder))
    assert read_vocabulary(Checkpoint(folder), "falcon").pre == "falcon"


@pytest.mark.parametrize(
    ("change_to", "error", "message"),
    [
        ({"model": {"type": "WordPiece", "vocab": {}}}, Unsupported, "neither"),
        ({"pre_tokenizer": None}, Unsupported, "neither"),
        ({"model": {"type": "BPE", "vocab": {}}}, BadFile, "no sound BPE"),
        ({"model": {"type": "BPE", "vocab": {"a": "b"}, "merges": []}}, BadFile, "no sound BPE"),
        ({"model": None}, BadFile, "no sound BPE"),
        ({"added_tokens": [{"id": 9, "content": "<|eos|>", "special": True}]}, BadFile, "2 times"),
    ],
)
def test_other_and_damaged_tokenizers(
    make_checkpoint: Any, change_to: dict[str, Any], error: type[Exception], message: str
) -> None:
    folder = make_checkpoint("llama")
    change(folder, "tokenizer.json", **change_to)
    with pytest.raises(error, match=message):
        read_vocabulary(Checkpoint(folder))


def test_a_missing_tokenizer(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(MissingInput):
        read_vocabulary(Checkpoint(folder))


def sentencepiece(folder: Path, merges: list[list[str]], **changes: Any) -> Path:
    """Turn the folder's tokenizer into a BPE with byte fallback over the letters a to d."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcd"]
    pieces += dict.fromkeys("".join(merge) for merge in merges)
    special = [{"id": row, "content": pieces[row], "special": True, "normalized": False} for row in range(3)]
    prepend = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]}  # fmt: skip
    tokenizer = {
        "model": {"type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>", "merges": merges,
                  "vocab": {piece: row for row, piece in enumerate(pieces)}},
        "added_tokens": special, "normalizer": prepend, "pre_tokenizer": None, "post_processor": None, "decoder": None,
    } | changes  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    change(folder, "config.json", vocab_size=len(pieces) + 1)
    change(folder, "tokenizer_config.json", bos_token="<s>", eos_token="</s>", pad_token=None, unk_token="<unk>")
    return folder


def test_sentencepiece_bpe(make_checkpoint: Any) -> None:
    folder = sentencepiece(make_checkpoint("llama"), [["a", "b"], ["▁", "ab"], ["c", "d"], ["▁", "c"], ["▁c", "d"],
                                                      ["▁", "cd"]])  # fmt: skip
    found = read_vocabulary(Checkpoint(folder))
    assert (found.kind, found.pre, found.merges) == ("llama", "default", [])
    assert found.add_space_prefix is True
    assert found.types[:4] == [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.BYTE]
    score = dict(zip(found.tokens, found.scores, strict=True))
    assert [score[token] for token in ("ab", "▁ab", "cd", "▁c", "▁cd")] == [0, -1, -2, -3, -4]
    assert found.scores[-1] == UNUSED_SCORE
    with pytest.raises(BadOption, match="pre=qwen2"):
        read_vocabulary(Checkpoint(folder), "qwen2")


def test_a_tokenizer_that_llama_cpp_would_cut_by_differently_is_refused(make_checkpoint: Any) -> None:
    folder = sentencepiece(make_checkpoint("llama"), [["a", "b"], ["b", "c"], ["ab", "c"]])  # a + bc is no merge
    with pytest.raises(Unsupported) as caught:
        read_vocabulary(Checkpoint(folder))
    assert "'a' and 'bc'" in caught.value.why


@pytest.mark.parametrize(
    ("pre_tokenizer", "expected"),
    [({"type": "Metaspace", "prepend_scheme": "first"}, True), ({"type": "Metaspace"}, True),
     ({"type": "Metaspace", "prepend_scheme": "never"}, False), (None, False)],
)  # fmt: skip
def test_a_space_in_front(make_checkpoint: Any, pre_tokenizer: dict[str, Any] | None, expected: bool) -> None:
    folder = sentencepiece(make_checkpoint("llama"), [["a", "b"]], normalizer=None, pre_tokenizer=pre_tokenizer)
    assert read_vocabulary(Checkpoint(folder)).add_space_prefix is expected


def cut(text: str, vocabulary: Vocabulary) -> list[int]:
    """Token ids as llama.cpp's SentencePiece tokenizer finds them: join the neighbours of the best score, leftmost."""
    rows = {token: row for row, token in enumerate(vocabulary.tokens)}
    parts = list(("▁" if vocabulary.add_space_prefix else "") + text.replace(" ", "▁"))
    while True:
        joined = [rows.get(left + right) for left, right in itertools.pairwise(parts)]
        best = max(((vocabulary.scores[row], -at) for at, row in enumerate(joined) if row is not None), default=None)
        if best is None:
            break
        at = -best[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [
        row for part in parts
        for row in ([rows[part]] if part in rows else [rows[f"<0x{byte:02X}>"] for byte in part.encode()])
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["models/stories260K-hf", "tokenizers/llama-2"])
def test_published_tokenizers_cut_text_alike(shared: Path, make_checkpoint: Any, name: str) -> None:
    folder, source = make_checkpoint("llama"), shared / "data" / name
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    change(folder, "config.json", vocab_size=32_003)
    change(folder, "tokenizer_config.json", bos_token="<s>", eos_token="</s>", pad_token=None)
    found, oracle = read_vocabulary(Checkpoint(folder)), Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = (shared / "data" / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()[:20]
    for text in [*(json.loads(row)["question"] for row in rows), "守株待兔 — naïve 🙂", " two  spaces\n\ttabs "]:
        assert cut(text, found) == oracle.encode(text, add_special_tokens=False).ids
