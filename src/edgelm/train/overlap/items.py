"""The rows of the seven benchmarks as texts to look for in training data: questions, choices, answers, contexts."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelm.data.folder import DataFolder, gunzipped, json_lines
from edgelm.errors import BadFile, MissingInput, Offline
from edgelm.files import parse_json
from edgelm.tasks import bbh, commonsenseqa, gsm8k, humaneval, longbench, truthfulqa
from edgelm.tasks.base import field
from edgelm.tasks.longbench_subsets import SUBSETS

LETTERS = "ABCDEFG"
MARKS = ("", "A", "Answer", "答")  # what people write between a question and its answer
_SUM = re.compile(r"<<[^<>]*>>")  # GSM8K's notes for a calculator, which most copies leave out


@dataclass(frozen=True)
class Item:
    """A row of a benchmark, in the forms in which its text may stand in a document.

    Attributes:
        benchmark: the name of the task.
        name: the file and the number of the row in it, from 1.
        texts: question, choices and answer; the first is what is left of the row when all else is common to many rows.
        contexts: long texts that the question is about, of which only long passages count.
    """

    benchmark: str
    name: str
    texts: tuple[str, ...]
    contexts: tuple[str, ...] = ()


Rows = Iterator[tuple[str, Mapping[str, Any]]]  # where each row stands, and the row


@dataclass(frozen=True)
class Part:
    """A file of a benchmark: its name in a data folder, how rows are read from it, and the texts of a row."""

    benchmark: str
    file: str
    rows: Callable[[DataFolder, str], Rows]
    item: Callable[[str, Mapping[str, Any]], tuple[tuple[str, ...], tuple[str, ...]]]

    def items(self, data: DataFolder) -> Iterator[Item]:
        """The items of the file.

        Raises:
            BadFile: it is damaged, another edition than the pinned one, or a row lacks a column.
        """
        for where, row in self.rows(data, self.file):
            texts, contexts = self.item(where, row)
            yield Item(self.benchmark, where, texts, contexts)


def parts(data: DataFolder) -> tuple[list[Part], list[str]]:
    """The files with rows that can be scored and that are at hand, and the names of those that are not.

    Nothing is fetched. A benchmark of which no file is there is named alone. A suite of its own lacks what it has
    nothing of: which files it has is its own affair.
    """
    data = DataFolder(data.root, offline=True)
    here, gone = [], []
    for part in _ALL:
        found = _found(part, data)
        here += [found] if found else []
        gone += [] if found else [part]
    names = {part.benchmark for part in here}
    absent = [
        f"{part.benchmark}/{Path(part.file).stem}" if part.benchmark in names else part.benchmark for part in gone
    ]
    if not data.upstream:
        absent = [name for name in absent if "/" not in name]
    return here, list(dict.fromkeys(absent))


def _found(part: Part, data: DataFolder) -> Part | None:
    """The part if its file is at hand; a subset of LongBench may lie in upstream's archive."""
    if part.file in data.names and _is_here(part.file, data):
        return part
    if part.benchmark == "longbench" and longbench.ARCHIVE in data.names and _is_here(longbench.ARCHIVE, data):
        return Part(part.benchmark, part.file, _archived, part.item)
    return None


def _is_here(name: str, data: DataFolder) -> bool:
    try:
        return data.path(name).is_file()
    except (MissingInput, Offline):
        return False


# How rows are read


def _numbered(file: str, rows: Any) -> Rows:
    return ((f"{file}:{number}", row) for number, row in enumerate(rows, 1))


def _jsonl(data: DataFolder, file: str) -> Rows:
    return _numbered(file, data.jsonl(file))


def _gzipped(data: DataFolder, file: str) -> Rows:
    return _numbered(file, json_lines(gunzipped(data.read(file), file, "fetch it again: edgelm data pull"), file))


def _examples(data: DataFolder, file: str) -> Rows:
    return _numbered(file, field(parse_json(data.read(file), file), "examples", file, list))


