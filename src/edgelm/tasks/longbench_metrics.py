"""LongBench's metrics as OpenCompass 0.3.1 computes them: what an answer is worth, 1 for a perfect one."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from edgelm.tasks import chinese
from edgelm.tasks.lcs import lcs_length
from edgelm.tasks.rouge_l import MOST_STEPS, rouge_l


@dataclass(frozen=True)
class Reference:
    """The answers that are right, and for a classification all classes there are."""

    answers: tuple[str, ...]
    classes: tuple[str, ...] = ()


Metric = Callable[[str, Reference], float]

_CHINESE_MARKS = (  # opening 《 and both 〈〉 are missing in the original, too
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】"
    "〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏."
)
_NO_MARKS = str.maketrans("", "", string.punctuation)
_NO_CHINESE_MARKS = str.maketrans("", "", string.punctuation + _CHINESE_MARKS)


def f1_english(answer: str, wanted: Reference) -> float:
    """The best F-measure over words, in lower case, without punctuation and articles."""
    return max((_f1(_english(answer), _english(each)) for each in wanted.answers), default=0.0)


def f1_chinese(answer: str, wanted: Reference) -> float:
    """The best F-measure over Chinese words, in lower case, without punctuation."""
    return max((_f1(_chinese(answer), _chinese(each)) for each in wanted.answers), default=0.0)


def _english(text: str) -> list[str]:
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_NO_MARKS)).split()


def _chinese(text: str) -> list[str]:
    plain = ("".join(word.lower().translate(_NO_CHINESE_MARKS).split()) for word in chinese.words(text))
    return [word for word in plain if word]


def _f1(told: list[str], wanted: list[str]) -> float:
    shared = (Counter(told) & Counter(wanted)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(told), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def rouge_english(answer: str, wanted: Reference, most_steps: int | None = MOST_STEPS) -> float:
    """The best ROUGE-L."""
    return max((rouge_l(answer, each, most_steps) for each in wanted.answers), default=0.0)


def rouge_chinese(answer: str, wanted: Reference, most_steps: int | None = MOST_STEPS) -> float:
    """The best ROUGE-L over Chinese words."""
    best = 0.0
    for each in wanted.answers:
        answer = " ".join(chinese.words(answer))  # cut again for each reference, so in the original
        best = max(best, rouge_l(answer, " ".join(chinese.words(each)), most_steps))
    return best


def classification(answer: str, wanted: Reference) -> float:
    """For each right class, its share of the classes that the answer names; those inside its own name left out.

    A class is removed from the list that is being read, so the one behind it is never looked at: so in the original.
    """
    mark = 0.0
    for right in wanted.answers:
        named = [name for name in wanted.classes if name in answer]
        for name in named:
            if name in right and name != right:
                named.remove(name)
        mark += 1 / len(named) if right in named else 0
    return mark


def classification_fixed(answer: str, wanted: Reference) -> float:
    """For the best right class, its share of the classes that the answer names; those inside its own name left out."""
    best = 0.0
    for right in wanted.answers:
        named = [name for name in wanted.classes if name in answer and (name == right or name not in right)]
        best = max(best, 1 / len(named) if right in named else 0)
    return best


def count(answer: str, wanted: Reference) -> float:
    """The share of the answer's numbers that are right; of several right ones, the shares are added."""
    return sum(_share(answer, each) for each in wanted.answers)


def retrieval_english(answer: str, wanted: Reference) -> float:
    """The share of the answer's numbers that are the right paragraph's."""
    return sum(_share(answer, number) for number in _numbers(r"Paragraph (\d+)", wanted))


def retrieval_chinese(answer: str, wanted: Reference) -> float:
    """The share of the answer's numbers that are the right paragraph's."""
    return sum(_share(answer, number) for number in _numbers(r"段落(\d+)", wanted))


def _numbers(pattern: str, wanted: Reference) -> list[str]:
    found = (re.search(pattern, each) for each in wanted.answers)
    return [match[1] for match in found if match]


def _share(answer: str, right: str) -> float:
    numbers = re.findall(r"\d+", answer)
    return numbers.count(right) / len(numbers) if numbers else 0.0


def code_similarity(answer: str, wanted: Reference) -> float:
    """The best similarity of the answer's first line of code, in whole percent.

    A line with a comment or a fence is none. Similar is what few insertions and deletions make equal; halves of a
    percent are rounded to the even one.
    """
    lines = answer.lstrip("\n").split("\n")
    line = next((line for line in lines if not any(sign in line for sign in ("`", "#", "//"))), "")
    return max((_similarity(line, each) for each in wanted.answers), default=0.0)


def _similarity(first: str, second: str) -> float:
    both = len(first) + len(second)
    distance = both - 2 * lcs_length(first, second)
    return round(100 * (1 - distance / both)) / 100 if both else 1.0
