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
