"""The verb: what its options ask for, and what it says."""

import json
import sys

import pytest

from edgelm.cli import main
from edgelm.cli.evaluate import TASKS
from edgelm.errors import EXIT_INPUT
from edgelm.report import Report, read_answers


@pytest.fixture
def run(monkeypatch, capfd):
    """Run `edgelm evaluate …` in this process: exit code, stdout, stderr."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["edgelm", "evaluate", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capfd.readouterr()

    return call


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


@pytest.mark.parametrize(("options", "named"), [
    ((), "no checkpoint is given"), (("--rescore", "--limit", "2"), "--rescore asks nothing"),
    (("--rescore",), "no finished report"),
])  # fmt: skip
def test_what_cannot_be_done_without_a_checkpoint(run, tmp_path, options, named):
    code, _, err = run("-o", tmp_path / "report", *options)
    assert code == EXIT_INPUT and named in err and not (tmp_path / "report").exists()


@pytest.mark.parametrize(("options", "named"), [
    (("--workers", "many"), "--workers many"), (("--shard", "3/2"), "no shard 3 of 2"),
    (("-t", "gsm8k", "-t", "gsm8k"), "2 tasks are called 'gsm8k'"),
])  # fmt: skip
def test_options_that_mean_nothing_are_named(run, words, options, named):
    code, _, err = run(*words, *options)
    assert code == EXIT_INPUT and named in err
