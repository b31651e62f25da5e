"""Drills in CHID's form: an idiom is masked in a Chinese sentence, and seven of the text's own stand to choose from.

Nothing says beforehand what an idiom is; statistics of the text tell. It has four characters, recurs between different
neighbours, its halves are seldom seen apart, and it describes: "的" or "地" often follows. Foreign names, which are as
firm, are known by their characters: those that stand beside "·".
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from edgelm.chat import ask
from edgelm.tasks.base import Row, Sample, fill
from edgelm.tasks.chid import LETTERS, QUESTION
from edgelm.train.drills.text import Places, Text, offered, shuffled

LEAST = 3  # times that an idiom occurs, and different characters before it
TOGETHER = 0.2  # share of the more frequent half's occurrences that are the idiom
DESCRIBES = 0.2  # share of its occurrences that "的" or "地" follows
FOREIGN = 0.04  # share of a character's occurrences that are in a foreign name
_RUN = re.compile("[一-鿿]+")
_NAME = re.compile("(?<=·)[一-鿿]{1,5}|[一-鿿]{1,5}(?=·)")
_PARTICLES = set("的地得了着过和与在是被把我你他她它们这那您")  # no idiom of modern text has one, phrases do


def rows(text: Text, draw: random.Random) -> Iterator[Row]:
    """Each sentence with an idiom once, and the letter alone as the answer."""
    known = idioms(text.chinese)
    used = [(sentence, idiom) for sentence in shuffled(text.chinese, draw) for idiom in _in(sentence, set(known))]
    if len(known) < 2 * len(LETTERS):  # too few to choose from
        return
    places = Places(draw)
    for number, (sentence, idiom) in enumerate(used):
        place = places(len(LETTERS))
        others = draw.sample([each for each in known if each not in sentence], len(LETTERS) - 1)
        columns = {"content": sentence.replace(idiom, "______")}
        columns |= dict(zip(LETTERS, offered(idiom, others, place), strict=True))
        yield Sample(f"chid-{number}", number, ask(fill(QUESTION, columns)), LETTERS[place]), LETTERS[place]


def idioms(sentences: Sequence[str]) -> list[str]:
    """What looks like an idiom in these sentences, sorted."""
    runs = [run for sentence in sentences for run in _RUN.findall(sentence)]
    edges = {edge for run in runs for edge in (run[:4], run[-4:]) if len(edge) == 4 and not _PARTICLES & set(edge)}
    pairs: Counter[str] = Counter()
    found: Counter[str] = Counter()
    describing: Counter[str] = Counter()
    before, behind = defaultdict(set), defaultdict(set)
    for run in runs:
        pairs.update(run[start : start + 2] for start in range(len(run) - 1))
        for start in range(len(run) - 3):
            if (four := run[start : start + 4]) in edges:
                after = run[start + 4 : start + 5]
                found[four] += 1
                describing[four] += after in ("的", "地")
                before[four].add(run[:start][-1:])
                behind[four].add(after)
    foreign = _foreign(sentences)
    return sorted(
        four for four, count in found.items()
        if count >= LEAST and count >= TOGETHER * max(pairs[four[:2]], pairs[four[2:]])
        and describing[four] >= DESCRIBES * count and len(before[four]) >= LEAST and len(behind[four]) > 1
        and not foreign & set(four)
    )  # fmt: skip


def _foreign(sentences: Sequence[str]) -> set[str]:
    """Characters that foreign names are written with."""
    every = Counter(character for sentence in sentences for character in sentence)
    named = Counter(character for sentence in sentences for name in _NAME.findall(sentence) for character in name)
    return {character for character, count in named.items() if count >= FOREIGN * every[character]}


def _in(sentence: str, known: set[str]) -> list[str]:
    """The idiom of a sentence, if it has just one and that just once."""
    fours = {sentence[start : start + 4] for start in range(len(sentence) - 3)}
    inside = list(fours & known)
    return inside if len(inside) == 1 and sentence.count(inside[0]) == 1 else []
