"""Evaluate: every answer is asked once, kept through a kill, and the report is the same as if nothing had happened."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass

import pytest

from edgelm.chat import ask
from edgelm.checkpoint import Card, Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, BadOption, EdgelmError, NoSpace
from edgelm.evaluate import run as running
from edgelm.evaluate.cautions import cautions
from edgelm.evaluate.questions import Selection, Shard
from edgelm.evaluate.run import evaluate
from edgelm.files import JsonLog, sha256_bytes
from edgelm.plugins import parse
from edgelm.report import Report, read_answers
from edgelm.tasks.base import Benchmark, Sample
from edgelm.tasks.chid import CHID
from edgelm.tasks.gsm8k import GSM8K

ROWS = 12


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


@pytest.fixture
def run(tiny, data, tmp_path, parrot):
    """Evaluate two tasks with a parrot, into one folder unless told otherwise."""

    def go(engine=None, out=tmp_path / "report", tasks=(GSM8K(), CHID()), checkpoint=tiny, **options):  # noqa: B008
        engine = engine or parrot.Parrot()
        return evaluate(Checkpoint(checkpoint), [(task, data) for task in tasks], engine, out, **options)

    return go


def test_a_report_says_what_was_asked_and_what_it_earned(run, tmp_path, tiny):
    report = run()
    assert report == Report.load(tmp_path / "report")
    assert report.checkpoint == Checkpoint(tiny).digest
    for label, score in report.tasks.items():
        answers = read_answers(tmp_path / "report", label)
        assert [answer.sample for answer in answers] == [f"{label}-{n}" for n in range(ROWS)], "in file order"
        assert score.score * ROWS == sum(answer.mark for answer in answers) / 10_000
        assert score.samples == score.of == ROWS and score.complete
        assert score.protocol.startswith(f"own-1/{label}-") and score.prompting == "chat"
    assert 0 < report.tasks["gsm8k"].score < 100 and 0 < report.tasks["chid"].score < 100


def test_what_must_be_known_of_the_answers_stands_in_the_report(run, tmp_path, parrot):
    noted = parrot.Parrot(note="by another: it was said so")
    wanted = {"by another: it was said so": ROWS}
    assert [score.notes for score in run(noted).tasks.values()] == [wanted, wanted]
    assert [score.notes for score in run(noted).tasks.values()] == [wanted, wanted], "kept with the answers"
    assert "it was said so" in "".join(cautions(Report.load(tmp_path / "report"), []))


def test_nothing_is_asked_twice_and_no_model_is_loaded_for_nothing(run, tmp_path, parrot, finished):
    first = run()
    before = finished(tmp_path / "report")
    assert len(parrot.Parrot.opened) == 1 and set(parrot.Parrot.asked.values()) == {1}
    assert run() == first
    assert len(parrot.Parrot.opened) == 1 and set(parrot.Parrot.asked.values()) == {1}
    assert finished(tmp_path / "report") == before


def test_after_a_failure_the_kept_answers_stay_and_the_rest_is_asked(run, tmp_path, parrot, finished):
    for limit in (4, 16):
        with pytest.raises(NoSpace):
            run(parrot.Parrot(dies_after=limit))
        assert not (tmp_path / "report" / "report.json").exists()
    run()
    assert set(parrot.Parrot.asked.values()) == {1} and len(parrot.Parrot.asked) == 2 * ROWS
    run(out=tmp_path / "whole")
    assert finished(tmp_path / "report") == finished(tmp_path / "whole")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_says_what_is_kept_and_how_to_go_on(run, parrot, interrupt):
    def stop(label, done, wanted):
        if done == 8:
            raise interrupt

    told = []
    with pytest.raises(interrupt):
        run(progress=stop, say=told.append)
    assert told[0] == f"8 of {2 * ROWS} answers are kept; give the same command again to go on"
    run()
    assert set(parrot.Parrot.asked.values()) == {1}


def test_a_few_rows_first_are_reused_by_the_full_run(run, parrot):
    part = run(selection=Selection(limit=5))
    assert part.tasks["gsm8k"].samples == 5 and not part.tasks["gsm8k"].complete
    assert run(selection=Selection(sample=3, seed=1)).tasks["chid"].samples == 3
    assert run().tasks["gsm8k"].complete
    assert set(parrot.Parrot.asked.values()) == {1} and len(parrot.Parrot.asked) == 2 * ROWS


def test_another_engine_setting_prompting_or_task_option_asks_again(run, parrot):
    run(tasks=[GSM8K()])
    for change in (
        {"engine": parrot.Parrot(batch=2)},
        {"engine": parrot.Parrot(truncate="mid")},
        {"prompting": "base"},
    ):
        run(tasks=[GSM8K()], **change)
    assert len(parrot.Parrot.asked) == 4 * ROWS and set(parrot.Parrot.asked.values()) == {1}


def test_a_changed_prompt_asks_only_that_row_again(run, data, tmp_path, tiny, parrot):
    run(tasks=[GSM8K()])
    changed = _suite(tmp_path / "changed")
    rows = (changed / "gsm8k/test.jsonl").read_bytes().replace(b"What is 3 and", b"How much is 3 and")
    (changed / "gsm8k/test.jsonl").write_bytes(rows)
    suite = json.loads((changed / "suite.json").read_bytes())
    suite["files"]["gsm8k/test.jsonl"] = sha256_bytes(rows)
    (changed / "suite.json").write_text(json.dumps(suite))
    evaluate(Checkpoint(tiny), [(GSM8K(), DataFolder(changed))], parrot.Parrot(), tmp_path / "report")
    assert len(parrot.Parrot.asked) == ROWS + 1


def test_a_changed_card_changes_no_answer_but_other_weights_are_refused(run, tmp_path, make_checkpoint, parrot):
    folder = make_checkpoint("llama", num_hidden_layers=1, seed=1)
    run(checkpoint=folder)
    Checkpoint(folder).write_card(Card(base="x"))
    run(checkpoint=folder)
    assert set(parrot.Parrot.asked.values()) == {1}
    with pytest.raises(BadOption, match="report of another checkpoint"):
        run()


def test_a_second_task_joins_the_report(run):
    run(tasks=[GSM8K()])
    assert set(run(tasks=[CHID()]).tasks) == {"gsm8k", "chid"}


def test_what_is_no_report_folder_is_left_alone(run, tmp_path, parrot):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for out in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(BadOption, match="no report folder"):
            run(out=out)
    assert not parrot.Parrot.opened


def test_a_damaged_report_is_made_anew_from_the_kept_answers(run, tmp_path, parrot, finished):
    run()
    before = finished(tmp_path / "report")
    (tmp_path / "report" / "report.json").write_bytes(b'{"format": 1,')
    with pytest.raises(BadFile, match=r"report\.json") as refused:
        run()
    assert refused.value.mend == "remove report.json and give the command again; the answers in log/ are kept"
    (tmp_path / "report" / "report.json").unlink()
    run()
    assert finished(tmp_path / "report") == before and set(parrot.Parrot.asked.values()) == {1}


def test_a_report_is_not_written_into_the_checkpoint(run, tiny):
    for out in (tiny, tiny / "report"):
        with pytest.raises(BadOption, match="checkpoint's own folder"):
            run(out=out)
    assert not (tiny / "report").exists()


def test_a_run_that_fails_before_any_answer_leaves_no_folder(run, tmp_path, parrot):
    with pytest.raises(NoSpace):
        run(parrot.Parrot(dies_after=0))
    assert not (tmp_path / "report").exists()


def test_a_damaged_checkpoint_is_named_before_anything_is_asked(run, make_checkpoint, parrot):
    folder = make_checkpoint("llama", num_hidden_layers=1)
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(BadFile, match=r"model\.safetensors"):
        run(checkpoint=folder)
    assert not parrot.Parrot.opened


# A part after the whole


def test_a_few_rows_after_all_leave_the_complete_score(run, tmp_path, parrot, finished):
    whole, told = run(), []
    before = finished(tmp_path / "report")
    assert run(selection=Selection(limit=5), say=told.append) == whole
    assert finished(tmp_path / "report") == before
    assert [line.partition(":")[0] for line in told] == ["gsm8k", "chid"] and "12 answers are kept" in told[0]
    (tmp_path / "report" / "report.json").unlink()
    assert run(selection=Selection(sample=1)) == whole, "also if a kill has left no report"
    assert set(parrot.Parrot.asked.values()) == {1}


def test_a_few_rows_asked_otherwise_do_not_replace_a_complete_score(run, tmp_path, parrot, finished):
    run()
    before = finished(tmp_path / "report")
    with pytest.raises(BadOption, match="complete score of gsm8k") as refused:
        run(parrot.Parrot(batch=2), selection=Selection(limit=5))
    assert "another -o" in refused.value.mend
    assert finished(tmp_path / "report") == before and len(parrot.Parrot.opened) == 1


# Rows that share an answer, and rows with choices


@dataclass(frozen=True)
class _Colours(Benchmark):
    """Two rows ask the same; two are weighed."""

    label = "colours"
    version = "colours-1"
    max_tokens = 4
    stop = ()

    def files(self, data):
        return []

    def samples(self, data):
        prompts = ["red?", "green?", "red?", "which?", "who?"]
        choices = [(), (), (), ("a", "bb"), ("ccc", "d")]
        return [Sample(f"c-{n}", n, ask(text), "", choices=own)
                for n, (text, own) in enumerate(zip(prompts, choices, strict=True))]  # fmt: skip

    def score(self, sample, answer):
        return len(answer)


def test_a_few_rows_after_all_where_two_rows_ask_the_same(run, parrot):
    whole = run(tasks=[_Colours()])
    assert run(tasks=[_Colours()], selection=Selection(limit=1)) == whole


def test_the_same_question_is_asked_once_and_counts_for_each_row(run, tmp_path, parrot):
    told = []
    report = run(tasks=[_Colours()], progress=lambda *now: told.append(now))
    assert report.tasks["colours"].complete
    answers = read_answers(tmp_path / "report", "colours")
    assert answers[0].text == answers[2].text and answers[0].key == answers[2].key
    assert [json.loads(each.text) for each in answers[3:]] == [[-1.0, -2.0], [-3.0, -1.0]]
    assert set(parrot.Parrot.asked.values()) == {1} and len(parrot.Parrot.asked) == 2 + 4
    assert told[-1] == ("colours", 4, 4)


def test_an_engine_that_leaves_questions_unanswered_is_our_fault(run, tmp_path, parrot, monkeypatch):
    monkeypatch.setattr(parrot.Parrot, "answer", lambda self, requests: iter(()))
    with pytest.raises(EdgelmError, match="gsm8k 12 of 12"):
        run(tasks=[GSM8K()])
    assert not (tmp_path / "report" / "report.json").exists()


# Shards


def test_shards_part_the_rows_and_the_last_one_reports(run, tmp_path, parrot, finished):
    whole = run(out=tmp_path / "whole")
    parrot.Parrot.asked.clear()
    told = []
    first = run(shard=Shard(1, 2), say=told.append)
    assert first.tasks == {} and not (tmp_path / "report" / "report.json").exists()
    assert "gsm8k 4 of 12, chid 4 of 12" in told[-1]
    assert run(shard=Shard(2, 2)) == whole
    assert set(parrot.Parrot.asked.values()) == {1} and len(parrot.Parrot.asked) == 2 * ROWS
    assert finished(tmp_path / "report") == finished(tmp_path / "whole")


def test_logs_of_shards_on_several_machines_are_merged_by_copying(run, tmp_path, parrot, finished):
    run(out=tmp_path / "whole")
    for number in (1, 2, 3):
        run(out=tmp_path / str(number), shard=Shard(number, 3))
    for number in (2, 3):
        shutil.copy(tmp_path / str(number) / "log" / f"shard-{number}-of-3.jsonl", tmp_path / "1" / "log")
    opened = len(parrot.Parrot.opened)
    run(out=tmp_path / "1", shard=Shard(1, 3))
    assert finished(tmp_path / "1") == finished(tmp_path / "whole")
    assert len(parrot.Parrot.opened) == opened, "no model for nothing"


def test_a_second_run_into_the_same_folder_is_refused(run, tmp_path):
    def again(*_):
        with pytest.raises(BadOption, match="another run is writing"):
            run()

    run(progress=again)


# Real kills


def _kill(target, when):
    """Run in a process of its own, and kill it with SIGKILL as soon as `when()`."""
    child = multiprocessing.get_context("fork").Process(target=target)
    child.start()
    deadline = time.monotonic() + 30
    while not when() and child.is_alive() and time.monotonic() < deadline:
        time.sleep(0.0005)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL, "it ended before it was killed"


@pytest.mark.parametrize("engine", ["hf:batch=2", "local"])
def test_ten_kills_at_random_moments_change_nothing(tiny, suite, tmp_path, finished, engine):
    engine = parse("engines", engine)
    tasks = [(parse("tasks", name), suite) for name in ("gsm8k", "commonsenseqa", "chid")]
    chance, log = random.Random(7), tmp_path / "killed" / "log" / "answers.jsonl"

    def run(out=tmp_path / "killed"):
        evaluate(Checkpoint(tiny), tasks, engine, out)

    def size():
        return log.stat().st_size if log.exists() else 0

    for number in range(10):
        enough = size() + chance.randrange(1, 1600) if number % 3 else 0  # each third time while it loads
        _kill(run, lambda enough=enough: size() >= enough)
        time.sleep(chance.random() / 100)
        assert not (tmp_path / "killed" / "report.json").exists()
    run()
    run(tmp_path / "whole")
    assert finished(tmp_path / "killed") == finished(tmp_path / "whole")
    keys = [row["key"] for row in JsonLog(log).read()]
    assert len(keys) == len(set(keys)) == 120, "every question was asked once"


def test_kills_while_the_report_is_written_change_nothing(run, tmp_path, finished, monkeypatch):
    written = []

    def die_after(number):
        def write(*given):
            if len(written) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            written.append(given)
            write_answers(*given)

        return write

    write_answers = running.write_answers
    run(out=tmp_path / "whole")
    for number in (0, 1):
        with monkeypatch.context() as patch:
            patch.setattr(running, "write_answers", die_after(number))
            _kill(run, lambda: False)
        assert not (tmp_path / "report" / "report.json").exists()
    run()
    assert finished(tmp_path / "report") == finished(tmp_path / "whole")


def test_a_report_never_stands_beside_answers_that_are_not_its_own(run, tmp_path, parrot, monkeypatch):
    run()
    monkeypatch.setattr(running, "write_answers", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    _kill(lambda: run(parrot.Parrot(batch=2), tasks=[GSM8K()]), lambda: False)
    assert set(Report.load(tmp_path / "report").tasks) == {"chid"}
