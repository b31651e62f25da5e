"""Drills in GSM8K's form: sums that Alpaca's answers work out, and words and letters counted; the result comes last."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from edgelm.data.texts import Document
from edgelm.tasks.base import Row, Sample, fill
from edgelm.tasks.gsm8k import QUESTION, numbers
from edgelm.train.drills.shots import Shots
from edgelm.train.drills.text import Text, shuffled, words

EXEMPLARS = 4  # as many as the task shows
LONGEST = 400  # characters of an Alpaca row
OFTEN = 4  # every so manieth drill is a sum of Alpaca's while there are any
Worked = tuple[str, str, int]  # a question, its answer without the last line, and the result
_SUM = re.compile(r"(?<![\d.,/*x×+^-])(?<![-+*/x×÷] )(\d+) ?([-+*/x×÷]) ?(\d+) ?= ?(\d+)(?![\d/,]|\.\d)")
_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "x": operator.mul, "×": operator.mul,
    "/": operator.truediv, "÷": operator.truediv,
}  # fmt: skip


def rows(text: Text, draw: random.Random) -> Iterator[Row]:
    """Answers step by step that end with the number."""
    shots = Shots(EXEMPLARS, draw)
    for number, (question, steps, result) in enumerate(_mixed(text, draw)):
        answer = f"{steps}\nThe answer is {result}"
        prompt = shots.asked(fill(QUESTION, {"question": question, "answer": ""}), answer)
        yield Sample(f"gsm8k-{number}", number, prompt, str(result)), answer


def _mixed(text: Text, draw: random.Random) -> Iterator[Worked]:
    """Alpaca's own sums between what is counted in sentences."""
    sums = iter(worked(text.chats, draw))
    sentences = shuffled(text.sentences, draw)
    for number, (first, second) in enumerate(zip(sentences[::2], sentences[1::2], strict=False)):
        if number % OFTEN == 0:
            yield from (each for each in [next(sums, None)] if each)
        yield draw.choice((_letters, _both, _seconds))(first, second, draw)
    yield from sums


def worked(chats: list[Document], draw: random.Random) -> list[Worked]:
    """Alpaca rows whose short English answer ends with the right result of a sum that it writes out."""
    found = []
    for each in chats:
        asked, answer = (each.question or "").strip(), each.text.strip()
        if len(asked) + len(answer) <= LONGEST and asked.isascii() and "Question:" not in answer:
            sums, last = _SUM.findall(answer), numbers(answer)[-1:]
            if sums and all(map(_right, sums)) and last == [sums[-1][3]]:
                found.append((asked, answer, int(last[0])))
    return draw.sample(found, len(found))


def _right(written: tuple[str, str, str, str]) -> bool:
    """Whether `a + b = c` is so."""
    a, sign, b, c = written
    return not (sign in "/÷" and int(b) == 0) and _OPERATIONS[sign](Fraction(a), Fraction(b)) == int(c)


def _letters(first: str, second: str, draw: random.Random) -> Worked:
    """The letters of two words."""
    one, two = draw.sample([word for word in words(first) if word.isalpha()] or ["a", "an"], 2)
    a, b = len(one), len(two)
    return (f'How many letters do the words "{one}" and "{two}" have together?',
            f"{one} is spelled {'-'.join(one)}, so its letters are {a}.\n"
            f"{two} is spelled {'-'.join(two)}, so its letters are {b}.\nTogether that makes {a} + {b} = {a + b}.",
            a + b)  # fmt: skip


def _both(first: str, second: str, draw: random.Random) -> Worked:
    """The words of two sentences."""
    a, b = len(words(first)), len(words(second))
    return (f'Someone reads two sentences aloud. The first one is "{first}" The second one is "{second}" '
            "How many words were read in all?",
            f"{_counted(first)}\n{_counted(second)}\nTogether that makes {a} + {b} = {a + b}.", a + b)  # fmt: skip


def _seconds(first: str, second: str, draw: random.Random) -> Worked:
    """The time that a sentence takes."""
    count, each = len(words(first)), draw.randint(2, 9)
    return (f'A child writes the sentence "{first}" and needs {each} seconds for every word. '
            "How many seconds does the sentence take?",
            f"{_counted(first)}\nEvery word takes {each} seconds: {count} x {each} = {count * each}.",
            count * each)  # fmt: skip


def _counted(sentence: str) -> str:
    listed = ", ".join(f"{word} ({number})" for number, word in enumerate(words(sentence), 1))
    return f"The words are {listed}, so there are {len(words(sentence))}."
