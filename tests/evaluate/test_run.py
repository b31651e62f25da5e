"""Evaluate: every answer is asked once, kept through a kill, and the report is the same as if nothing had happened."""

import contextlib
import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from edgelm.checkpoint import Card, Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.engines.base import Reply
from edgelm.errors import BadFile, BadOption, NoSpace
from edgelm.evaluate.questions import Selection
from edgelm.evaluate.run import evaluate
from edgelm.files import JsonLog, sha256_bytes, tree_files
from edgelm.plugins import parse
from edgelm.report import Report, read_answers
from edgelm.tasks.chid import CHID
from edgelm.tasks.gsm8k import GSM8K

ROWS = 12


@dataclass(frozen=True)
class Parrot:
    """An engine that answers with a number that depends on the prompt, and tells what it was asked."""

    batch: int = 4
    dies_after: int | None = None

    asked: ClassVar = Counter()
    opened: ClassVar = []

    @property
    def identity(self) -> dict[str, Any]:
        return {"engine": "parrot", "batch": self.batch}

    @contextlib.contextmanager
    def open(self, checkpoint, prompting):
        self.opened.append(prompting)
        yield self

    def answer(self, requests):
        for start in range(0, len(requests), self.batch):
            if self.dies_after is not None and sum(self.asked.values()) >= self.dies_after:
                raise NoSpace("no space left")
            group = requests[start : start + self.batch]
            self.asked.update(request.key for request in group)
            yield [Reply(r.key, f"B {len(r.prompt.base_text()) % 3}", 2, 5, "stop") for r in reversed(group)]


@pytest.fixture(autouse=True)
def _fresh_parrot():
    Parrot.asked.clear()
    Parrot.opened.clear()


