"""Whether a tokenizer can be loaded from the package alone: its files are there, and fit together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model
from edgelm.checkpoint import read_config

TOKENIZER = "checkpoint/tokenizer.json"
OTHERS = (("tokenizer.model",), ("vocab.json", "merges.txt"), ("qwen.tiktoken",), ("vocab.txt",))  # each loads as well
KINDS = ("BPE", "Unigram", "WordPiece", "WordLevel")
MOST_TOKENS = 2_000_000
LONGEST_PATTERN = 10_000  # characters of a regular expression
SHOWN = 3  # problems of one tokenizer


def loads(model: Model) -> Findings:
    """TOK-01: a `tokenizer.json` that is sound, or the files of another kind of tokenizer."""
    path = model.find(TOKENIZER)
    if path.is_file():
        for problem in islice(problems(read_config(path)), SHOWN):
            yield finding("TOK-01", model.at(TOKENIZER), problem)
        return
    for names in OTHERS:
        files = [model.find(f"checkpoint/{name}") for name in names]
        if all(file.is_file() and file.stat().st_size for file in files):
            return
    wanted = " or ".join(" + ".join(names) for names in (("tokenizer.json",), *OTHERS))
    yield finding("TOK-01", model.at("checkpoint"), f"there is no tokenizer: {wanted}")


def problems(content: dict[str, Any]) -> Iterator[str]:
    """What keeps a `tokenizer.json` from loading, or makes it contradict itself."""
    core = content.get("model")
    if not isinstance(core, dict) or core.get("type", "BPE") not in KINDS:
        kind = core.get("type") if isinstance(core, dict) else core
        yield f"its model is {str(kind)[:40]!r}, none of {', '.join(KINDS)}"
        return
    ids = vocabulary(core)
    if ids is None:
        yield "its vocabulary is no table of tokens"
        return
    if len(ids) > MOST_TOKENS:
        yield f"{len(ids):,} tokens, at most {MOST_TOKENS:,} are loaded"
        return
    by_id = {number: token for token, number in ids.items()}
    if len(by_id) < len(ids):
        yield f"{len(ids):,} tokens share {len(by_id):,} ids"
    yield from _merges(core, ids)
    yield from _unknown(core, ids)
    yield from _added(content.get("added_tokens") or [], ids, by_id)
    yield from (f"a regular expression of {length:,} characters" for length in _patterns(content))


def vocabulary(core: dict[str, Any]) -> dict[str, int] | None:
    """Token by id of the model's own vocabulary; None if it is of no known form."""
    vocab = core.get("vocab")
    if isinstance(vocab, list):  # Unigram: pairs of token and score, by place
        pairs = [entry for entry in vocab if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)]
        return {token: number for number, (token, _) in enumerate(pairs)} if len(pairs) == len(vocab) else None
    if isinstance(vocab, dict) and all(type(number) is int for number in vocab.values()):
        return vocab
    return None


def _merges(core: dict[str, Any], ids: dict[str, int]) -> Iterator[str]:
    """Merges whose parts or result are no tokens: the library refuses to load them."""
    merges = core.get("merges") or []
    if not isinstance(merges, list):
        yield "its merges are no list"
        return
    prefix = core.get("continuing_subword_prefix") or ""
    for number, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            yield f"merge {number:,} is no pair of tokens"
            return
        for token in (*parts, parts[0] + parts[1].removeprefix(prefix)):
            if token not in ids:
                yield f"merge {number:,} needs the token {token[:40]!r}, which the vocabulary lacks"
                return


def _unknown(core: dict[str, Any], ids: dict[str, int]) -> Iterator[str]:
    token, number = core.get("unk_token"), core.get("unk_id")
    if isinstance(token, str) and token not in ids:
        yield f"the token for what is unknown, {token[:40]!r}, is not in the vocabulary"
    if isinstance(number, int) and not 0 <= number < len(ids):
        yield f"the id for what is unknown, {number}, is not in the vocabulary"


def _added(added: Any, ids: dict[str, int], by_id: dict[int, str]) -> Iterator[str]:
    taken = dict(by_id)
    for entry in added if isinstance(added, list) else [added]:
        token, number = (entry.get("content"), entry.get("id")) if isinstance(entry, dict) else (None, None)
        if not isinstance(token, str) or type(number) is not int:
            yield "an added token has no text or no id"
        elif ids.get(token, number) != number:
            yield f"{token[:40]!r} is {ids[token]} in the vocabulary and {number} among the added tokens"
        elif taken.setdefault(number, token) != token:
            yield f"id {number} is {taken[number][:40]!r} and {token[:40]!r}"


def _patterns(content: dict[str, Any]) -> Iterator[int]:
    """Lengths of regular expressions that are too long to be compiled safely."""
    left: list[Any] = [content.get("normalizer"), content.get("pre_tokenizer"), content.get("decoder")]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
            pattern = value.get("Regex")
            if isinstance(pattern, str) and len(pattern) > LONGEST_PATTERN:
                yield len(pattern)
        elif isinstance(value, list):
            left += value


MODEL_CHECKS = (Check("TOK-01", loads),)
