"""While lm-eval works for us, the screen shows its errors alone; afterwards it says what it likes again."""

import json
import logging
import sys

import pytest

from edgelm.cli import main

pytest.importorskip("lm_eval", reason="lm-eval is an extra")


def test_a_run_outside_a_repository_says_nothing_on_stderr(make_checkpoint, tmp_path, monkeypatch, capfd):
    rows = [{"q": f"Where is {n}?", "gold": n % 2} for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = {
        "task": "own_quiet", "dataset_path": "json", "test_split": "test", "output_type": "multiple_choice",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}, "doc_to_text": "{{q}}",
        "doc_to_choice": [" here", " there"], "doc_to_target": "{{gold}}", "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(json.dumps(task))
    model = make_checkpoint("llama", num_hidden_layers=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    words = ["edgelm", "lm-eval", str(model), "-t", "own_quiet", "--include", str(tmp_path), "--engine", "hf"]
    monkeypatch.setattr(sys, "argv", [*words, "-o", str(tmp_path / "out")])
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capfd.readouterr()
    assert not end.value.code and "own_quiet" in out and err == ""
    assert json.loads((tmp_path / "out/results.json").read_bytes())["git_hash"] is None


def test_errors_are_still_said_and_all_is_as_before_afterwards(capfd):
    import lm_eval.evaluator
    from tqdm import tqdm

    from edgelm.bridges.lm_eval_output import errors_alone

    logger = logging.getLogger("lm_eval")
    before = (logger.level, tqdm.__init__, lm_eval.evaluator.get_git_commit_hash)
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        with pytest.raises(KeyError), errors_alone():
            logging.getLogger("lm_eval.api").warning("a trifle")
            logging.getLogger("lm_eval.api").error("a mishap")
            raise KeyError
    finally:
        logger.removeHandler(handler)
    assert (logger.level, tqdm.__init__, lm_eval.evaluator.get_git_commit_hash) == before
    err = capfd.readouterr().err
    assert "a mishap" in err and "a trifle" not in err
