"""Tokenizers to leave tokens out of: tiny ones of each kind, trained here, and real ones where the data is there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from edgelm.compress.vocabulary.byte_bpe import ALPHABET

Json = dict[str, Any]
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>", "<|spare_0|>", "<|spare_1|>")
TEXT = [
    "The quick brown fox jumps over the lazy dog; 1234567890 times, they say, and the other others thought otherwise.",
    "Let's think step by step: there are 12 + 34 = 46 apples in the basket, and then another 100.",
    "守株待兔的故事告诉我们，不能指望不劳而获。宋国有个农夫，他的田里有一个树桩。",
    "สวัสดีครับ วันนี้อากาศดีมาก  — naïve café, jalapeño; Größe über alles 🙂🙂🎉",
    "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. Все смешалось в доме.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม และควรปฏิบัติต่อกัน",
    "def square(x):\n    return x * x\n\n\nfor n in range(10):\n        print(square(n))\n",
] * 3
STRANGE = [
    *TEXT[:7],
    "",
    " ",
    "\n\n \t",
    "こんにちは 안녕 Здравствуйте",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "<|im_start|>user\nhi<|im_end|>",
    "\x00\x7f\ufffd",
]


def built_in_text() -> str:
    return (resources.files("edgelm.compress") / "calibration.txt").read_text(encoding="utf-8")


def tiny(kind: str) -> Json:
    """A `tokenizer.json` of the kind that Qwen2, Llama-3 or Phi-2 has."""
    core = Tokenizer(models.BPE())
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "phi")
    split = pre_tokenizers.Split(Regex(LLAMA if kind == "llama" else QWEN), behavior="isolated")
    core.pre_tokenizer = cut if kind == "phi" else pre_tokenizers.Sequence([split, cut])
    core.decoder = decoders.ByteLevel()
    if kind == "qwen":
        core.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=800, show_progress=False, initial_alphabet=list(ALPHABET))
    core.train_from_iterator([*TEXT, built_in_text()], trainer)
    core.add_special_tokens(list(SPECIALS))
    if kind == "phi":
        core.add_tokens([AddedToken(" " * n, normalized=True) for n in (8, 4)])
    if kind == "llama":
        bos = ("<|bos|>", core.token_to_id("<|bos|>"))
        core.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[bos]),
        ])  # fmt: skip
    made = json.loads(core.to_str())
    made["model"]["ignore_merges"] = kind == "llama"
    return made


@pytest.fixture(scope="session", params=["qwen", "llama", "phi"])
def tokenizer(request: pytest.FixtureRequest) -> Json:
    return tiny(request.param)


@pytest.fixture(scope="session")
def loaded() -> Callable[[Json], Tokenizer]:
    """A parsed `tokenizer.json`, ready to encode, uncut."""

    def load(tokenizer: Json) -> Tokenizer:
        core = Tokenizer.from_str(json.dumps(tokenizer))
        core.no_truncation()
        return core

    return load


def of_ranks(path: Path, specials: list[str], pattern: str, **model: Any) -> Json:
    """A `tokenizer.json` of a file of tiktoken ranks, with the merges that transformers' converter makes of them."""
    letters = {byte: character for character, byte in ALPHABET.items()}
    lines = [line.split() for line in path.read_bytes().splitlines()]
    ranks = {"".join(letters[byte] for byte in base64.b64decode(text)): int(rank) for text, rank in lines}
    merges = []
    for token, rank in ranks.items():
        cuts = ((token[:at], token[at:]) for at in range(1, len(token)))
        merges += [(rank, ranks[a], ranks[b], a, b) for a, b in cuts if a in ranks and b in ranks]
    core = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.pre_tokenizer = pre_tokenizers.Sequence([split, cut])
    core.decoder = decoders.ByteLevel()
    made = json.loads(core.to_str())
    made["model"] |= {"vocab": ranks, "merges": [[a, b] for *_, a, b in sorted(merges)], **model}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    made["added_tokens"] = [{"id": len(ranks) + n, "content": text, **flags} for n, text in enumerate(specials)]
    return made


@pytest.fixture(scope="session", params=["llama-3", "qwen2", "phi-2"])
def real(request: pytest.FixtureRequest, shared: Path) -> tuple[str, Json]:
    """A real tokenizer and its name."""
    folder = shared / "data/tokenizers"
    if not folder.is_dir():
        pytest.skip(f"there are no tokenizers in {folder}")
    if request.param == "llama-3":
        path = folder / "llama-3/tokenizer_llama3.tiktoken"
        marks = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{n}|>" for n in range(254))]
        return request.param, of_ranks(path, marks, LLAMA, ignore_merges=True)
    if request.param == "qwen2":
        made = of_ranks(folder / "qwen-7b/qwen.tiktoken", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], QWEN)
        return request.param, {**made, "normalizer": {"type": "NFC"}}
    return request.param, json.loads((folder / "phi-2/tokenizer.json").read_bytes())


@pytest.fixture(scope="session")
def strange() -> list[str]:
    """Text that the tiny tokenizers were trained on, and text that they have never seen."""
    return STRANGE


@pytest.fixture
def files(tokenizer: Json) -> dict[str, Json]:
    """What lies beside a tokenizer, parsed, in all the forms that ids are named in; entries as old as Phi-2's too."""
    added = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    decoder = {str(e["id"]): {k: v for k, v in e.items() if k != "id"} for e in tokenizer["added_tokens"]}
    return {
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "added_tokens_decoder": decoder,
            "additional_special_tokens": ["<|im_start|>", "<|spare_0|>"],
            "add_bos_token": True, "bos_token": "<|bos|>", "eos_token": {"content": "<|eos|>", "special": True},
            "pad_token": None, "model_max_length": 2048, "clean_up_tokenization_spaces": False,
            "chat_template": "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
        },
        "special_tokens_map.json": {"eos_token": "<|eos|>", "unk_token": "[UNK]"},
        "added_tokens.json": added,
        "vocab.json": tokenizer["model"]["vocab"],
        "generation_config.json": {
            "eos_token_id": [added["<|eos|>"], added["<|im_end|>"]], "temperature": 0.6,
            "bad_words_ids": [[added["<|spare_1|>"], 70]], "pad_token_id": 820,
        },
    }  # fmt: skip


@pytest.fixture
def contents(files: dict[str, Json]) -> dict[str, bytes]:
    """The same as bytes, with `merges.txt` and a template in a file of its own."""
    merges = "".join(" ".join(merge) + "\n" for merge in files["tokenizer.json"]["model"]["merges"])
    made = {name: json.dumps(value, ensure_ascii=False).encode() for name, value in files.items()}
    return made | {"merges.txt": f"#version: 0.2\n{merges}".encode(), "chat_template.jinja": b"{{ '<|spare_1|>' }}"}
