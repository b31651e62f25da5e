"""All that leaving tokens out makes of a checkpoint beside its weights: the choice, the files, what the card says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.compress.vocabulary.byte_bpe import TOKENIZER, ByteBpe, byte_bpe
from edgelm.compress.vocabulary.ids import ids_in, renumbered
from edgelm.compress.vocabulary.keep import Counts, Policy, Selection, select
from edgelm.compress.vocabulary.named import CONFIG, GENERATION, OLD_TEMPLATE, SPECIALS, TEMPLATE, named_tokens
from edgelm.compress.vocabulary.rewrite import ADDED, MERGES, VOCAB, rewritten
from edgelm.errors import BadFile, MissingInput
from edgelm.files import canonical_json, parse_json, read_bytes, sha256_bytes

_JSON = (TOKENIZER, CONFIG, SPECIALS, GENERATION, VOCAB, ADDED, OLD_TEMPLATE)
NAMES = (*_JSON, MERGES, TEMPLATE)  # of all files that are read
STALE = ("tokenizer.model",)  # tells of all tokens in a form that is not written here; the result goes without it
_KNOWN_LOSS = 0.001  # share of the text's tokens that may go without a word


def tokenizer_files(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint's folder that name tokens or ids, `config.json` aside, by name."""
    return {name: read_bytes(folder / name) for name in NAMES if (folder / name).is_file()}


@dataclass(frozen=True)
class Trimmed:
    """The choice of tokens and what follows from it.

    Attributes:
        selection: which tokens stay.
        files: contents of the files that are no longer the base's, by name.
        record: for the card.
    """

    selection: Selection
    files: dict[str, bytes]
    record: dict[str, Any]

    def config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The `config.json` of the model whose embedding has the rows that stay."""
        return {**renumbered(config, self.selection.new_ids), "vocab_size": len(self.selection.old_ids)}


def trim(
    files: Mapping[str, bytes],
    config: Mapping[str, Any],
    counts: Counts,
    policy: Policy,
    avoid: Collection[int] = (),
) -> Trimmed:
    """Choose the tokens that stay, and rewrite the files.

    Args:
        files: see `tokenizer_files`.
        config: the model's `config.json`.
        counts: how often each token occurs in the text to go by.
        policy: what to keep.
        avoid: values that the number of tokens shall not have.

    Raises:
        MissingInput: there is no `tokenizer.json`.
        BadFile: a file is malformed, or the tokenizer has more tokens than the model has rows.
        Unsupported, BadOption: see `select`.
    """
    if TOKENIZER not in files:
        raise MissingInput(f"there is no {TOKENIZER} to leave tokens out of", mend="save the fast tokenizer beside it")
    parsed = {name: _object(files[name], name) for name in _JSON if name in files}
    bpe = byte_bpe(parsed[TOKENIZER])
    _require_rows(bpe, config)
    with _fitting():
        named = named_tokens(bpe, parsed, config, policy.specials)
    selection = select(parsed[TOKENIZER], counts, policy, named=named, avoid=avoid)
    with _fitting():
        changed = rewritten(files, parsed, bpe, selection.new_ids)
    configs = {"config.json": config, GENERATION: parsed.get(GENERATION) or {}}
    record = {
        "tokenizer_sha256": sha256_bytes(files[TOKENIZER]),
        "entries": selection.entries,
        "kept": len(selection.old_ids),
        "old_ids_sha256": sha256_bytes(canonical_json(list(selection.old_ids))),
        "specials": policy.specials,
        "counted": selection.counted,
        "survived": selection.survived,
        "warnings": [*selection.warnings, *_losses(selection), *_no_tokens(configs, selection)],
    }
    return Trimmed(selection, changed, record)


@contextmanager
def _fitting() -> Iterator[None]:
    """Say of what does not fit into a tokenizer's files that they are not sound."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFile("the tokenizer's files are damaged, or not those of one tokenizer", why=repr(error),
                      mend="save the tokenizer again") from None  # fmt: skip


def _object(content: bytes, name: str) -> dict[str, Any]:
    value = parse_json(content, name)
    if not isinstance(value, dict):
        raise BadFile(f"{name} holds no JSON object", mend="restore the file")
    return value


def _require_rows(bpe: ByteBpe, config: Mapping[str, Any]) -> None:
    largest, rows = max(bpe.texts), config["vocab_size"]
    if largest >= rows:
        raise BadFile(f"the tokenizer has a token {largest}", why=f"the embedding has only {rows} rows",
                      mend="copy the tokenizer of this model")  # fmt: skip


def _losses(selection: Selection) -> list[str]:
    lost = selection.counted - selection.survived
    if lost <= _KNOWN_LOSS * selection.counted:
        return []
    share = lost / selection.counted
    return [f"vocab: {share:.2%} of the text's tokens go; such text is read in more and shorter tokens"]


def _no_tokens(configs: Mapping[str, Mapping[str, Any]], selection: Selection) -> list[str]:
    """Ids that a configuration names though no token has them; they are none afterwards."""
    return [f"vocab: {name} names {token} as {key}, which is no token; it is left out"
            for name, config in configs.items() for key, ids in ids_in(config).items()
            for token in sorted(ids - selection.new_ids.keys())]  # fmt: skip
