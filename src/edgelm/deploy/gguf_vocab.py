"""A `tokenizer.json` as llama.cpp's tokenizer fields: byte-level BPE, or SentencePiece-like BPE with byte fallback."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gguf

from edgelm.checkpoint import Checkpoint, read_config
from edgelm.deploy.gguf_pre import pre_tokenizer, stages
from edgelm.deploy.gguf_special import adds, special_ids
from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported

BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"  # llama.cpp's names of the two kinds of tokenizer
SPACE = "▁"  # how a SentencePiece vocabulary writes a space
UNUSED_SCORE = -10000.0  # of a row without a token, as SentencePiece gives it


@dataclass(frozen=True)
class Vocabulary:
    """All that goes under `tokenizer.*`."""

    kind: str
    pre: str
    tokens: list[str]  # one for each row of the embedding
    types: list[gguf.TokenType]
    merges: list[str]  # of a byte-level BPE, else empty
    scores: list[float]  # of a SentencePiece BPE, else empty
    special: dict[str, int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    chat_template: str | None

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Write the keys."""
        writer.add_tokenizer_model(self.kind)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.kind == BYTE_LEVEL:
            writer.add_token_merges(self.merges)
        else:
            writer.add_token_scores(self.scores)
        for name, token in self.special.items():
            getattr(writer, f"add_{name}_token_id")(token)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        writer.add_add_space_prefix(self.add_space_prefix)
        if self.chat_template is not None:
            writer.add_chat_template(self.chat_template)


def read_vocabulary(checkpoint: Checkpoint, pre: str = "") -> Vocabulary:
    """The vocabulary of a checkpoint, one token for each row of its embedding; rows without a token get an unused one.

    Args:
        checkpoint: with a `tokenizer.json`.
        pre: llama.cpp's name of the pre-tokenizer, where it is not found from the pattern.

    Raises:
        MissingInput: there is no `tokenizer.json`, or nothing says which token ends a text.
        BadFile: the tokenizer does not fit the embedding, or is malformed.
        Unsupported: another kind of tokenizer, or one that llama.cpp would cut text by differently.
        BadOption: `pre` is given for a tokenizer that has no pre-tokenizer.
    """
    path = checkpoint.path / "tokenizer.json"
    if not path.is_file():
        raise MissingInput(f"{checkpoint.path} holds no tokenizer.json", mend="save the fast tokenizer into the folder")
    tokenizer = read_config(path)
    try:
        return _vocabulary(checkpoint, tokenizer, pre)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise BadFile(f"{path} is no sound BPE tokenizer", why=repr(error), mend="save the tokenizer again") from None


def _vocabulary(checkpoint: Checkpoint, tokenizer: Mapping[str, Any], pre: str) -> Vocabulary:
    kind = _kind(tokenizer)
    model = tokenizer["model"]
    tokens, types = _tokens(tokenizer, checkpoint.shape.vocab, kind)
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    special = special_ids(checkpoint, {token: row for row, token in enumerate(tokens)})
    add_bos, add_eos = adds(tokenizer)
    if kind == SENTENCEPIECE and pre:
        raise BadOption(f"pre={pre} does not apply: the tokenizer has no pre-tokenizer", mend="leave pre out")
    return Vocabulary(
        kind=kind,
        pre=pre or ("default" if kind == SENTENCEPIECE else pre_tokenizer(tokenizer, checkpoint.shape.family)),
        tokens=tokens,
        types=types,
        merges=[f"{left} {right}" for left, right in merges] if kind == BYTE_LEVEL else [],
        scores=_scores(tokens, types, [(left, right) for left, right in merges]) if kind == SENTENCEPIECE else [],
        special=special,
        add_bos=add_bos and "bos" in special,
        add_eos=add_eos,
        add_space_prefix=kind == SENTENCEPIECE and _puts_space_in_front(tokenizer),
        chat_template=checkpoint.chat_template,
    )


