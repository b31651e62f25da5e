"""How often each token occurs in some text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from edgelm.compress.vocabulary.byte_bpe import TOKENIZER
from edgelm.errors import BadFile

_BATCH = 1000  # documents encoded at a time, on all cores


def count_tokens(
    tokenizer: bytes, documents: Iterable[str], progress: Callable[[int], object] = lambda read: None
) -> Counter[int]:
    """The number of times that each id occurs in the documents, none cut short and nothing added to any.

    Special tokens that are spelled out in a document, as in a chat, count as such.

    Args:
        tokenizer: the contents of a `tokenizer.json`.
        documents: read once, a thousand at a time.
        progress: told how many have been read.

    Raises:
        BadFile: the tokenizer is damaged.
    """
    from tokenizers import Tokenizer  # a plan that counts nothing does without

    try:
        core = Tokenizer.from_str(tokenizer.decode())
    except Exception as error:  # the library raises nothing more exact
        mend = "save the tokenizer again"
        raise BadFile(f"{TOKENIZER} is no sound tokenizer", why=str(error), mend=mend) from None
    core.no_truncation()
    core.no_padding()
    counts: Counter[int] = Counter()
    read = 0
    for batch in _batches(documents):
        for encoding in core.encode_batch_fast(batch, add_special_tokens=False):
            counts.update(encoding.ids)
        read += len(batch)
        progress(read)
    return counts


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(documents)
    while batch := list(islice(rest, _BATCH)):
        yield batch