def _table(data: DataFolder, file: str) -> Rows:
    try:
        text = io.StringIO(data.read(file).decode("utf-8-sig"), newline="")
        rows = list(csv.DictReader(text, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadFile(f"{file} is no table", why=str(error), mend="use the upstream format") from None
    return _numbered(file, rows)


def _archived(data: DataFolder, file: str) -> Rows:
    member = f"data/{file.rpartition('/')[2]}"
    with zipfile.ZipFile(io.BytesIO(data.read(longbench.ARCHIVE))) as archive:
        return _numbered(file, json_lines(archive.read(member), f"{member} of {longbench.ARCHIVE}"))


# What of a row enters

Texts = tuple[tuple[str, ...], tuple[str, ...]]


def _commonsenseqa(where: str, row: Mapping[str, Any]) -> Texts:
    stem, label = field(row, "question.stem", where), field(row, "answerKey", where)
    listed = field(row, "question.choices", where, list)
    choices = {field(each, "label", where): field(each, "text", where) for each in listed}
    lettered = " ".join(f"{letter} {text}" for letter, text in choices.items())
    return (stem, f"{stem} {' '.join(choices.values())} {choices.get(label, '')}", f"{stem} {lettered}", lettered), ()


def _bbh(where: str, row: Mapping[str, Any]) -> Texts:
    asked, target = field(row, "input", where), field(row, "target", where)
    return (f"{asked} {target}", asked), ()


def _gsm8k(where: str, row: Mapping[str, Any]) -> Texts:
    question, answer = field(row, "question", where), field(row, "answer", where)
    return (question, f"{question} {answer}", f"{question} {_SUM.sub('', answer)}"), ()


def _humaneval(where: str, row: Mapping[str, Any]) -> Texts:
    return (field(row, "prompt", where) + field(row, "canonical_solution", where),), ()


def _truthfulqa(where: str, row: Mapping[str, Any]) -> Texts:
    question, *lists = (field(row, column, where) for column in truthfulqa.COLUMNS)
    answers = [answer for each in lists for answer in each.split(";") if answer.strip()]
    return (question, " ".join((question, *lists)), *_answered(question, answers)), ()


def _chid(where: str, row: Mapping[str, Any]) -> Texts:
    content, idioms, answer = (field(row, *column) for column in (
        ("content", where), ("candidates", where, list), ("answer", where, int)))  # fmt: skip
    right = idioms[answer] if answer in range(len(idioms)) else ""
    lettered = " ".join(f"{letter} {idiom}" for letter, idiom in zip(LETTERS, idioms, strict=False))
    gap = content.replace("#idiom#", "__")
    return (content.replace("#idiom#", right), gap, f"{gap} {' '.join(idioms)} {right}", f"{gap} {lettered}"), ()


def _longbench(where: str, row: Mapping[str, Any]) -> Texts:
    asked, context = field(row, "input", where), field(row, "context", where)
    answers = [answer for answer in field(row, "answers", where, list) if isinstance(answer, str)]
    return (asked, f"{asked} {' '.join(answers)}", *_answered(asked, answers)), (context,)


def _answered(question: str, answers: Sequence[str]) -> list[str]:
    """The question with each answer: a question of few words can be found by that alone."""
    return [f"{question} {mark} {answer}" for answer in answers for mark in MARKS]


_ALL = (
    *(Part("commonsenseqa", file, _jsonl, _commonsenseqa)
      for file in (commonsenseqa.ROWS, "commonsenseqa/train_rand_split.jsonl")),
    *(Part("bbh", f"bbh/tasks/{name}.json", _examples, _bbh) for name in bbh.SETS),
    *(Part("gsm8k", file, _jsonl, _gsm8k) for file in (gsm8k.ROWS, "gsm8k/train.jsonl")),
    Part("humaneval", humaneval.ROWS, _gzipped, _humaneval),
    Part("truthfulqa", truthfulqa.ROWS, _table, _truthfulqa),
    *(Part("chid", f"chid/{name}.json", _jsonl, _chid) for name in ("test_public", "dev_few_all", "train_few_all")),
    *(Part("longbench", subset.file, _jsonl, _longbench) for subset in SUBSETS.values()),
)  # fmt: skip
BENCHMARKS = tuple(dict.fromkeys(part.benchmark for part in _ALL))
