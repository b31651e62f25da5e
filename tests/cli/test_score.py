"""The verb: what it says beside the boards."""

import sys

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.cli import main
from edgelm.pack import Entry, pack
from edgelm.report import Report
from edgelm.rules.miniature import Miniature


@pytest.fixture
def words(make_checkpoint, tmp_path):
    """A submission, a report on a hold-out, and where the board goes."""
    model = Checkpoint(make_checkpoint("llama", num_hidden_layers=1))
    pack({"base": Entry(model.path)}, team="red", track="compression", rules=Miniature(), out=tmp_path / "red")
    Report(checkpoint=model.digest, name="m", parameters=1, bytes=2, dtypes={"F32": 1}).save(tmp_path / "report")
    return [str(tmp_path / "red"), "--holdout", str(tmp_path / "report"), "--no-page", "-o", str(tmp_path / "board")]


@pytest.mark.parametrize(("rules", "said"), [("miniature", True), ("miniature:tasks=gsm8k+holdout", False)])
def test_a_holdout_that_the_rules_do_not_rank_is_not_ignored_silently(words, monkeypatch, capfd, rules, said):
    monkeypatch.setattr(sys, "argv", ["edgelm", "score", *words, "--rules", rules])
    with pytest.raises(SystemExit):
        main()
    assert ("--holdout changes nothing: the rules miniature rank no hold-out" in capfd.readouterr().err) is said


@pytest.fixture
def score(edgelm, tmp_path):
    """`score(package, …)`: the board of submissions for the miniature's rules, in `board`."""

    def run(*words):
        return edgelm("score", *words, "--no-page", "-o", tmp_path / "board", "--rules", "miniature")

    return run


def test_what_cannot_be_read_is_named_and_the_others_are_ranked(words, score, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_text("noise")
    code, out, err = score(words[0], tmp_path / "empty", tmp_path / "broken.zip", tmp_path / "nowhere")
    assert code == 1 and "red" in out
    for name in ("empty", "broken.zip", "nowhere"):
        assert f"not ranked: {tmp_path / name} (" in err
    assert "no submission" in err and "not a readable zip or tar" in err
    assert (tmp_path / "board/compression/standings.json").is_file()


def test_where_nothing_can_be_read_there_is_no_board(score, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = score(tmp_path / "empty", tmp_path / "nowhere")
    assert code == 2 and "nothing to score" in err and "edgelm.json" in err and "nowhere" in err
    assert not (tmp_path / "board").exists()


def test_a_board_on_which_nobody_is_ranked_ends_with_1(words, edgelm, tmp_path):
    code, _, err = edgelm("score", words[0], "--no-page", "-o", tmp_path / "board", "--rules", "neurips-2024")
    assert code == 1 and "nobody is ranked in track compression" in err and "--rules NAME" in err


def test_below_the_table_stands_why_scores_are_missing(words, score):
    code, out, err = score(words[0])
    assert code == 0 and "–" in out
    assert "red, base: models/base/report holds no finished report" in err
