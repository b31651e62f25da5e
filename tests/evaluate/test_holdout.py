"""A hold-out from end to end: every kind of pack and a task file, asked by the plain engine; references stay behind."""

import json
from fractions import Fraction

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.evaluate.keep import LOGS
from edgelm.evaluate.questions import Selection, questions
from edgelm.evaluate.run import evaluate
from edgelm.files import JsonLog, tree_files
from edgelm.plugins import parse
from edgelm.report import read_answers
from edgelm.tasks.holdout.load import holdout_tasks

ROWS = 4
TASK_FILE = '''"""Which word comes back."""

from dataclasses import dataclass

from edgelm.chat import ask
from edgelm.tasks.base import Benchmark, Sample, field


@dataclass(frozen=True)
class Echo(Benchmark):
    label = "echo"
    version = "echo-1"
    max_tokens = 3
    stop = ()

    def files(self, data):
        return ["echo.jsonl"]

    def samples(self, data):
        rows = enumerate(data.jsonl("echo.jsonl"))
        return [Sample(f"echo-{n}", n, ask(field(row, "q", "row")), field(row, "answer", "row")) for n, row in rows]

    def score(self, sample, answer):
        return 1_000_000 * (sample.reference in answer)
'''


def _write(folder, references):
    """A hold-out whose references are made by `references(kind, row number)`."""
    packs = {
        "ethics": {"kind": "choice", "prompt": "{q}\n{choices}\nAnswer:", "max_tokens": 3},
        "facts": {"kind": "free", "prompt": "{q}", "max_tokens": 3, "subset": "topic", "average": "subsets"},
        "program": {"kind": "code", "prompt": "{q}", "max_tokens": 3, "program": 'r"""{answer} """\n{test}\n'},
        "sense": {"kind": "likelihood", "prompt": "{q}", "by": "byte"},
    }
    folder.mkdir()
    for name, pack in packs.items():
        (folder / f"{name}.json").write_text(json.dumps(pack))
        rows = [{"q": f"{name} {n}?", "choices": ["yes", "no", "it depends"], "topic": "ab"[n % 2],
                 "answer": references(name, n), "test": references(name, n)} for n in range(ROWS)]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "echo.py").write_text(TASK_FILE)
    rows = [json.dumps({"q": f"Say {n}", "answer": references("echo", n)}) for n in range(ROWS)]
    (folder / "echo.jsonl").write_text("\n".join(rows))
    return holdout_tasks(folder, confinement="none")


def _first(kind, number):
    return {"ethics": "A", "sense": 0, "program": "zebra = 1"}.get(kind, f"xylophone{number}")


def _second(kind, number):
    return {"ethics": "C", "sense": "B", "program": "raise SystemExit('zebra')"}.get(kind, f"zither{number}")


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint):
    folder = make_checkpoint("llama", num_hidden_layers=1, hidden_size=32, intermediate_size=32)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(1, 300, 3))}))
    return Checkpoint(folder)


@pytest.fixture(scope="module")
def runs(checkpoint, tmp_path_factory):
    """Two hold-outs that differ in their references alone, each asked into a report folder."""
    found = []
    for name, references in (("first", _first), ("second", _second)):
        folder = tmp_path_factory.mktemp(name)
        tasks = _write(folder / "secret", references)
        report = evaluate(checkpoint, tasks, parse("engines", "hf:batch=2"), folder / "report")
        found.append((folder / "report", tasks, report))
    return found


def test_every_kind_is_asked_and_scored(runs):
    for _, tasks, report in runs:
        digest = tasks[0][1].digest()[:8]
        assert set(report.tasks) == {"echo", "ethics", "facts", "program", "sense"}
        for label, score in report.tasks.items():
            assert score.protocol == f"holdout/{label}-{digest}" and score.complete and score.samples == ROWS
        assert set(report.tasks["facts"].subsets) == {"a", "b"}
        assert "NONE" in report.tasks["program"].conditions["sandbox"]
    first, second = (report.tasks for _, _, report in runs)
    assert first["program"].score == 100 and second["program"].score == 0
    assert first["sense"].score + second["sense"].score <= 100
    assert 0 <= first["ethics"].score <= 100 and first["facts"].score == Fraction(0)


def test_what_is_asked_does_not_depend_on_the_references(runs):
    asked = [
        [questions(task, data, Selection(), {}).requests for task, data in tasks]
        for _, tasks, _ in runs
    ]  # fmt: skip
    assert asked[0] == asked[1]
    said = repr(asked)
    assert not any(secret in said for secret in ("xylophone", "zither", "zebra"))


def test_what_is_kept_does_not_depend_on_the_references_but_for_the_marks(runs):
    (first, _, report), (second, _, _) = runs
    assert _kept(first) == _kept(second) and len(_kept(first)) == ROWS * len(report.tasks)
    for label in report.tasks:
        assert _without_marks(first, label) == _without_marks(second, label)


def _kept(out):
    rows = [row for path in (out / LOGS).glob("*.jsonl") for row in JsonLog(path).read()]
    return {row["key"]: (row["text"], row["tokens"]) for row in rows}


def _without_marks(out, label):
    return [each.model_copy(update={"mark": None}) for each in read_answers(out, label)]


def test_no_reference_stands_anywhere_in_the_report_folder(runs):
    for out, _, _ in runs:
        for name in tree_files(out):
            content = (out / name).read_bytes()
            assert not any(secret in content for secret in (b"xylophone", b"zither", b"zebra")), name
