"""The verb: what its options ask for, and what it says."""

import functools
import json
import re

import pytest

from edgelm.cli.evaluate import TASKS, beyond_context, noted
from edgelm.errors import EXIT_INPUT
from edgelm.evaluate.effort import Effort
from edgelm.report import Report, TaskScore, read_answers


@pytest.fixture
def run(edgelm):
    return functools.partial(edgelm, "evaluate")


@pytest.fixture
def words(make_checkpoint, tmp_path):
    """A checkpoint whose answers are short, and a small suite: the words that every call has."""
    from edgelm.data.miniature import write

    model = make_checkpoint("llama", num_hidden_layers=1, hidden_size=32, intermediate_size=32)
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(1, 300, 2))}))
    write(tmp_path / "suite", rows=6, train_rows=8)
    return model, "--data", tmp_path / "suite", "-o", tmp_path / "report"


def test_a_report_with_its_pages_and_what_it_took(run, words, tmp_path):
    code, out, err = run(*words, "--json")
    assert code == 0, err
    tasks = json.loads(out)["tasks"]
    assert set(tasks) <= set(TASKS) and len(tasks) >= 6, "HumanEval needs a sandbox"
    assert "answers of" in err and "answers a second" in err
    page = tmp_path / "report" / "index.html"
    assert err.splitlines()[-1] == (f"page: {page}" if page.exists() else f"report: {page.parent}")
    assert {"results.csv", "summary.csv"} <= {path.name for path in (tmp_path / "report").iterdir()}


def test_shards_and_then_scoring_anew_without_the_model(run, words, tmp_path):
    code, out, err = run(*words, "-t", "gsm8k", "--engine", "hf:batch=2", "--shard", "1/2")
    assert code == 0 and out == "" and "gsm8k 2 of 6" in err
    assert not (tmp_path / "report" / "report.json").exists()
    assert run(*words, "-t", "gsm8k", "--engine", "hf:batch=2", "--shard", "2/2")[0] == 0
    before = Report.load(tmp_path / "report")
    assert run(*words[1:], "--rescore")[0] == 0
    assert Report.load(tmp_path / "report") == before
    code, out, err = run(*words[1:], "--rescore", "-t", "gsm8k:scorer=fixed")
    assert code == 0 and set(Report.load(tmp_path / "report").tasks) == {"gsm8k", "gsm8k-fixed"}, err
    assert "left as they are: gsm8k-fixed" in run(*words[1:], "--rescore")[2]


def test_a_holdout_alone_and_beside_a_benchmark(run, words, tmp_path):
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "capitals.json").write_text(json.dumps(
        {"kind": "choice", "prompt": "{question}\n{choices}\nAnswer:", "max_tokens": 4}))  # fmt: skip
    rows = [{"question": f"Where is {n}?", "choices": ["here", "there"], "answer": "A"} for n in range(3)]
    (folder / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, _, err = run(*words, "--holdout", folder)
    assert code == 0, err
    assert set(Report.load(tmp_path / "report").tasks) == {"capitals"}
    assert len(read_answers(tmp_path / "report", "capitals")) == 3
    assert run(*words, "--holdout", folder, "-t", "chid")[0] == 0
    assert set(Report.load(tmp_path / "report").tasks) == {"capitals", "chid"}
    page = tmp_path / "report" / "index.html"
    assert not page.exists() or "Where is" not in page.read_text()


def test_questions_and_context_outlive_a_run_of_other_tasks_and_scoring_anew(run, words, tmp_path):
    pytest.importorskip("jinja2")
    page = tmp_path / "report" / "index.html"
    assert run(*words, "-t", "gsm8k", "-t", "chid", "--engine", "hf:batch=2")[0] == 0
    whole = page.read_text()
    assert run(*words[1:], "--rescore", "-t", "chid")[0] == 0
    assert page.read_text() == whole
    assert Report.load(tmp_path / "report").context == 256
    assert run(*words, "-t", "commonsenseqa", "--limit", "1", "--engine", "hf:batch=2")[0] == 0
    question = json.loads((tmp_path / "suite/gsm8k/test.jsonl").read_text().splitlines()[0])["question"]
    assert question in page.read_text()


def test_scores_are_shown_in_one_order_whatever_was_asked_first(run, words):
    for names in (("chid", "gsm8k:scorer=fixed"), ("gsm8k", "commonsenseqa")):
        code, out, err = run(*words, *(word for name in names for word in ("-t", name)), "--engine", "hf:batch=2")
        assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["commonsenseqa", "gsm8k", "gsm8k-fixed", "chid"]


def test_forms_and_ends_are_shown_beside_the_scores(run, words):
    code, out, err = run(*words, "-t", "chid", "-t", "gsm8k:scorer=fixed", "--engine", "hf:batch=2")
    assert code == 0, err
    head, fixed, chid = out.splitlines()
    start, end = head.index("95 %") + 4, head.index("in form %") + len("in form %")
    assert "in form %" in head and "ended %" in head
    assert re.fullmatch(r"\d+\.\d", chid[end - 5 : end].strip()) and not fixed[start:end].strip()


def test_what_must_be_known_of_some_answers_is_said():
    fields = {"protocol": "p/1", "score": "50", "samples": 4000, "of": 4000, "prompting": "chat", "engine": {}}
    scores = {"chid": TaskScore(**fields), "gsm8k": TaskScore(**fields, notes={"by hf": 1200})}
    report = Report(checkpoint="c" * 64, name="m", parameters=5, bytes=10, dtypes={"F16": 5}, tasks=scores)
    assert noted(report) == ["gsm8k: 1,200 of 4,000 answers: by hf"]


def test_one_line_says_what_went_beyond_the_context():
    def effort(task, beyond, filled):
        return Effort(task=task, answers=60, read=0, made=0, capped=0, beyond=beyond, filled=filled)

    assert beyond_context([effort("gsm8k", 0, 0), effort("chid", 0, 0)], 256) == ""
    assert beyond_context([effort("gsm8k", 3, 0), effort("chid", 0, 0), effort("bbh", 12, 0)], 4096) == (
        "the model's context is 4,096 tokens; answers that ran past it: gsm8k 3 of 60, bbh 12 of 60"
    )
    assert "may have lost their beginning: bbh 2 of 60" in beyond_context([effort("bbh", 12, 2)], 4096)


@pytest.mark.parametrize(("options", "named"), [
    ((), "no checkpoint is given"), (("--rescore", "--limit", "2"), "--rescore asks nothing"),
    (("--rescore",), "there is no folder"),
])  # fmt: skip
def test_what_cannot_be_done_without_a_checkpoint(run, tmp_path, options, named):
    code, _, err = run("-o", tmp_path / "report", *options)
    assert code == EXIT_INPUT and named in err and not (tmp_path / "report").exists()


@pytest.mark.parametrize(("options", "named"), [
    (("--workers", "many"), "--workers many"), (("--shard", "3/2"), "no shard 3 of 2"),
    (("-t", "gsm8k", "-t", "gsm8k"), "--task gsm8k is named twice"),
    (("-t", "gsm8k,chid"), "give --task once for each"),
])  # fmt: skip
def test_options_that_mean_nothing_are_named(run, words, options, named):
    code, _, err = run(*words, *options)
    assert code == EXIT_INPUT and named in err
