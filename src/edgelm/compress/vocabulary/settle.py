"""Letting the steps of a recipe that choose tokens do so, before the recipe is planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Step
from edgelm.compress.stream.imported import imported
from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.byte_bpe import TOKENIZER, byte_bpe
from edgelm.compress.vocabulary.count import count_tokens
from edgelm.compress.vocabulary.trim import tokenizer_files
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption
from edgelm.files import parse_json


def documents_of(texts: Sequence[TextSource]) -> list[str]:
    """All text to count tokens in: questions and what follows them, each by itself."""
    documents = chain.from_iterable(text.documents for text in texts)
    return [part for document in documents for part in (document.question, document.text) if part]


def settled(
    base: Checkpoint, steps: Sequence[Step], texts: Callable[[], Sequence[TextSource]], *, counting: bool
) -> list[Step]:
    """The steps, with every `vocab` among them knowing which tokens it keeps.

    Args:
        base: what is compressed. Without a tokenizer the steps stay as they are.
        steps: the recipe.
        texts: to count tokens in; asked for where that is wanted.
        counting: whether the choice shall be the final one; their number is exact without, unless it depends on counts.

    Raises:
        BadOption: there are two of them: the second would not know the tokenizer that the first leaves.
        InputError: see `Vocab.settled`.
    """
    choosing = [step for step in steps if isinstance(step, Vocab)]
    if len(choosing) > 1:
        raise BadOption("a recipe can leave tokens out once", mend="keep one step vocab, or compress twice")
    base = imported(base)
    if not choosing or choosing[0].idle(base.config) or choosing[0].final:
        return list(steps)
    files = tokenizer_files(base.tokenizer_path)
    if TOKENIZER not in files:
        return list(steps)
    counts = None
    if counting or choosing[0].min_count is not None:
        byte_bpe(parse_json(files[TOKENIZER], TOKENIZER))  # or it says what is wrong with it
        counts = count_tokens(files[TOKENIZER], documents_of(texts()))
    chosen = choosing[0].settled(files, base.config, counts)
    return [chosen if isinstance(step, Vocab) else step for step in steps]
