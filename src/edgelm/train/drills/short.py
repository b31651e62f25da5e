"""Drills in TruthfulQA's form: Alpaca's short questions that one short sentence answers, as they are."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from edgelm.chat import ask
from edgelm.tasks.base import Row, Sample
from edgelm.train.drills.text import Text

LONGEST = 25  # words of a question and of an answer
_ONE = re.compile(r"[A-Z][^.?!\n]*\.")


def rows(text: Text, draw: random.Random) -> Iterator[Row]:
    """Each such row of Alpaca once."""
    pairs = [(each.question or "", each.text) for each in text.chats]
    short = [(question, answer) for question, answer in pairs
             if question.isascii() and re.fullmatch(r"[A-Z][^\n]*\?", question) and _ONE.fullmatch(answer)
             and max(len(question.split()), len(answer.split())) <= LONGEST]  # fmt: skip
    for number, (question, answer) in enumerate(draw.sample(short, len(short))):
        reference = {"best_answer": answer, "correct_answers": [answer], "incorrect_answers": []}
        yield Sample(f"truthfulqa-{number}", number, ask(question), reference), answer
