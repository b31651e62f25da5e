"""The 21 subsets of LongBench as OpenCompass 0.3.1 configures them: prompts, caps, metrics, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgelm.tasks import longbench_metrics as metrics
from edgelm.tasks.longbench_metrics import Metric

ONE, MANY, SUMMARY = "single-document-qa", "multi-document-qa", "summarization"
SHOTS, MADE, CODE = "few-shot-learning", "synthetic-tasks", "code-completion"


@dataclass(frozen=True)
class Subset:
    """One of the 21; `hash` is the version of its configuration, `max_tokens` its cap."""

    name: str
    hash: str
    max_tokens: int
    metric: Metric
    category: str
    language: Literal["en", "zh", "code"]
    first_line: bool = False  # whether only the answer's first line counts

    @property
    def file(self) -> str:
        """The file of its rows."""
        return f"longbench/full/{self.name}.jsonl"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that it counts in, by their official names: its category and its language; code is in both."""
        languages = ("zh", "en") if self.language == "code" else (self.language,)
        return tuple(f"longbench_{group}" for group in (self.category, *languages))

    def prompt(self, prompts: Mapping[str, str]) -> str:
        """Its prompt, made from upstream's, three of which OpenCompass changes.

        Raises:
            KeyError: upstream's is not there.
        """
        if self.name == "narrativeqa":
            return prompts["narrativeqa"].replace("asconcisely", "as concisely")
        if self.name == "multi_news":
            return prompts["multi_news"] + "\n"
        return prompts["hotpotqa" if self.name == "qasper" else self.name]


_ALL = (
    Subset("narrativeqa", "a68305", 128, metrics.f1_english, ONE, "en"),
    Subset("qasper", "6b3efc", 32, metrics.f1_english, ONE, "en"),
    Subset("multifieldqa_en", "d3838e", 64, metrics.f1_english, ONE, "en"),
    Subset("multifieldqa_zh", "e9a7ef", 64, metrics.f1_chinese, ONE, "zh"),
    Subset("hotpotqa", "6b3efc", 32, metrics.f1_english, MANY, "en"),
    Subset("2wikimqa", "6b3efc", 32, metrics.f1_english, MANY, "en"),
    Subset("musique", "6b3efc", 32, metrics.f1_english, MANY, "en"),
    Subset("dureader", "c6c7e4", 128, metrics.rouge_chinese, MANY, "zh"),
    Subset("gov_report", "54c5b0", 512, metrics.rouge_english, SUMMARY, "en"),
    Subset("qmsum", "d33331", 512, metrics.rouge_english, SUMMARY, "en"),
    Subset("multi_news", "6f9da9", 512, metrics.rouge_english, SUMMARY, "en"),
    Subset("vcsum", "f7a8ac", 512, metrics.rouge_chinese, SUMMARY, "zh"),
    Subset("trec", "824187", 64, metrics.classification, SHOTS, "en", first_line=True),
    Subset("triviaqa", "d30cb9", 32, metrics.f1_english, SHOTS, "en", first_line=True),
    Subset("samsum", "f4416d", 128, metrics.rouge_english, SHOTS, "en", first_line=True),
    Subset("lsht", "e8a339", 64, metrics.classification, SHOTS, "zh", first_line=True),
    Subset("passage_count", "dcdaab", 32, metrics.count, MADE, "en"),
    Subset("passage_retrieval_en", "734db5", 32, metrics.retrieval_english, MADE, "en"),
    Subset("passage_retrieval_zh", "01cca2", 32, metrics.retrieval_chinese, MADE, "zh"),
    Subset("lcc", "6ba507", 64, metrics.code_similarity, CODE, "code"),
    Subset("repobench-p", "6df953", 64, metrics.code_similarity, CODE, "code"),
)
SUBSETS = {subset.name: subset for subset in _ALL}
