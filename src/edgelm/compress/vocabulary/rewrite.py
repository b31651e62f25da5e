"""A tokenizer's files with the tokens that stay, under their new ids; all else in them is as it was.

Pre-tokenizer, normalizer, decoder, `ignore_merges` and chat template are not touched. What transformers would write is
not asked for: it rewrites more than ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgelm.compress.vocabulary.byte_bpe import TOKENIZER, ByteBpe, Json, pair
from edgelm.compress.vocabulary.ids import NewIds, renumbered
from edgelm.compress.vocabulary.named import CONFIG, DECODER, GENERATION, SPECIALS, is_list, token_text

VOCAB, MERGES, ADDED = "vocab.json", "merges.txt", "added_tokens.json"


class Rewriter:
    """The tokens that stay, and each kind of file without the others."""

    def __init__(self, bpe: ByteBpe, new_ids: NewIds) -> None:
        self.bpe, self.new_ids = bpe, new_ids
        by_new_id = sorted(new_ids, key=new_ids.__getitem__)
        texts = {token: text for text, token in bpe.ids.items()}
        self.vocab = {texts[old]: new_ids[old] for old in by_new_id if old in texts}
        self.texts = {bpe.texts[old] for old in by_new_id} | self.vocab.keys()

    def tokenizer(self, tokenizer: Json) -> Json:
        """`tokenizer.json`."""
        model = tokenizer["model"]
        merges = [merge for merge in model["merges"] if self._stays(*pair(merge))]
        made = {**tokenizer, "model": {**model, "vocab": self.vocab, "merges": merges}}
        if tokenizer.get("added_tokens"):
            made["added_tokens"] = self._added(tokenizer["added_tokens"])
        if tokenizer.get("post_processor"):
            made["post_processor"] = self._post_processor(tokenizer["post_processor"])
        if tokenizer.get("padding"):
            made["padding"] = self._padding(tokenizer["padding"])
        return made

    def _stays(self, left: str, right: str) -> bool:
        return left in self.vocab and right in self.vocab and left + right in self.vocab

    def _added(self, entries: list[Json]) -> list[Json]:
        """The added tokens, first those with the lowest ids, as the library wants them."""
        numbered = [(self.bpe.ids.get(entry["content"], entry["id"]), entry) for entry in entries]
        kept = [{**entry, "id": self.new_ids[old]} for old, entry in numbered if old in self.new_ids]
        return sorted(kept, key=lambda entry: entry["id"])

    def _post_processor(self, stage: Json) -> Json:
        """What puts special tokens around a text, in one of its forms: several in a row, a template, BERT's."""
        made = dict(stage)
        if "processors" in stage:
            made["processors"] = [self._post_processor(each) for each in stage["processors"]]
        if stage.get("special_tokens"):
            made["special_tokens"] = {name: {**special, "ids": [self.new_ids[old] for old in special["ids"]]}
                                      for name, special in stage["special_tokens"].items()}  # fmt: skip
        return made | {key: [stage[key][0], self.new_ids[stage[key][1]]] for key in ("sep", "cls") if key in stage}

    def _padding(self, given: Json) -> Json:
        """The padding that a tokenizer brings; the id of no token becomes 0, as padding is masked but needs a row."""
        return {**given, "pad_id": self.new_ids.get(given["pad_id"], 0)}

    def settings(self, settings: Json) -> Json:
        """`tokenizer_config.json` and `special_tokens_map.json`: no token is named that the tokenizer does not have.

        transformers would add one that is, behind the last row of the embedding.
        """
        made = renumbered(settings, self.new_ids)
        for key, value in settings.items():
            if key.endswith("_token") and token_text(value) and token_text(value) not in self.texts:
                made[key] = None
            elif is_list(key) and isinstance(value, Mapping):
                made[key] = {name: token for name, token in value.items() if token_text(token) in self.texts}
            elif is_list(key) and value:
                made[key] = [token for token in value if token_text(token) in self.texts]
        if DECODER in settings:
            kept = {self.new_ids[int(old)]: entry for old, entry in settings[DECODER].items()
                    if int(old) in self.new_ids}  # fmt: skip
            made[DECODER] = {str(new): kept[new] for new in sorted(kept)}
        return made

    def ids_by_text(self, given: Json) -> Json:
        """`vocab.json` and `added_tokens.json`."""
        kept = {text: self.new_ids[old] for text, old in given.items() if old in self.new_ids}
        return dict(sorted(kept.items(), key=lambda item: item[1]))

    def merges(self, text: str) -> str:
        """`merges.txt`: its head line, if it has one, and a merge a line."""
        return "".join(self._merge_lines(text.splitlines(keepends=True)))

    def _merge_lines(self, lines: list[str]) -> Iterator[str]:
        for number, line in enumerate(lines):
            parts = line.split()
            if (number == 0 and line.startswith("#version")) or (len(parts) == 2 and self._stays(parts[0], parts[1])):
                yield line


def rewritten(files: Mapping[str, bytes], parsed: Mapping[str, Any], bpe: ByteBpe, new_ids: NewIds) -> dict[str, bytes]:
    """The bytes of every file that names ids or tokens, as it shall be.

    Args:
        files: all that there are, by name.
        parsed: the contents of those in JSON.
        bpe: the tokenizer before.
        new_ids: the new id of each token that stays.
    """
    rewriter = Rewriter(bpe, new_ids)
    ways: dict[str, Callable[[Json], Json]] = {
        TOKENIZER: rewriter.tokenizer, CONFIG: rewriter.settings, SPECIALS: rewriter.settings,
        VOCAB: rewriter.ids_by_text, ADDED: rewriter.ids_by_text,
        GENERATION: lambda config: renumbered(config, new_ids),
    }  # fmt: skip
    made = {name: _json(way(parsed[name]), large=name in (TOKENIZER, VOCAB))
            for name, way in ways.items() if name in parsed}  # fmt: skip
    if MERGES in files:
        made[MERGES] = rewriter.merges(files[MERGES].decode()).encode()
    return made


def _json(value: object, *, large: bool) -> bytes:
    """JSON for people to read, or, if it is large, without the spaces that would triple it."""
    layout: dict[str, Any] = {"separators": (",", ":")} if large else {"indent": 2}
    return (json.dumps(value, ensure_ascii=False, **layout) + "\n").encode()
