"""The text that every speed measurement reads, and its cut to an exact number of tokens."""

from __future__ import annotations

import re
from collections.abc import Callable

from edgelm.errors import Unsupported
from edgelm.files import sha256_bytes

PASSAGE = """\
A ferry crosses the strait four times a day in summer and twice in winter. On the first of May the harbour master \
counted 212 passengers before noon and 187 after, which made 399 in all; on the second it rained, and only 96 came. \
"You can tell the weather from the ticket box," he liked to say, although nobody had ever asked him to. His daughter, \
who studies mathematics in the city, wrote a short program for him:

def passengers(days):
    total = 0
    for morning, afternoon in days:
        total += morning + afternoon
    return total / len(days)

It gave an average of 247.5 for those two days, and he was pleased until he noticed that half a person had travelled. \
She explained that an average need not be a whole number, that three dice thrown together come to 10.5 on average \
although no throw ever shows it, and that this is exactly why one keeps the numbers from which an average was made.

渡轮每天往返海峡四次。春天的早晨,港口常常有雾,船长要等到太阳升起以后才肯开船。老人说:“等一等,雾总会散的。”\
孩子们却等不及,他们数着岸上的灯,一盏、两盏、三盏,直到最后一盏也熄灭了。

There are three questions which the visitors put again and again. First: why does the ferry leave before its time? It \
does not; the clock at the station is four minutes slow. Second: is it true that the island has no cars? There are \
two, a fire engine and the doctor's, and neither has been driven further than nine kilometres: no road is longer. \
Third: what do people do there in winter? They mend nets, repair roofs, read, quarrel about the new pier, and on the \
longest night they carry lamps down to the water. The lamps are numbered; number 1 is older than the church. If it \
rains, they light them indoors and open the windows, because a custom that depends on the weather is not a custom.

"""

SHA256 = sha256_bytes(PASSAGE.encode())
_SENTENCES = re.compile(r"(?<=[.!?:])\s+")


def reordered(rank: Callable[[int], bytes], text: str = PASSAGE) -> str:
    """A text's sentences in the order of the ranks that their places have."""
    sentences = _SENTENCES.split(text)
    return " ".join(sentences[place] for place in sorted(range(len(sentences)), key=rank))


def exact_tokens(encode: Callable[[str], list[int]], count: int, vocab: int, text: str = PASSAGE) -> list[int]:
    """The first `count` token ids of a text, repeated as often as the tokenizer needs to reach the count.

    Raises:
        Unsupported: the tokenizer makes nothing of the text, or ids that the model has no row for.
    """
    ids, copies = encode(text), 1
    while len(ids) < count:
        longer = encode(text * copies * 2)
        if len(longer) <= len(ids):
            raise Unsupported(
                f"the tokenizer makes no more than {len(ids)} tokens of any text, {count} are needed",
                mend="save the tokenizer without truncation",
            )
        ids, copies = longer, copies * 2
    ids = ids[:count]
    if max(ids) >= vocab:
        raise Unsupported(
            f"the tokenizer gives the id {max(ids)}, the model has rows for {vocab}",
            mend="save the tokenizer that belongs to these weights",
        )
    return ids


def bytes_per_token(encode: Callable[[str], list[int]]) -> float:
    """UTF-8 bytes of the passage for each token that the tokenizer makes of it."""
    return len(PASSAGE.encode()) / len(encode(PASSAGE))
