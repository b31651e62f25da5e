"""Marks are those of a real OpenCompass 0.3.1, recorded for answers that decide how a scorer reads.

`benchmarks/parity_golden.py` made them, of rows and answers that are our own.
"""

import gzip
import json
from pathlib import Path

import pytest

from edgelm.errors import MissingPackage, Unsupported
from edgelm.plugins import parse
from edgelm.report import FULL_MARK

GOLDEN = sorted((Path(__file__).parent / "golden_marks").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_marks_are_those_of_a_real_opencompass(own, path):
    golden = json.loads(path.read_bytes())
    task, rows = parse("tasks", golden["task"]), _rows(golden, own)
    _require_sandbox(task)
    marks = task.score_all(rows)
    wrong = [
        (sample, answer, ours, theirs)
        for (sample, answer, theirs, *_), ours in zip(golden["marks"], marks, strict=True)
        if ours != pytest.approx(FULL_MARK * (theirs or 0), abs=0.5001)  # None: left out there, and wrong here
    ]
    assert not wrong
    assert {0, FULL_MARK} <= {*marks}, "answers of every kind"


def test_the_figures_of_truthfulqa_are_those_of_a_real_opencompass(own):
    golden = json.loads((Path(__file__).parent / "golden_marks/truthfulqa.json").read_bytes())
    task = parse("tasks", "truthfulqa")
    for row, (*_, mark, near, distance) in zip(_rows(golden, own), golden["marks"], strict=True):
        if mark is None:
            assert task.figures([row]) == {}
        else:
            wanted = {"bleu_max": near, "bleu_diff": distance, "bleu_acc": mark}
            assert {name: float(value) for name, value in task.figures([row]).items()} == {
                name: round(value, 4) for name, value in wanted.items()
            }


def _rows(golden, own):
    """The golden answers with their samples, which are made of the golden files."""
    data = own({
        name: gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        for name, text in golden["files"].items()
    })  # fmt: skip
    try:
        samples = {sample.id: sample for sample in parse("tasks", golden["task"]).samples(data)}
    except MissingPackage as error:
        pytest.skip(str(error))
    return [(samples[sample], answer) for sample, answer, *_ in golden["marks"]]


def _require_sandbox(task):
    try:
        task.conditions()
    except Unsupported as error:
        pytest.skip(str(error))
