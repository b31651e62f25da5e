"""LongBench: questions about long texts, summaries, examples, code; 21 subsets in English and Chinese."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from edgelm.chat import ask
from edgelm.data.folder import DataFolder, json_lines
from edgelm.errors import BadFile, Offline
from edgelm.files import parse_json, sha256_bytes
from edgelm.report import FULL_MARK, mean_percent
from edgelm.tasks import chinese
from edgelm.tasks import longbench_metrics as metrics
from edgelm.tasks.base import Row, Sample, field, fill, mean
from edgelm.tasks.fixed import TwoScorers
from edgelm.tasks.longbench_metrics import Metric, Reference
from edgelm.tasks.longbench_subsets import SUBSETS, Subset
from edgelm.tasks.parts import PLACES, part, require_subsets

PROMPTS = "longbench/config/dataset2prompt.json"
ARCHIVE = "longbench/data.zip"  # upstream's rows, all in one
CHINESE = (metrics.f1_chinese, metrics.rouge_chinese)
# Where the original is unfair: classes that are never looked at, and long answers that count as wrong.
FIXED: dict[Metric, Metric] = {
    metrics.classification: metrics.classification_fixed,
    metrics.rouge_english: partial(metrics.rouge_english, most_steps=None),
    metrics.rouge_chinese: partial(metrics.rouge_chinese, most_steps=None),
}


@dataclass(frozen=True)
class LongBench(TwoScorers):
    """As OpenCompass 0.3.1 asks and marks it; the score is the mean of six categories, each the mean of its subsets.

    `scorer=fixed` marks long summaries, which the original counts as wrong, and looks at all classes that an answer
    names.

    Attributes:
        subsets: asks some subsets alone, as a task of another name.
    """

    subsets: tuple[str, ...] = ()

    max_tokens = 512
    stop = ()

    def __post_init__(self) -> None:
        require_subsets(self.subsets, tuple(SUBSETS), "LongBench")

    @property
    def name(self) -> str:
        """`longbench` is all of it; a part is called by its subsets, so that it is never taken for the whole."""
        return f"longbench{part(self.subsets, tuple(SUBSETS))}"

    @property
    def official(self) -> str:
        """The beginning of the sha256 of the 21 lines `name hash`, with the subsets if only some are asked."""
        lines = "\n".join(f"{subset.name} {subset.hash}" for subset in SUBSETS.values())
        return f"longbench-{sha256_bytes(lines.encode())[:6]}{part(self.subsets, tuple(SUBSETS))}"

    def _chosen(self, data: DataFolder) -> list[Subset]:
        """The subsets asked for that the data has; if it has none, all, so that what is missing is named."""
        asked = [subset for subset in SUBSETS.values() if subset.name in (self.subsets or SUBSETS)]
        return [subset for subset in asked if self.subsets or _file(subset, data) in data.names] or asked

    def files(self, data: DataFolder) -> list[str]:
        """The prompts and the rows."""
        return [PROMPTS, *dict.fromkeys(_file(subset, data) for subset in self._chosen(data))]

    def samples(self, data: DataFolder) -> list[Sample]:
        """All rows of one subset after the other; the references are `Reference`s.

        Raises:
            MissingPackage: Chinese is asked and jieba is not installed; said before anything is answered.
        """
        chosen = self._chosen(data)
        if any(subset.metric in CHINESE for subset in chosen):
            chinese.segmenter()
        prompts, rows = _prompts(data), _rows(chosen, data)
        return [sample for subset in chosen for sample in _samples(subset, prompts, rows[subset.name])]

    def score(self, sample: Sample, answer: str) -> int:
        """What the subset's metric says, which is a share of a full mark."""
        subset = SUBSETS[sample.subset or ""]
        metric = subset.metric if self.scorer == "official" else FIXED.get(subset.metric, subset.metric)
        told = answer.lstrip("\n").partition("\n")[0] if subset.first_line else answer
        return round(metric(told, sample.reference) * FULL_MARK)

    def aggregate(self, marks: Mapping[str | None, Sequence[int]]) -> Fraction:
        """The mean of the categories, in percent; what has no marks is left out."""
        categories: dict[str, list[Fraction]] = defaultdict(list)
        for name, own in marks.items():
            categories[SUBSETS[name or ""].category].append(mean_percent(own))
        return mean([mean(scores) for scores in categories.values()])

    def figures(self, rows: Sequence[Row]) -> dict[str, Fraction]:
        """The mean of each category's and each language's subsets, in percent; of whole groups alone."""
        marks: dict[str | None, list[int]] = defaultdict(list)
        for sample, answer in rows:
            marks[sample.subset].append(self.score(sample, answer))
        groups: dict[str, list[str]] = defaultdict(list)
        for subset in SUBSETS.values():
            for group in subset.groups:
                groups[group].append(subset.name)
        whole = {group: names for group, names in groups.items() if marks.keys() >= set(names)}
        return {group: mean([mean_percent(marks[name]) for name in names]) for group, names in whole.items()}


def _file(subset: Subset, data: DataFolder) -> str:
    """Where a subset's rows are: in a file of their own, or upstream's archive."""
    alone = subset.file in data.names and data.here(subset.file)
    return ARCHIVE if data.upstream and not alone else subset.file


def _prompts(data: DataFolder) -> dict[str, str]:
    prompts = parse_json(data.read(PROMPTS), PROMPTS)
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise BadFile(f"{PROMPTS} is no table of prompts", mend="write {subset: prompt}")
    return prompts


def _rows(chosen: Sequence[Subset], data: DataFolder) -> dict[str, list[dict[str, Any]]]:
    """The rows of each subset; the archive is opened once."""
    rows = {each.name: data.jsonl(each.file) for each in chosen if _file(each, data) != ARCHIVE}
    packed = [each.name for each in chosen if each.name not in rows]
    if packed:
        try:
            archive = data.read(ARCHIVE)
        except Offline as error:
            if rows:
                error.mend += f"; or ask the subsets that are here alone: longbench:subsets={'+'.join(rows)}"
            raise
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            for name in packed:
                rows[name] = json_lines(opened.read(f"data/{name}.jsonl"), f"{name}.jsonl of {ARCHIVE}")
    return rows


def _samples(subset: Subset, prompts: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[Sample]:
    try:
        template = subset.prompt(prompts)
    except KeyError as error:
        raise BadFile(f"{PROMPTS} has no prompt {error}", mend=f"write it: {subset.name} is asked by it") from None
    first, labels = list(SUBSETS).index(subset.name) * PLACES, subset.metric is metrics.classification
    samples = []
    for number, row in enumerate(rows):
        where = f"row {number + 1} of {subset.name}.jsonl"
        reference = Reference(_texts(row, "answers", where), _texts(row, "all_classes", where) if labels else ())
        columns = {"input": field(row, "input", where), "context": field(row, "context", where)}
        columns["all_labels" if labels else "answers"] = ""
        samples.append(Sample(f"longbench-{subset.name}-{number}", first + number, ask(fill(template, columns)),
                              reference, subset.name, subset.max_tokens))  # fmt: skip
    return samples


def _texts(row: Mapping[str, Any], column: str, where: str) -> tuple[str, ...]:
    texts = field(row, column, where, list)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadFile(f"{where}: '{column}' is no list of texts", mend="use the upstream format")
    return tuple(texts)
