"""A byte-level BPE as its `tokenizer.json` has it: tokens, merges, added tokens, and the bytes a token stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgelm.deploy.gguf_pre import stages
from edgelm.errors import BadFile, Unsupported

TOKENIZER = "tokenizer.json"
Json = dict[str, Any]


@dataclass(frozen=True)
class Added:
    """A token that is looked for in the text before anything else is done to it."""

    text: str
    special: bool  # a mark rather than text


@dataclass(frozen=True)
class ByteBpe:
    """Tokens by id. A token of the model is written in the byte alphabet, one character a byte.

    Attributes:
        ids: the id of each token of the model, by how it is written.
        merges: pairs of such tokens, the first to be merged first.
        added: the added tokens by id; some may be tokens of the model too.
    """

    ids: Mapping[str, int]
    merges: Sequence[tuple[str, str]]
    added: Mapping[int, Added]

    @cached_property
    def texts(self) -> dict[int, str]:
        """How each token is written, by id: all of 𝒱 ∪ 𝒜. A row of the embedding that is not here has no token."""
        return {token: text for text, token in self.ids.items()} | {token: a.text for token, a in self.added.items()}

    @cached_property
    def byte_ids(self) -> frozenset[int]:
        """The tokens that are one byte each."""
        return frozenset(self.ids[character] for character in ALPHABET if character in self.ids)

    def spelled(self, token: int) -> bytes:
        """The bytes of the text that a token stands for."""
        text = self.texts[token]
        if token in self.added or not all(character in ALPHABET for character in text):
            return text.encode()
        return bytes(ALPHABET[character] for character in text)


def _alphabet() -> dict[str, int]:
    """The byte of each character of the byte alphabet: printable Latin-1 is itself, the rest follows from U+0100."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(rest)}


ALPHABET = _alphabet()
LETTERS = {byte: character for character, byte in ALPHABET.items()}


def byte_bpe(tokenizer: Mapping[str, Any]) -> ByteBpe:
    """Read a parsed `tokenizer.json`.

    Raises:
        Unsupported: the tokenizer is no byte-level BPE.
        BadFile: it is malformed.
    """
    try:
        _require_byte_level(tokenizer)
        model = tokenizer["model"]
        ids = {str(text): int(token) for text, token in model["vocab"].items()}
        # An added token that the model has too goes by the model's id, whatever is written beside it.
        added = {ids.get(entry["content"], entry["id"]): Added(entry["content"], bool(entry["special"]))
                 for entry in tokenizer.get("added_tokens") or ()}  # fmt: skip
        merges = [pair(merge) for merge in model["merges"]]
        if not all(token in ids for left, right in merges for token in (left, right, left + right)):
            raise ValueError("a merge of what are no tokens")
        return ByteBpe(ids, merges, added)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        mend = "save the tokenizer again"
        raise BadFile(f"{TOKENIZER} is no sound BPE tokenizer", why=repr(error), mend=mend) from None


def pair(merge: str | Sequence[str]) -> tuple[str, str]:
    """The two tokens of a merge, which older files write as one text with a space between them."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _require_byte_level(tokenizer: Mapping[str, Any]) -> None:
    model = tokenizer["model"]
    kind = model.get("type", "BPE")
    why = ""
    if kind != "BPE":
        why = f"this one is {kind}"
    elif model.get("byte_fallback"):
        why = "this one is a SentencePiece BPE, whose bytes are tokens apart from its characters"
    elif not any(stage["type"] == "ByteLevel" for stage in stages(tokenizer.get("pre_tokenizer"))):
        why = "this one is a BPE of characters"
    elif model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        why = "this one marks where words begin or end"
    elif model.get("dropout"):
        why = "this one leaves merges out at random"
    if why:
        raise Unsupported("only a byte-level BPE, as Llama-3, Qwen2 and Phi have one, can lose tokens", why=why,
                          mend="leave the step vocab out")  # fmt: skip
