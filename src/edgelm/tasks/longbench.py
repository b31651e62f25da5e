"""LongBench: questions about long texts, summaries, examples, code; 21 subsets in English and Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Literal

from edgelm.chat import ask
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, MissingInput, UnknownName
from edgelm.files import parse_json, sha256_bytes
from edgelm.report import FULL_MARK, mean_percent
from edgelm.tasks import chinese
from edgelm.tasks import longbench_metrics as metrics
from edgelm.tasks.base import Benchmark, Row, Sample, field, fill
from edgelm.tasks.longbench_metrics import Metric, Reference

PROMPTS = "longbench/config/dataset2prompt.json"


@dataclass(frozen=True)
class Subset:
    """One of the 21 as OpenCompass configures it: `hash` is its version there, `max_tokens` its cap."""

    name: str
    hash: str
    max_tokens: int
    metric: Metric
    category: str
    language: Literal["en", "zh", "code"]
    first_line: bool = False  # whether only the answer's first line counts
    prompt: Callable[[Mapping[str, str]], str] | None = None  # from upstream's prompts, if not the one of its name

    @property
    def file(self) -> str:
        """The file of its rows."""
        return f"longbench/full/{self.name}.jsonl"


ONE, MANY, SUMMARY = "single-document-qa", "multi-document-qa", "summarization"
SHOTS, MADE, CODE = "few-shot-learning", "synthetic-tasks", "code-completion"
SUBSETS = {subset.name: subset for subset in (
    Subset("narrativeqa", "a68305", 128, metrics.f1_english, ONE, "en",
           prompt=lambda all_: all_["narrativeqa"].replace("asconcisely", "as concisely")),
    Subset("qasper", "6b3efc", 32, metrics.f1_english, ONE, "en", prompt=lambda all_: all_["hotpotqa"]),
    Subset("multifieldqa_en", "d3838e", 64, metrics.f1_english, ONE, "en"),
    Subset("multifieldqa_zh", "e9a7ef", 64, metrics.f1_chinese, ONE, "zh"),
    Subset("hotpotqa", "6b3efc", 32, metrics.f1_english, MANY, "en"),
    Subset("2wikimqa", "6b3efc", 32, metrics.f1_english, MANY, "en"),
    Subset("musique", "6b3efc", 32, metrics.f1_english, MANY, "en"),
    Subset("dureader", "c6c7e4", 128, metrics.rouge_chinese, MANY, "zh"),
    Subset("gov_report", "54c5b0", 512, metrics.rouge_english, SUMMARY, "en"),
    Subset("qmsum", "d33331", 512, metrics.rouge_english, SUMMARY, "en"),
    Subset("multi_news", "6f9da9", 512, metrics.rouge_english, SUMMARY, "en",
           prompt=lambda all_: all_["multi_news"] + "\n"),
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
)}  # fmt: skip
EVERYTHING = tuple(SUBSETS.values())
# Where the original is unfair: classes that are never looked at, and long answers that count as wrong.
FIXED: dict[Metric, Metric] = {
    metrics.classification: metrics.classification_fixed,
    metrics.rouge_english: partial(metrics.rouge_english, most_steps=None),
    metrics.rouge_chinese: partial(metrics.rouge_chinese, most_steps=None),
}


@dataclass(frozen=True)
class LongBench(Benchmark):
    """As OpenCompass 0.3.1 asks and marks it, all subsets or some of them. The score is the mean of the categories."""

    subsets: tuple[str, ...] = ()
    scorer: Literal["official", "fixed"] = "official"

    max_tokens = 512
    stop = ()

    def __post_init__(self) -> None:
        for name in self.subsets:
            if name not in SUBSETS:
                raise UnknownName("subset of LongBench", name, SUBSETS)

    @property
    def chosen(self) -> tuple[Subset, ...]:
        """The subsets that are asked, in OpenCompass's order."""
        return tuple(each for each in EVERYTHING if each.name in self.subsets) or EVERYTHING

    @property
    def _name(self) -> str:
        return "-".join(["longbench", *(each.name for each in self.chosen if self.chosen != EVERYTHING)])

    @property
    def label(self) -> str:
        """`longbench`, with the names of the subsets if it is not all of them."""
        return self._name if self.scorer == "official" else f"{self._name}-fixed"

    @property
    def version(self) -> str:
        """The label with the beginning of a sha256 over the lines `name hash` of all subsets asked."""
        lines = "\n".join(f"{each.name} {each.hash}" for each in self.chosen)
        version = f"{self._name}-{sha256_bytes(lines.encode())[:6]}"
        return version if self.scorer == "official" else f"{version}+fixed-1"

    def files(self, data: DataFolder) -> list[str]:
        """The prompts and the rows."""
        return [PROMPTS, *(each.file for each in self.chosen)]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows, subset by subset; the reference is a `Reference`.

        Raises:
            MissingInput: nobody has published the digest of a subset's file, or the suite has none.
            MissingPackage: the metric of a subset needs one; said before anything is asked.
        """
        _require_files(self.chosen, data)
        if any(each.metric in (metrics.f1_chinese, metrics.rouge_chinese) for each in self.chosen):
            chinese.segmenter()
        prompts = _prompts(data)
        samples: list[Sample] = []
        for each in self.chosen:
            template = _template(each, prompts)
            for number, row in enumerate(data.jsonl(each.file)):
                where = f"row {number + 1} of {each.file}"
                samples.append(_sample(each, template, row, where, f"longbench-{each.name}-{number}", len(samples)))
        return samples

    def score(self, sample: Sample, answer: str) -> int:
        """What the subset's metric says, rounded to a millionth."""
        subset = SUBSETS[sample.subset or ""]
        metric = subset.metric if self.scorer == "official" else FIXED.get(subset.metric, subset.metric)
        return round(metric(_first_line(answer) if subset.first_line else answer, sample.reference) * FULL_MARK)

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The mean of the categories' means of their subsets' means; what has no row is left out."""
        scores = {name: mean_percent(own) for name, own in marks.items()}
        categories = (
            [scores[each.name] for each in self.chosen if each.category == category and each.name in scores]
            for category in dict.fromkeys(each.category for each in self.chosen)
        )
        return _mean([_mean(own) for own in categories if own])

    def figures(self, rows: Sequence[Row]) -> dict[str, Fraction]:
        """The mean over the subsets of each category and of each language; of those alone that are all there.

        Code counts as either language.
        """
        marks: dict[str | None, list[int]] = {}
        for (sample, _), mark in zip(rows, self.score_all(rows), strict=True):
            marks.setdefault(sample.subset, []).append(mark or 0)
        groups: dict[str, list[str]] = {}
        for each in EVERYTHING:
            languages = ["zh", "en"] if each.language == "code" else [each.language]
            for group in (each.category, *languages):
                groups.setdefault(f"longbench_{group}", []).append(each.name)
        return {
            group: _mean([mean_percent(marks[name]) for name in names])
            for group, names in groups.items() if marks.keys() >= set(names)
        }  # fmt: skip


def _require_files(chosen: Sequence[Subset], data: DataFolder) -> None:
    """Name what the data folder cannot have, and what can be asked without it."""
    lacking = [each for each in chosen if each.file not in data.names]
    if not lacking:
        return
    files = ", ".join(each.file for each in lacking)
    rest = "+".join(each.name for each in EVERYTHING if each.file in data.names)
    why = (f"the sha256 of {'it' if len(lacking) == 1 else 'them'} is not known here, so that other rows could pass"
           if data.upstream else "suite.json does not list them")  # fmt: skip
    ask_rest = f"ask what there is: longbench:subsets={rest}; or " if rest else ""
    raise MissingInput(
        f"{'upstream data' if data.upstream else f'the suite {data.suite}'} cannot hold {files}", why=why,
        mend=f"{ask_rest}place the files of THUDM/LongBench's data.zip under these names, with {PROMPTS}, in a folder "
             "whose suite.json lists their sha256",
    )  # fmt: skip


def _prompts(data: DataFolder) -> dict[str, str]:
    prompts = parse_json(data.read(PROMPTS), PROMPTS)
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise BadFile(f"{PROMPTS} is no table of prompts", mend="write {subset: prompt}")
    return prompts


def _template(subset: Subset, prompts: Mapping[str, str]) -> str:
    try:
        return subset.prompt(prompts) if subset.prompt else prompts[subset.name]
    except KeyError as error:
        raise BadFile(f"{PROMPTS} has no prompt {error}", mend=f"{subset.name} is asked by it") from None


def _sample(subset: Subset, template: str, row: dict[str, Any], where: str, identity: str, index: int) -> Sample:
    classify = subset.metric is metrics.classification
    answers = _texts(row, "answers", where)
    reference = Reference(answers, _texts(row, "all_classes", where) if classify else ())
    columns = {"input": field(row, "input", where), "context": field(row, "context", where)}
    columns["all_labels" if classify else "answers"] = ""
    prompt = ask(fill(template, columns))
    return Sample(identity, index, prompt, reference, subset.name, subset.max_tokens)


def _texts(row: dict[str, Any], column: str, where: str) -> tuple[str, ...]:
    texts = field(row, column, where, list)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadFile(f"{where}: '{column}' is no list of texts", mend="use the upstream format")
    return tuple(texts)


def _first_line(answer: str) -> str:
    return answer.lstrip("\n").partition("\n")[0]


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values) if values else Fraction(0)
