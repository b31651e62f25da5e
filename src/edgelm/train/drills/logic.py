"""Drills in BBH's form: small questions about the words of a sentence, thought through and closed by the set phrase."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

from edgelm.chat import ask
from edgelm.tasks.base import Row, Sample, fill
from edgelm.tasks.bbh import QUESTION
from edgelm.train.drills.shots import Shots
from edgelm.train.drills.text import Places, Text, offered, shuffled, words

EXEMPLARS = 3  # as many as the task shows
CHOICES = range(2, 7)
LETTERS = "ABCDEF"
Puzzle = tuple[str, str, str]  # what is asked, the thoughts, and the answer as it is written


@dataclass(frozen=True)
class Kind:
    """One sort of puzzle: what stands above its exemplars, and the set of BBH whose answers look alike."""

    about: str
    subset: str
    make: Callable[[str, random.Random, Places], Puzzle]


def rows(text: Text, draw: random.Random) -> Iterator[Row]:
    """Each sentence once, the kinds in turn; exemplars are of the same kind."""
    shots = {kind.about: Shots(EXEMPLARS, draw) for kind in KINDS}
    places = {kind.about: Places(draw) for kind in KINDS}
    usable = (sentence for sentence in shuffled(text.sentences, draw) if len(single(sentence)) >= max(CHOICES))
    for number, (sentence, kind) in enumerate(zip(usable, cycle(KINDS), strict=False)):
        asked, thoughts, reference = kind.make(sentence, draw, places[kind.about])
        answer = f"{thoughts} So the answer is {reference}."
        shown = [f"Q: {question}\nA: Let's think step by step.\n{given}"
                 for question, given in shots[kind.about].shown(asked, answer)]  # fmt: skip
        columns = {"hint": "\n\n".join([kind.about, *shown]), "input": asked, "target": ""}
        yield Sample(f"bbh-{number}", number, ask(fill(QUESTION, columns)), reference, subset=kind.subset), answer


def single(sentence: str) -> list[str]:
    """The small words that a sentence has once."""
    counts = Counter(words(sentence))
    return [word for word, count in counts.items() if count == 1 and word.isalpha() and word.islower()]


def _lettered(asked: str, others: list[str], right: str, place: int, thoughts: str) -> Puzzle:
    choices = "\n".join(
        f"({letter}) {word}" for letter, word in zip(LETTERS, offered(right, others, place), strict=False)
    )
    return f"{asked}\nOptions:\n{choices}", f'{thoughts} That is "{right}".', f"({LETTERS[place]})"


def _first(sentence: str, draw: random.Random, places: Places) -> Puzzle:
    own, number = words(sentence), draw.choice(CHOICES)
    right, *others = sorted(draw.sample(single(sentence), number), key=own.index)
    told = ", ".join(f'"{word}" is word {own.index(word) + 1}' for word in draw.sample([right, *others], number))
    return _lettered(f'Which of these words comes first in "{sentence}"?', draw.sample(others, len(others)), right,
                     places(number), f"In the sentence {told}. The least is {own.index(right) + 1}.")  # fmt: skip


def _longest(sentence: str, draw: random.Random, places: Places) -> Puzzle:
    by_length = {len(word): word for word in single(sentence)}  # one word of a length, so that no two are longest
    known = draw.sample(sorted(by_length.values()), min(len(by_length), draw.choice(CHOICES)))
    right, *others = sorted(known, key=len, reverse=True)
    told = ", ".join(f'"{word}" has {len(word)}' for word in known)
    return _lettered("Which of these words is the longest?", draw.sample(others, len(others)), right,
                     places(len(known)), f"Count the letters: {told}. The most are {len(right)}.")  # fmt: skip


def _before(sentence: str, draw: random.Random, places: Places) -> Puzzle:
    own = words(sentence)
    pair = sorted(draw.sample(single(sentence), 2), key=own.index)
    yes = places(2)
    one, two = pair if yes else reversed(pair)
    return (f'Does "{one}" come before "{two}" in "{sentence}"?\nOptions:\n- Yes\n- No',
            f'In the sentence "{one}" is word {own.index(one) + 1} and "{two}" is word {own.index(two) + 1}.',
            "Yes" if yes else "No")  # fmt: skip


def _longer(sentence: str, draw: random.Random, places: Places) -> Puzzle:
    by_length = {len(word): word for word in single(sentence)}
    pair = sorted(draw.sample(sorted(by_length.values()), 2), key=len, reverse=True)
    true = places(2)
    one, two = pair if true else reversed(pair)
    return (f'True or False: "{one}" has more letters than "{two}".',
            f'"{one}" has {len(one)} letters and "{two}" has {len(two)}.', "True" if true else "False")  # fmt: skip


def _alphabet(sentence: str, draw: random.Random, places: Places) -> Puzzle:
    known = draw.sample(single(sentence), draw.choice(CHOICES))
    firsts = ", ".join(f'"{word}" begins with {word[0]}' for word in known)
    return (f"Put these words into the order of the alphabet: {' '.join(known)}",
            f"Look at the letters: {firsts}. Words with the same first letter are put in order by the next one.",
            " ".join(sorted(known)))  # fmt: skip


def _beginning(sentence: str, draw: random.Random, places: Places) -> Puzzle:
    own = [word.lower() for word in words(sentence)]
    letter = draw.choice(own)[0]
    found = [word for word in own if word.startswith(letter)]
    return (f'How many words of "{sentence}" begin with the letter {letter}?',
            f"The words that begin with {letter} are: {', '.join(found)}.", str(len(found)))  # fmt: skip


KINDS = (
    Kind("Find the word that stands first.", "logical_deduction_three_objects", _first),
    Kind("Tell which of two words stands first.", "navigate", _before),
    Kind("Find the longest word.", "logical_deduction_three_objects", _longest),
    Kind("Put words into order.", "word_sorting", _alphabet),
    Kind("Find the word that stands first.", "logical_deduction_three_objects", _first),
    Kind("Tell whether a statement about words is true.", "boolean_expressions", _longer),
    Kind("Find the longest word.", "logical_deduction_three_objects", _longest),
    Kind("Count words.", "object_counting", _beginning),
)
