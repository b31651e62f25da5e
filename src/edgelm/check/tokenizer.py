"""Tokenizer checks from its JSON files alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model
from edgelm.check.vocabulary import TOKENIZER
from edgelm.checkpoint import CARD, read_config
from edgelm.errors import BadFile


def token_ids(model: Model) -> dict[str, int]:
    """Every token of `tokenizer.json` with its id, added ones included; empty if there is no such file.

    Raises:
        BadFile: an id is no whole number.
    """
    path = model.find(TOKENIZER)
    if not path.is_file():
        return {}
    content = read_config(path)
    ids = dict(_entries(content))
    if not all(isinstance(token, str) and type(number) is int for token, number in ids.items()):
        raise BadFile(f"{path} has token ids that are no whole numbers", mend="save the tokenizer again")
    return ids


def _entries(content: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    vocab = content.get("model", {}).get("vocab", {})
    if isinstance(vocab, dict):
        yield from vocab.items()
    else:  # Unigram: pairs of token and score, by place
        yield from ((token, number) for number, (token, _) in enumerate(vocab))
    for token in content.get("added_tokens") or ():
        yield token["content"], token["id"]


def within(model: Model) -> Findings:
    """TOK-02: ids against the rows of the embedding."""
    rows = model.shape.vocab
    beyond = sorted((number, token) for token, number in token_ids(model).items() if not 0 <= number < rows)
    if beyond:
        names = some(f"{token!r} = {number}" for number, token in beyond)
        yield finding("TOK-02", model.at(TOKENIZER), f"the embedding has {rows:,} rows; beyond them: {names}")


def template(model: Model) -> Findings:
    """TOK-03: prompting by chat without a template."""
    if model.card.prompting == "chat" and not model.checkpoint.chat_template:
        yield finding("TOK-03", model.at(CARD), "the card declares chat, the tokenizer has no chat template")


def agreement(model: Model) -> Findings:
    """TOK-04: begin, end and pad ids of the config files, where they name them, side by side."""
    checkpoint, ids = model.checkpoint, token_ids(model)
    for role in ("bos", "eos", "pad"):
        token = checkpoint.tokenizer_config.get(f"{role}_token")
        token = token.get("content") if isinstance(token, dict) else token
        named = {
            "config.json": checkpoint.config.get(f"{role}_token_id"),
            "generation_config.json": checkpoint.generation_config.get(f"{role}_token_id"),
            "tokenizer_config.json": ids.get(token) if isinstance(token, str) else None,
        }
        sets = [set(value) if isinstance(value, list) else {value} for value in named.values() if value is not None]
        if sets and not set.intersection(*sets):
            values = ", ".join(f"{file} {value}" for file, value in named.items() if value is not None)
            yield finding("TOK-04", model.at("checkpoint"), f"{role}: {values}")


def origin(model: Model) -> Findings:
    """TOK-06: whether a model from scratch took its tokenizer from elsewhere, as its card says."""
    for step in model.card.steps:
        if model.card.derivation == "from-scratch" and step.get("origin") == "foreign":
            digest = str(step.get("foreign_sha256", ""))[:12]
            yield finding("TOK-06", model.at(CARD), f"the tokenizer was taken from elsewhere (sha256 {digest}…)")


MODEL_CHECKS = (
    Check("TOK-02", within),
    Check("PKG-04", template),
    Check("TOK-02", agreement),
    Check("PKG-04", origin),
)
