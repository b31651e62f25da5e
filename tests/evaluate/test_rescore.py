"""Scoring anew: from a report alone, without a model, and with the same result unless the marking has changed."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption, MissingInput
from edgelm.evaluate.keep import alone
from edgelm.evaluate.questions import Selection, questions
from edgelm.evaluate.rescore import rescore
from edgelm.evaluate.run import evaluate
from edgelm.evaluate.scoring import marked, score
from edgelm.files import sha256_bytes
from edgelm.plugins import parse
from edgelm.report import Report, read_answers
from edgelm.tasks.gsm8k import GSM8K
from edgelm.tasks.truthfulqa import TruthfulQA


@dataclass(frozen=True)
class _Generous(GSM8K):
    """The same questions; every answer is right."""

    label = "gsm8k-generous"
    version = "gsm8k-1d7fe4+generous-1"

    def samples(self, data):
        return GSM8K().samples(data)

    def score(self, sample, answer):
        return 1_000_000


@pytest.fixture
def report(tiny, suite, parrot, tmp_path):
    """The folder of a report over two tasks, of which one was asked in part; nothing but the report is left of it."""
    for name, limit in (("gsm8k", 25), ("commonsenseqa", None)):
        task = [(parse("tasks", name), suite)]
        evaluate(Checkpoint(tiny), task, parrot.Parrot(), tmp_path / "report", selection=Selection(limit))
    shutil.rmtree(tmp_path / "report" / "log")
    return tmp_path / "report"


def test_the_same_marking_gives_the_same_report(report, suite, finished):
    before = finished(report)
    rescore(report, [(parse("tasks", "gsm8k"), suite), (parse("tasks", "commonsenseqa"), suite)])
    assert finished(report) == before


def test_wrong_marks_are_mended(report, suite, finished):
    before = finished(report)
    broken = Report.load(report)
    score = broken.tasks["gsm8k"].model_copy(update={"score": 99})
    broken.model_copy(update={"tasks": broken.tasks | {"gsm8k": score}}).save(report)
    assert finished(report) != before
    rescore(report, [(parse("tasks", "gsm8k"), suite)])
    assert finished(report) == before


def test_another_scorer_marks_the_same_answers_beside_the_first(report, suite):
    before = Report.load(report)
    after = rescore(report, [(_Generous(), suite)])
    score = after.tasks["gsm8k-generous"]
    assert (score.score, score.samples, score.of) == (100, 25, 40)
    assert score.engine == before.tasks["gsm8k"].engine and score.prompting == before.tasks["gsm8k"].prompting
    assert {name: after.tasks[name] for name in before.tasks} == before.tasks
    texts = [[answer.text for answer in read_answers(report, name)] for name in ("gsm8k", "gsm8k-generous")]
    assert texts[0] == texts[1]
    assert after == Report.load(report)


def test_what_was_not_asked_cannot_be_scored(report, suite, finished, tmp_path):
    before = finished(report)
    with pytest.raises(MissingInput, match="chid"):
        rescore(report, [(parse("tasks", "gsm8k"), suite), (parse("tasks", "chid"), suite)])
    assert finished(report) == before, "all or nothing"
    with pytest.raises(MissingInput, match="there is no folder"):
        rescore(tmp_path / "none", [(parse("tasks", "gsm8k"), suite)])
    assert not (tmp_path / "none").exists()


def test_answers_to_other_questions_are_not_scored(report, suite, tmp_path):
    changed = shutil.copytree(suite.root, tmp_path / "changed")
    rows = (changed / "gsm8k/test.jsonl").read_bytes().replace(b'"question": "', b'"question": "Well: ', 1)
    (changed / "gsm8k/test.jsonl").write_bytes(rows)
    listing = json.loads((changed / "suite.json").read_bytes())
    listing["files"]["gsm8k/test.jsonl"] = sha256_bytes(rows)
    (changed / "suite.json").write_text(json.dumps(listing))
    with pytest.raises(MissingInput, match="too few answers to today's questions of gsm8k"):
        rescore(report, [(parse("tasks", "gsm8k"), DataFolder(changed))])


def test_a_checkpoint_that_is_given_must_be_the_reports(report, suite, tiny, make_checkpoint):
    rescore(report, [(parse("tasks", "gsm8k"), suite)], Checkpoint(tiny))
    with pytest.raises(BadOption, match="another checkpoint"):
        rescore(report, [(parse("tasks", "gsm8k"), suite)], Checkpoint(make_checkpoint("llama", num_hidden_layers=1)))


def test_a_report_that_a_run_writes_to_is_left_alone(report, suite):
    with alone(report), pytest.raises(BadOption, match="another run is writing"):
        rescore(report, [(parse("tasks", "gsm8k"), suite)])


def test_the_command_needs_neither_model_nor_torch(report, suite, finished):
    script = """if True:
        import sys
        from edgelm.cli import main
        sys.argv = ["edgelm", "evaluate", "--rescore", "-t", "gsm8k", "--data", sys.argv[1], "-o", sys.argv[2]]
        try:
            main()
        finally:
            assert not {"torch", "transformers", "psutil"} & set(sys.modules)
    """
    before = finished(report)
    ended = subprocess.run(
        [sys.executable, "-c", script, suite.root, report], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "gsm8k" in ended.stdout and finished(report) == before


def test_upstream_data_are_not_fetched_for_a_report_of_another_suite(report, monkeypatch):
    monkeypatch.setattr(DataFolder, "path", lambda self, name: pytest.fail(f"{name} was wanted"))
    with pytest.raises(BadOption, match="made with the suite miniature-1") as refused:
        rescore(report, [(parse("tasks", "gsm8k:scorer=fixed"), DataFolder())])
    assert refused.value.mend == "give --data of that suite"


@dataclass(frozen=True)
class _LeavesOut(TruthfulQA):
    """A task from elsewhere that gives an empty answer no mark at all."""

    def score(self, sample, answer):
        return super().score(sample, answer) if answer else None


@pytest.mark.parametrize("task", [TruthfulQA(), _LeavesOut()])
def test_silence_stays_in_the_denominator_and_opencompass_figure_stands_beside(suite, task):
    asked = questions(task, suite, Selection(), {})
    right, *_ = asked.rows[0][0].reference["correct_answers"]
    texts = [f"{right}.", *[""] * (len(asked.rows) - 1)]
    kept = {request.key: {"key": request.key, "text": text, "tokens": 1, "prompt_tokens": 1, "finish": "stop"}
            for (_, request), text in zip(asked.rows, texts, strict=True)}  # fmt: skip
    answers = marked(asked, kept)
    assert {answer.mark for answer in answers[1:]} == {0}
    made = score(asked, answers, "base", {})
    assert (made.score, made.samples, made.figures["bleu_acc"]) == (Fraction(100, made.of), made.of, 1)
