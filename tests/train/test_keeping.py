"""What a run keeps beside its work: records of steps, and one run a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption
from edgelm.train.corpus import Corpus
from edgelm.train.keeping import Record, claimed, listing
from edgelm.train.pretrain import Pretrain


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pretrain"
    made.mkdir()
    return made


def done(folder, inputs=None, base=None):
    step = Pretrain(steps=5)
    record = Record(folder, step, inputs or {"corpus": "a"}, base)
    record.begin()
    folder.mkdir(exist_ok=True)
    record.end({"loss": 2.5})
    return Record(folder, step, inputs or {"corpus": "a"}, base)


def test_a_step_is_complete_once_it_has_ended(folder):
    record = Record(folder, Pretrain(), {})
    assert not record.complete
    record.begin()
    folder.mkdir()
    assert not Record(folder, Pretrain(), {}).complete
    record.end({"loss": 2.5, "held": {"c4": 1.0}})
    again = Record(folder, Pretrain(), {})
    assert again.complete and again.done == {"loss": 2.5, "held": {"c4": 1.0}}


def test_a_longer_run_goes_on_but_is_not_complete(folder):
    done(folder)
    (folder / "state").write_text("mine")
    longer = Record(folder, Pretrain(steps=9), {"corpus": "a"})
    assert not longer.complete
    longer.begin()
    assert (folder / "state").read_text() == "mine"


@pytest.mark.parametrize(
    ("step", "inputs", "why"),
    [
        (Pretrain(steps=5, seed=3), {"corpus": "a"}, "there 'pretrain:steps=5', here 'pretrain:steps=5,seed=3'"),
        (Pretrain(steps=5), {"corpus": "b"}, "what has changed: corpus"),
        (Pretrain(steps=5), {"corpus": "a", "data": Corpus()}, "what has changed: data"),
    ],
)
def test_other_settings_or_inputs_are_refused_by_name(step, inputs, why, folder):
    done(folder)
    before = folder.with_suffix(".json").read_bytes()
    with pytest.raises(BadOption, match="made with other settings or data") as raised:
        Record(folder, step, inputs)
    assert raised.value.why == why and str(folder) in raised.value.mend
    assert folder.with_suffix(".json").read_bytes() == before


def test_where_nothing_was_made_other_settings_are_free(folder):
    done(folder)
    folder.rmdir()
    record = Record(folder, Pretrain(steps=5, seed=3), {"corpus": "b"})
    assert not record.complete
    record.begin()


def test_what_goes_out_from_another_base_begins_again(folder):
    assert done(folder, base={"updates": 5}).complete
    (folder / "state").write_text("old")
    record = Record(folder, Pretrain(steps=5), {"corpus": "a"}, {"updates": 9})
    assert not record.complete
    record.begin()
    assert not folder.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_record_is_none(content, folder):
    done(folder)
    folder.with_suffix(".json").write_bytes(content)
    record = Record(folder, Pretrain(steps=5), {"corpus": "a"})
    assert not record.complete
    record.begin()
    assert json.loads(folder.with_suffix(".json").read_bytes())["spec"] == "pretrain:steps=5"


def test_what_may_change_from_one_command_to_the_next():
    step = Pretrain(steps=5)
    for change in ({"steps": 9}, {"steps": None, "tokens": 9}, {"save": 1}, {"evaluate": 1}, {"micro": 8},
                   {"compile": "no"}, {"tensorboard": True}):  # fmt: skip
        assert replace(step, **change).identity == step.identity, change
    for change in ({"seed": 1}, {"batch": 64}, {"muon": 1.0}, {"shape": "5M"}, {"precision": "bf16"}, {"context": 64}):
        assert replace(step, **change).identity != step.identity, change


def test_the_listing_of_a_data_folder_is_names_and_sizes(tmp_path):
    for name, content in (("c4/a.jsonl", "12"), ("alpaca/en/b.json", "1234"), ("own/c.jsonl", "1"), ("d.txt", "1")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    usual = {"c4/a.jsonl": 2, "alpaca/en/b.json": 4}
    assert listing(DataFolder(tmp_path)) == usual
    assert listing(DataFolder(tmp_path), ["own/c.jsonl", "gone.txt"]) == usual | {"own/c.jsonl": 1}
    assert listing(DataFolder(None)) == {}


def test_two_runs_do_not_work_in_one_folder(tmp_path, tiny):
    out = tmp_path / "model"
    with claimed(out, tiny.ALONE):
        with pytest.raises(BadOption, match=f"another run is at work in {out}"), claimed(out, tiny.ALONE):
            pass
        with claimed(out, replace(tiny.ALONE, rank=1)):  # of the same run
            pass
    with claimed(out, tiny.ALONE):
        pass


def test_what_a_killed_run_has_claimed_is_free(tmp_path):
    program = (
        "import os, pathlib, sys, types\nfrom edgelm.train.keeping import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1]), types.SimpleNamespace(first=True)):\n    os.kill(os.getpid(), 9)"
    )
    out = tmp_path / "model"
    assert subprocess.run([sys.executable, "-c", program, out], check=False).returncode == -9
    assert (out / "work").is_dir()
    from edgelm.train.loop.distributed import world

    with world("cpu") as here, claimed(out, here):
        pass


def test_a_folder_of_something_else_is_not_claimed(tmp_path, tiny):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadOption, match="exists already"), claimed(tmp_path, tiny.ALONE):
        pass
    assert [path.name for path in Path(tmp_path).iterdir()] == ["mine.txt"]


def test_text_that_is_not_here_does_not_undo_what_was_done_elsewhere(folder):
    done(folder, {"data": {"c4/a.jsonl": 3}})
    assert Record(folder, Pretrain(steps=5), {"data": {}}).complete
    with pytest.raises(BadOption, match="was made with other settings or data"):
        Record(folder, Pretrain(steps=5), {"data": {"c4/a.jsonl": 4}})