def _kind(tokenizer: Mapping[str, Any]) -> str:
    model = tokenizer["model"]
    if model.get("type", "BPE") == "BPE":
        if model.get("byte_fallback"):
            return SENTENCEPIECE
        if any(stage["type"] == "ByteLevel" for stage in stages(tokenizer.get("pre_tokenizer"))):
            return BYTE_LEVEL
    raise Unsupported("gguf: the tokenizer is neither a byte-level BPE nor a BPE with byte fallback",
                      why=f"its model is {model.get('type')}", mend="use a checkpoint with one of these")  # fmt: skip


def _tokens(tokenizer: Mapping[str, Any], rows: int, kind: str) -> tuple[list[str], list[gguf.TokenType]]:
    """The text and type of every row."""
    model, added = tokenizer["model"], tokenizer.get("added_tokens") or []
    largest = max([*model["vocab"].values(), *(entry["id"] for entry in added)], default=-1)
    if largest >= rows:
        raise BadFile(f"the tokenizer has a token {largest}", why=f"the embedding has only {rows} rows",
                      mend="make the embedding as large as the tokenizer")  # fmt: skip
    tokens = [f"[PAD{row}]" for row in range(rows)]
    types = [gguf.TokenType.UNUSED] * rows
    for token, row in model["vocab"].items():
        is_byte = kind == SENTENCEPIECE and re.fullmatch(r"<0x[0-9A-F]{2}>", token)
        tokens[row], types[row] = token, gguf.TokenType.BYTE if is_byte else gguf.TokenType.NORMAL
    for entry in added:
        row, token = entry["id"], entry["content"]
        if kind == SENTENCEPIECE and token == model.get("unk_token"):
            types[row] = gguf.TokenType.UNKNOWN
        elif entry["special"]:
            types[row] = gguf.TokenType.CONTROL
        else:
            types[row] = gguf.TokenType.USER_DEFINED
            if kind == SENTENCEPIECE:  # looked for in the text as it comes, before its spaces are rewritten
                token = token.replace(SPACE, " ")
        tokens[row] = token
    token, times = Counter(tokens).most_common(1)[0]
    if times > 1:
        raise BadFile(f"the tokenizer has the token {token!r} {times} times", mend="save the tokenizer again")
    return tokens, types


def _scores(tokens: list[str], types: list[gguf.TokenType], merges: list[tuple[str, str]]) -> list[float]:
    """A score for each token: minus the rank of the first merge that makes it.

    llama.cpp joins any two neighbours that form a token, best score first; BPE joins only pairs that are merges. Both
    come to the same if every way to split a token in two tokens is a merge, as in what SentencePiece trains.
    """
    rank: dict[str, int] = {}
    for index, (left, right) in enumerate(merges):
        rank.setdefault(left + right, index)
    known = {token for token, kind in zip(tokens, types, strict=True) if kind == gguf.TokenType.NORMAL}
    splits = {(token[:cut], token[cut:]) for token in known for cut in range(1, len(token))}
    for left, right in splits - set(merges):
        if left in known and right in known:
            raise Unsupported("gguf: llama.cpp would cut text differently from this tokenizer",
                              why=f"it would join {left!r} and {right!r}, which is no merge",
                              mend="use a checkpoint with a byte-level BPE")  # fmt: skip
    return [
        UNUSED_SCORE if kind == gguf.TokenType.UNUSED else -float(rank.get(token, 0))
        for token, kind in zip(tokens, types, strict=True)
    ]


def _puts_space_in_front(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a text is read as if it began with a space: a normalizer or a Metaspace pre-tokenizer says so."""
    return any(
        (stage["type"] == "Prepend" and stage["prepend"] == SPACE)
        or (stage["type"] == "Metaspace" and stage.get("prepend_scheme", "always") != "never")
        for part in ("normalizer", "pre_tokenizer")
        for stage in stages(tokenizer.get(part))
    )
