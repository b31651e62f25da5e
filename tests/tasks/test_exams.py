"""MMLU and C-Eval: the prompts of every subject and the letters found, by hashes that a real OpenCompass 0.3.1 made.

The rows, the answers and the golden hashes come from `benchmarks/exams.py`.
"""

import hashlib
import io
import json
import runpy
import tarfile
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

from edgelm.errors import BadFile
from edgelm.plugins import parse
from edgelm.report import FULL_MARK
from edgelm.tasks.base import protocol
from edgelm.tasks.exams import table

MADE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "exams.py"))
GOLDEN = {
    "mmlu": {
        "rows": 171,
        "base": "89fc3a2cee8ceed0673977c88dca483df8f13f66e21202800deb8bb319b98f02",
        "chat": "9518cce0c9ba5b9fdecfe64367f228ebaf2e4775475eafd0f046249090363f0f",
        "letters": "98b3e20e9e47f859669fc4839a3d43f3d2becbeb525e12f37f10dc576f74c082",
    },
    "ceval": {
        "rows": 156,
        "base": "e5a4dfe9ebe8e39e08011a97c05679b920b5bd3c60ab8dfa7f7f33a897148bb3",
        "chat": "9fcb06ac5c12444aa6976ea088265cb5665c68d60518d7bbd450578ee226e281",
        "letters": "b0ffd78b7f749275c2658bcf4e5d01623a35cec5694401b6492c1d9a2105fb43",
    },
}


def _archive(name, change=lambda member, content: content):
    """The synthetic rows of every subject, packed as upstream packs them; `change` may spoil or drop a member."""
    splits, rows = {"mmlu": (("dev", "test"), MADE["mmlu_rows"]), "ceval": (("dev", "val"), MADE["ceval_rows"])}[name]
    members = {f"{split}/{subject}_{split}.csv": MADE["as_csv"](rows(subject, split))
               for split in splits for subject in parse("tasks", name).hints}  # fmt: skip
    changed = {member: change(member, content) for member, content in members.items()}
    kept = {member: content for member, content in changed.items() if content is not None}
    return _tar(kept) if name == "mmlu" else _zip(kept)


def _tar(members):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for member, content in members.items():
            entry = tarfile.TarInfo(f"data/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def _zip(members):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return sink.getvalue()


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(params=GOLDEN)
def name(request):
    return request.param


@pytest.fixture
def exam(name, own):
    """A task, a suite of its own with synthetic rows, and the samples made of both."""

    def make(options="", **changes):
        task = parse("tasks", name + options)
        data = own({task.archive: _archive(name, **changes)})
        return task, data, task.samples(data)

    return make


def test_the_prompts_of_every_subject_are_those_of_opencompass(exam, name):
    task, _, samples = exam()
    assert len(samples) == GOLDEN[name]["rows"] == 3 * len(task.hints)
    assert [sample.index for sample in samples] == list(range(len(samples)))
    assert len({sample.id for sample in samples}) == len(samples)
    chats = [sample.prompt.messages() for sample in samples]
    assert _sha256("\0".join(sample.prompt.base_text() for sample in samples)) == GOLDEN[name]["base"]
    assert _sha256(json.dumps(chats, ensure_ascii=False)) == GOLDEN[name]["chat"]


def test_the_letters_found_are_those_of_opencompass(name):
    letters = list(map(parse("tasks", name).extract, MADE["answers"]()))
    assert len(letters) == 20_000 and set("ABCD") < set(letters)
    assert _sha256("\0".join(letters)) == GOLDEN[name]["letters"]


def test_a_free_answer_is_right_if_its_letter_is(exam):
    task, _, samples = exam()
    assert task.score(samples[0], f"{samples[0].reference}.") == FULL_MARK
    assert task.score(samples[0], "no letter at all") == task.score(samples[0], "") == 0


def test_the_score_is_the_mean_of_subjects_and_every_group_has_its_figure(exam, name):
    task, _, samples = exam()
    first = next(iter(task.hints))
    answers = [(s, s.reference if s.subset == first else "none") for s in samples] + [
        (samples[-1], samples[-1].reference)
    ]
    marks = {}
    for (sample, _), mark in zip(answers, task.score_all(answers), strict=True):
        marks.setdefault(sample.subset, []).append(mark)
    assert task.aggregate(marks) == Fraction(100 + 25, len(task.hints))
    figures = task.figures(answers)
    assert set(figures) == {f"{name}-{group}" for group in task.groups} | {f"{name}-weighted"}
    home = next(group for group, subjects in task.groups.items() if first in subjects)
    assert figures[f"{name}-{home}"] >= Fraction(100, len(task.groups[home]))
    assert figures[f"{name}-weighted"] == Fraction(400, len(answers))
    assert task.figures([]) == {f"{name}-weighted": 0} and task.aggregate({}) == 0


def test_every_subject_is_in_one_group_of_the_whole(name):
    task = parse("tasks", name)
    grouped = [subject for group, subjects in task.groups.items() if group != "hard" for subject in subjects]
    assert sorted(grouped) == sorted(task.hints) and len(grouped) == {"mmlu": 57, "ceval": 52}[name]
    assert set(task.groups.get("hard", ())) <= set(task.hints)


def test_letters_can_be_weighed_under_a_name_of_its_own(exam, name):
    task, data, samples = exam(":mode=likelihood")
    plain = parse("tasks", name)
    assert (task.label, task.version) == (f"{name}-likelihood", f"{plain.version}+likelihood-1")
    assert protocol(task, data) != protocol(plain, data)
    sample, asked = samples[0], plain.samples(data)[0]
    assert sample.choices == ("A", "B", "C", "D") and not asked.choices
    assert sample.prompt.base_text() == asked.prompt.base_text() + "\n"
    place = "ABCD".index(sample.reference)
    logs = [-2.0, -2.0, -2.0, -2.0]
    logs[place] = -1.0
    assert task.score(sample, json.dumps(logs)) == FULL_MARK
    logs[place] = -3.0
    assert task.score(sample, json.dumps(logs)) == 0


@pytest.mark.parametrize("spoil", [
    lambda member, content: None if "law" in member else content,
    lambda member, content: content.replace(b",A\n", b",F\n"),
    lambda member, content: content.splitlines(keepends=True)[0] if member.startswith("dev") else content,
    lambda member, content: b"one,two\nthree,four\n",
    lambda member, content: b"\xff\xfe" + content,
    lambda member, content: b"",
])  # fmt: skip
def test_an_archive_that_is_not_upstreams_is_named(exam, spoil):
    with pytest.raises(BadFile) as caught:
        exam(change=spoil)
    assert caught.value.mend


def test_what_is_no_archive_is_named(name, own):
    task = parse("tasks", name)
    with pytest.raises(BadFile, match="no sound"):
        task.samples(own({task.archive: b"<html>"}))


def test_line_ends_inside_a_cell_are_newlines():
    assert table(b'"a\r\nb",c\r\n', "x") == [["a\nb", "c"]]