def _suite(folder):
    """A suite of its own with a few rows of two tasks."""
    sums = [{"question": f"What is {n} and {n * n}?", "answer": f"#### {n % 3}"} for n in range(ROWS)]
    idioms = ["画蛇添足", "守株待兔", "亡羊补牢", "井底之蛙", "对牛弹琴", "狐假虎威", "一箭双雕"]
    gaps = [{"id": n, "candidates": idioms, "content": f"{n}#idiom#", "answer": n % 7} for n in range(ROWS)]
    files = {
        "gsm8k/test.jsonl": "\n".join(map(json.dumps, sums)).encode(),
        "chid/test_public.json": "\n".join(map(json.dumps, gaps)).encode(),
        "exemplars.json": b"{}",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    digests = {name: sha256_bytes(content) for name, content in files.items()}
    (folder / "suite.json").write_text(json.dumps({"name": "own-1", "files": digests}))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return DataFolder(_suite(tmp_path_factory.mktemp("suite")))


@pytest.fixture(scope="module")
def model(make_checkpoint):
    folder = make_checkpoint("llama", num_hidden_layers=1, hidden_size=32, intermediate_size=32)
    ends = list(range(1, 300, 2))  # every second token ends an answer, so that answers are short
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder


@pytest.fixture
def run(model, data, tmp_path):
    """Evaluate two tasks with a parrot, into one folder unless told otherwise."""

    def go(engine=Parrot(), out=tmp_path / "report", tasks=(GSM8K(), CHID()), checkpoint=model, **options):  # noqa: B008
        return evaluate(Checkpoint(checkpoint), [(task, data) for task in tasks], engine, out, **options)

    return go


def _finished(folder):
    """What a report consists of, byte for byte."""
    return {name: (folder / name).read_bytes() for name in tree_files(folder)
            if name == "report.json" or name.startswith("answers/")}  # fmt: skip


def test_a_report_says_what_was_asked_and_what_it_earned(run, tmp_path, model):
    report = run()
    assert report == Report.load(tmp_path / "report")
    assert report.checkpoint == Checkpoint(model).digest
    for label, score in report.tasks.items():
        answers = read_answers(tmp_path / "report", label)
        assert [answer.sample for answer in answers] == [f"{label}-{n}" for n in range(ROWS)], "in file order"
        assert score.score * ROWS == sum(answer.mark for answer in answers) / 10_000
        assert score.samples == score.of == ROWS and score.complete
        assert score.protocol.startswith(f"own-1/{label}-") and score.prompting == "chat"
    assert 0 < report.tasks["gsm8k"].score < 100 and 0 < report.tasks["chid"].score < 100


def test_nothing_is_asked_twice_and_no_model_is_loaded_for_nothing(run, tmp_path):
    first = run()
    before = _finished(tmp_path / "report")
    assert len(Parrot.opened) == 1 and set(Parrot.asked.values()) == {1}
    assert run() == first
    assert len(Parrot.opened) == 1 and set(Parrot.asked.values()) == {1}
    assert _finished(tmp_path / "report") == before


def test_after_a_failure_the_kept_answers_stay_and_the_rest_is_asked(run, tmp_path):
    for limit in (4, 16):
        with pytest.raises(NoSpace):
            run(Parrot(dies_after=limit))
        assert not (tmp_path / "report" / "report.json").exists()
    run()
    assert set(Parrot.asked.values()) == {1} and len(Parrot.asked) == 2 * ROWS
    run(out=tmp_path / "whole")
    assert _finished(tmp_path / "report") == _finished(tmp_path / "whole")


def test_a_few_rows_first_are_reused_by_the_full_run(run):
    part = run(selection=Selection(limit=5))
    assert part.tasks["gsm8k"].samples == 5 and not part.tasks["gsm8k"].complete
    assert run(selection=Selection(sample=3, seed=1)).tasks["chid"].samples == 3
    assert run().tasks["gsm8k"].complete
    assert set(Parrot.asked.values()) == {1} and len(Parrot.asked) == 2 * ROWS


def test_another_engine_setting_prompting_or_task_option_asks_again(run):
    run(tasks=[GSM8K()])
    for change in ({"engine": Parrot(batch=2)}, {"prompting": "base"}):
        run(tasks=[GSM8K()], **change)
    assert len(Parrot.asked) == 3 * ROWS and set(Parrot.asked.values()) == {1}


def test_a_changed_prompt_asks_only_that_row_again(run, data, tmp_path, model):
    run(tasks=[GSM8K()])
    changed = _suite(tmp_path / "changed")
    rows = (changed / "gsm8k/test.jsonl").read_bytes().replace(b"What is 3 and", b"How much is 3 and")
    (changed / "gsm8k/test.jsonl").write_bytes(rows)
    suite = json.loads((changed / "suite.json").read_bytes())
    suite["files"]["gsm8k/test.jsonl"] = sha256_bytes(rows)
    (changed / "suite.json").write_text(json.dumps(suite))
    evaluate(Checkpoint(model), [(GSM8K(), DataFolder(changed))], Parrot(), tmp_path / "report")
    assert len(Parrot.asked) == ROWS + 1


def test_a_changed_card_changes_no_answer_but_other_weights_are_refused(run, tmp_path, make_checkpoint):
    folder = make_checkpoint("llama", num_hidden_layers=1, seed=1)
    run(checkpoint=folder)
    Checkpoint(folder).write_card(Card(base="x"))
    run(checkpoint=folder)
    assert set(Parrot.asked.values()) == {1}
    with pytest.raises(BadOption, match="report of another checkpoint"):
        run()


def test_a_second_task_joins_the_report(run):
    run(tasks=[GSM8K()])
    assert set(run(tasks=[CHID()]).tasks) == {"gsm8k", "chid"}


def test_what_is_no_report_folder_is_left_alone(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for out in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(BadOption, match="no report folder"):
            run(out=out)
    assert not Parrot.opened


def test_a_damaged_checkpoint_is_named_before_anything_is_asked(run, make_checkpoint):
    folder = make_checkpoint("llama", num_hidden_layers=1)
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(BadFile, match=r"model\.safetensors"):
        run(checkpoint=folder)
    assert not Parrot.opened


@pytest.mark.parametrize("options", [{"limit": 0}, {"sample": -1}, {"limit": 1, "sample": 1}])
def test_a_selection_that_asks_nothing_or_two_things_is_refused(options):
    with pytest.raises(BadOption, match="--sample|--limit"):  # noqa: RUF043
        Selection(**options)


def test_a_sample_is_drawn_by_its_seed_in_file_order(data):
    samples = GSM8K().samples(data)
    drawn = Selection(sample=5, seed=3).of(samples)
    assert drawn == Selection(sample=5, seed=3).of(samples) != Selection(sample=5, seed=4).of(samples)
    assert [sample.index for sample in drawn] == sorted({sample.index for sample in drawn})
    assert len(Selection(sample=100).of(samples)) == ROWS


# A real kill

SCRIPT = """if True:
    import os, pathlib, signal, sys, torch
    torch.set_num_threads(1)
    from edgelm.checkpoint import Checkpoint
    from edgelm.data.folder import DataFolder
    from edgelm.evaluate.run import evaluate
    from edgelm.plugins import parse
    model, data, out = map(pathlib.Path, sys.argv[1:])
    tasks = [(parse("tasks", name), DataFolder(data)) for name in ("gsm8k", "chid")]

    def progress(label, done, wanted):
        if (label, done) == ("gsm8k", 6):
            os.kill(os.getpid(), signal.SIGKILL)

    evaluate(Checkpoint(model), tasks, parse("engines", "hf:batch=2"), out, progress=progress)
"""


def test_a_kill_in_the_middle_loses_nothing_and_changes_nothing(model, data, tmp_path):
    out = tmp_path / "killed"
    ended = subprocess.run([sys.executable, "-c", SCRIPT, model, data.root, out], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (out / "report.json").exists()
    assert len(JsonLog(out / "log" / "answers.jsonl").read()) == 6

    tasks, engine = [(GSM8K(), data), (CHID(), data)], parse("engines", "hf:batch=2")
    for folder in (out, tmp_path / "whole"):
        evaluate(Checkpoint(model), tasks, engine, folder)
    keys = [row["key"] for row in JsonLog(out / "log" / "answers.jsonl").read()]
    assert len(keys) == len(set(keys)) == 2 * ROWS, "every question was asked once"
    assert _finished(out) == _finished(tmp_path / "whole")
