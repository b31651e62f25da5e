"""Qwen-7B's tokenizer, which is a list of ranks and code of its own, in the form that every stock reader knows."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from edgelm.compress.vocabulary.byte_bpe import ALPHABET
from edgelm.errors import BadFile
from edgelm.files import read_bytes

RANKS = "qwen.tiktoken"  # on each line a token's bytes in base64, and its rank, which is its id
END, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (END, IM_START, IM_END, *(f"<|extra_{n}|>" for n in range(205)))  # their ids follow the ranks, in this order
# How text is cut before tokens are merged: contractions, words, single digits, signs, line ends, other white space.
_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# What the chat model was trained to be asked in, with the system's words that its own code puts in.
_CHAT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Json = dict[str, Any]


def tokenizer_json(path: Path) -> Json:
    """The contents of a `tokenizer.json` that encodes as the ranks of this file do.

    Raises:
        BadFile: it is no list of ranks.
    """
    ranks = _ranks(path)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    split = {"type": "Split", "pattern": {"Regex": _CUT}, "behavior": "Isolated", "invert": False}
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": len(ranks) + n, "content": text, **plain} for n, text in enumerate(SPECIALS)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, letters]},
        "post_processor": None,
        "decoder": letters,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": ranks, "merges": _merges(ranks),
        },
    }  # fmt: skip


def settings(context: int, *, chat: bool) -> Json:
    """The contents of its `tokenizer_config.json`.

    Args:
        context: tokens that the model was made for.
        chat: whether it was made to be talked to.
    """
    made = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context, "bos_token": None,
        "eos_token": IM_END if chat else END, "pad_token": END, "unk_token": None,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    return made | {"chat_template": _CHAT} if chat else made


def _ranks(path: Path) -> dict[str, int]:
    """The rank of each token, written in the byte alphabet, by rank."""
    letters = {byte: character for character, byte in ALPHABET.items()}
    lines = [line.split() for line in read_bytes(path).splitlines() if line]
    try:
        ranks = {"".join(letters[byte] for byte in base64.b64decode(text, validate=True)): int(rank)
                 for text, rank in lines}  # fmt: skip
    except (ValueError, binascii.Error) as error:
        raise BadFile(f"{path} is no list of ranks", why=str(error), mend="copy it from the base") from None
    if list(ranks.values()) != list(range(len(lines))) or not ranks.keys() >= ALPHABET.keys():
        raise BadFile(f"{path} is no list of ranks", why="they do not count from 0, or a byte has none",
                      mend="copy it from the base")  # fmt: skip
    return ranks


def _merges(ranks: dict[str, int]) -> list[list[str]]:
    """All pairs of tokens that make a token, that of the lowest rank first, which is merged first."""
    found = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            first, second = token[:cut], token[cut:]
            if first in ranks and second in ranks:
                found.append((rank, ranks[first], ranks[second], first, second))
    return [[first, second] for *_, first, second in sorted(found)]


def as_bytes(value: Json) -> bytes:
    """A file's contents; tokens as they are, without a space more than needed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
