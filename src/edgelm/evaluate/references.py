"""Scores that others published by the same protocol: the starting kit's two models, and OpenCompass's base models.

Percent. Left out are figures by another edition of a task (CommonsenseQA `c946f2`, TruthfulQA by ROUGE).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgelm.chat import Prompting
from edgelm.evaluate.official import is_official
from edgelm.report import TaskScore


@dataclass(frozen=True)
class Reference:
    """One published model: how it was asked, and its scores by task."""

    name: str
    prompting: Prompting
    scores: dict[str, float]


REFERENCES = (
    Reference("Llama-3.1-8B-Instruct", "chat", {
        "commonsenseqa": 72.89, "chid": 69.43, "humaneval": 68.29, "gsm8k": 84.38, "truthfulqa": 28, "bbh": 67.92,
    }),
    Reference("Qwen2-7B-Instruct", "chat", {
        "commonsenseqa": 33.58, "chid": 81.72, "humaneval": 78.05, "gsm8k": 81.12, "truthfulqa": 23, "bbh": 64.09,
    }),
    Reference("phi-2", "base", {"humaneval": 30.49, "gsm8k": 62.40, "chid-dev": 12.87, "chid": 14.34, "bbh": 59.50}),
    Reference("Meta-Llama-3-8B", "base", {
        "humaneval": 26.22, "gsm8k": 55.80, "chid-dev": 40.59, "chid": 36.66, "bbh": 61.62,
    }),
    Reference("Qwen2-7B", "base", {"commonsenseqa": 65.19}),
)  # fmt: skip


def beside(task: str, score: TaskScore) -> dict[str, float]:
    """The published scores that a score may stand beside: same task, official protocol, asked the same way."""
    if not is_official(score):
        return {}
    return {each.name: each.scores[task] for each in REFERENCES
            if each.prompting == score.prompting and task in each.scores}  # fmt: skip
