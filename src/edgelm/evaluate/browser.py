"""The answers as the page carries them: compact, and bounded in size.

Ten thousand answers with their questions can be a hundred megabytes; `answers/` has them whole. The page's texts are
shortened alike, to the greatest length with which all of them together stay within `BUDGET`.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from edgelm.evaluate.opencompass_names import TITLES
from edgelm.report import FULL_MARK, Answer
from edgelm.tasks.base import Sample

BUDGET = 8_000_000  # characters of answers, questions and references in one page
SHORTEST, LONGEST = 60, 4000  # characters of one text; the shortest is kept whatever it adds up to
SHARED = 200  # characters of a beginning that is not shown again and again
GAP = " […] "  # stands where a text was shortened
Texts = tuple[str, str, str]  # answer, question, reference


def embedded(
    answers: Mapping[str, Sequence[Answer]], samples: Mapping[str, Sequence[Sample]]
) -> tuple[dict[str, Any], int | None]:
    """All answers for the page's script, and the length to which texts were shortened, if they were.

    A task without `samples` shows neither question nor reference.
    """
    texts = {task: _texts(own, samples.get(task, ())) for task, own in answers.items()}
    every = [text for own in texts.values() for three in own for text in three]
    longest = max(map(len, every), default=0)
    length = _length([len(text) for text in every])
    tasks = [_task(task, own, texts[task], length) for task, own in answers.items()]
    return {"full": FULL_MARK, "tasks": tasks}, length if length < longest else None


def script_json(value: object) -> str:
    """JSON that may stand inside a `<script>` element, whatever the texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def shorten(text: str, length: int) -> str:
    """A text's beginning and end: questions end with what is asked, and answers with the answer."""
    if len(text) <= length:
        return text
    keep = length - len(GAP)
    return text[: keep - keep // 2] + GAP + text[-(keep // 2) :]


def questions(samples: Sequence[Sample]) -> dict[str, str]:
    """What is asked in each row, by its id: the last turn, without a long beginning that all rows of a subset share."""
    subsets: dict[str | None, dict[str, str]] = defaultdict(dict)
    for sample in samples:
        subsets[sample.subset][sample.id] = sample.prompt.turns[-1].text if sample.prompt.turns else ""
    return {name: text for own in subsets.values() for name, text in _without_beginning(own).items()}


def _without_beginning(texts: Mapping[str, str]) -> dict[str, str]:
    shared = os.path.commonprefix(list(texts.values())) if len(texts) > 1 else ""  # noqa: RUF071 (letters are meant)
    cut = shared.rfind("\n") + 1
    return {name: GAP.lstrip() + text[cut:] for name, text in texts.items()} if cut >= SHARED else dict(texts)


def reference(sample: Sample) -> str:
    """What was expected, as text; nothing where there is no reference."""
    value = sample.reference
    if isinstance(value, str) or value is None:
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=vars, indent=1)


def _texts(answers: Sequence[Answer], samples: Sequence[Sample]) -> list[Texts]:
    asked, expected = questions(samples), {sample.id: reference(sample) for sample in samples}
    return [(each.text, asked.get(each.sample, ""), expected.get(each.sample, "")) for each in answers]


def _length(lengths: Sequence[int]) -> int:
    """The greatest length to which all texts may be shortened."""
    too_much = bisect_right(
        range(LONGEST), BUDGET, lo=SHORTEST, key=lambda length: sum(min(each, length) for each in lengths)
    )
    return too_much - 1 if too_much > SHORTEST else SHORTEST


def _task(task: str, answers: Sequence[Answer], texts: Sequence[Texts], length: int) -> dict[str, Any]:
    """A task's answers as rows: sample, subset's number, mark, tokens, whether the cap ended it, three texts."""
    subsets = sorted({answer.subset for answer in answers if answer.subset is not None})
    number = {subset: place for place, subset in enumerate(subsets)}
    rows = [
        [answer.sample, number.get(answer.subset or "", -1), answer.mark, answer.tokens, int(answer.finish == "length"),
         *(shorten(text, length) for text in three)]
        for answer, three in zip(answers, texts, strict=True)
    ]  # fmt: skip
    return {"name": TITLES.get(task, task), "subsets": subsets, "rows": rows}
