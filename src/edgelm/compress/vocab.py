"""Leave tokens out of a byte-level BPE that the text at hand does not need, with their rows of embedding and head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from edgelm.compress.base import Config, Progress, Tokens
from edgelm.compress.vocabulary.byte_bpe import TOKENIZER
from edgelm.compress.vocabulary.count import count_tokens
from edgelm.compress.vocabulary.keep import ALIGN, Counts, wanted_rows
from edgelm.compress.vocabulary.scripts import require_known
from edgelm.compress.vocabulary.trim import Trimmed, trim
from edgelm.errors import BadOption, MissingInput

if TYPE_CHECKING:
    from edgelm.compress.stream.model import Model

# Numbers of rows by which llama.cpp's converter takes a model for another one.
_TAKEN = {"llama": (32_016, 49_152)}


@dataclass(frozen=True)
class Vocab:
    """Keep a part of the vocabulary; one of `keep`, `langs` and `min_count` is given.

    All bytes stay, and with a token all that it is merged from. Text whose tokens all stay is therefore read as
    before, token for token, and any other in more and shorter tokens, without loss. States and logits of the tokens
    that stay are the base's; probabilities are shared out among these alone, so that the likeliest may be another
    where the base preferred a token that is gone.

    Attributes:
        keep: a share of the tokens, or their number; the most frequent ones in the calibration text.
        langs: en, zh or en+zh; every token that any text in their scripts can have, so that all such text is read as
            before.
        min_count: keep tokens that occur at least so often in the calibration text.
        specials: whether special tokens may go that no file names and no text has: `used` lets them.
    """

    keep: float | None = None
    langs: tuple[str, ...] = ()
    min_count: int | None = None
    specials: Literal["all", "used"] = "all"
    trimmed: Trimmed | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if sum((self.keep is not None, bool(self.langs), self.min_count is not None)) != 1:
            raise BadOption("vocab takes one of keep, langs and min_count", mend="vocab:keep=0.6, for example")
        require_known(self.langs)
        if self.min_count is not None and self.min_count < 1:
            raise BadOption(f"vocab:min_count={self.min_count} keeps everything", mend="give 1 or more")
        if self.keep is not None:
            if self.keep <= 0 or (self.keep > 1 and self.keep % 1):
                raise BadOption(f"vocab:keep={self.keep} is neither a share nor a number of tokens",
                                mend="vocab:keep=0.6 or vocab:keep=65536, for example")  # fmt: skip
            if self.keep > 1:
                object.__setattr__(self, "keep", int(self.keep))  # as a spec writes it

    def settled(self, files: Mapping[str, bytes], config: Config, counts: Counts | None = None) -> Vocab:
        """The same step, which has chosen its tokens: `plan` is then exact.

        Args:
            files: the tokenizer's, see `tokenizer_files`.
            config: the model's `config.json` before the step.
            counts: how often each token occurs in the calibration text (see `count_tokens`). Without, the number of
                tokens is exact for `keep` and `langs` under `specials=all`, and the choice not yet the final one.

        Raises:
            MissingInput: there is no tokenizer, or there are no counts for `min_count`.
            BadFile, Unsupported, BadOption: see `trim`.
        """
        if self.min_count is not None and not counts:
            raise MissingInput("vocab:min_count needs text to count tokens in", mend="give --data or --calib")
        made = replace(self)
        trimmed = trim(files, config, counts or {}, self, avoid=_TAKEN.get(config.get("model_type", ""), ()))
        object.__setattr__(made, "trimmed", trimmed)
        return made

    @property
    def final(self) -> bool:
        """Whether it has chosen its tokens by counts, once and for all."""
        return self.trimmed is not None and bool(self.trimmed.selection.counted)

    def idle(self, config: Config) -> bool:
        """Whether as many tokens are asked for as the model has rows; rows without a token stay then, too."""
        return self.keep is not None and (self.keep == 1 or self.keep >= config["vocab_size"])

    def plan(self, config: Config) -> Config:
        """The configuration with as many rows as tokens are kept, and with the new ids of bos, eos and the like.

        A step that is not settled knows no tokenizer. It plans `keep` alone, as if every row had a token and what
        must stay were fewer, and leaves the ids as they are.

        Raises:
            MissingInput: `langs` or `min_count` is not settled.
        """
        if self.trimmed is not None:
            return self.trimmed.config(config)
        if self.keep is None:
            raise MissingInput("without a tokenizer there is no saying how many tokens vocab keeps",
                               mend="give a checkpoint with a tokenizer.json, or vocab:keep=")  # fmt: skip
        rows = wanted_rows(self.keep, config["vocab_size"])
        return {**config, "vocab_size": rows + ALIGN * (rows in _TAKEN.get(config.get("model_type", ""), ()))}

    def apply(self, model: Model, batches: Sequence[Tokens], progress: Progress) -> dict[str, Any]:
        """Keep the rows of the tokens that stay, and rewrite the tokenizer's files in `model.files`.

        The tokens to keep are those most frequent in `model.documents`, unless the step was settled with counts.
        `batches` are not looked at, and name old ids: what follows needs the text in new ones.
        """
        trimmed = self.trimmed
        if not self.final:
            trimmed = self.settled(model.files, model.config, self._counts(model, progress)).trimmed
        assert trimmed is not None
        old_ids = trimmed.selection.old_ids
        model.keep_rows(old_ids)
        model.config = trimmed.config(model.config)
        model.files = {**model.files, **trimmed.files}
        model.idmap = [model.idmap[old] for old in old_ids] if model.idmap else list(old_ids)
        return trimmed.record

    def _counts(self, model: Model, progress: Progress) -> Counts:
        if TOKENIZER not in model.files:  # `trim` says so
            return {}
        documents = model.documents
        total = len(documents) if isinstance(documents, Sequence) else 0
        return count_tokens(model.files[TOKENIZER], documents,
                            lambda read: progress("vocab: count tokens", read, max(total, read)))  # fmt: skip
