"""Drills in CommonsenseQA's form: which of five words ends a sentence, answered by its letter after the set phrase."""

from __future__ import annotations

import random
from collections.abc import Iterator

from edgelm.tasks.base import Row, Sample, fill
from edgelm.tasks.commonsenseqa import QUESTION
from edgelm.train.drills.shots import Shots
from edgelm.train.drills.text import Places, Text, offered, shuffled, words

LETTERS = "ABCDE"
EXEMPLARS = 7  # as many as the task shows


def rows(text: Text, draw: random.Random) -> Iterator[Row]:
    """Each sentence once; the other four words end sentences, too."""
    sentences = shuffled(text.sentences, draw)
    endings = sorted({end for sentence in sentences if (end := words(sentence)[-1]).islower() and len(end) > 2})
    if len(endings) < len(LETTERS):
        return
    shots, places, known = Shots(EXEMPLARS, draw), Places(draw), set(endings)
    usable = (sentence for sentence in sentences if words(sentence)[-1] in known)
    for number, sentence in enumerate(usable):
        end, place = words(sentence)[-1], places(len(LETTERS))
        others = [each for each in draw.sample(endings, len(LETTERS)) if each != end][: len(LETTERS) - 1]
        columns = {"question": f"Which word is missing at the end? {sentence.removesuffix(f'{end}.')}___"}
        columns |= dict(zip(LETTERS, offered(end, others, place), strict=True))
        answer = f"The missing word is {end}, which is choice {LETTERS[place]}. So the answer is {LETTERS[place]}."
        prompt = shots.asked(fill(QUESTION, columns), answer)
        yield Sample(f"commonsenseqa-{number}", number, prompt, LETTERS[place]), answer
