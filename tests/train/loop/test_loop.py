"""The loop: whatever ends it, it goes on to the same bytes."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from edgelm.errors import BadOption, NoSpace
from edgelm.train.base import Tuning
from edgelm.train.loop.loop import BAD, METRICS, STATES, Settings
from edgelm.train.loop.model import Objective, fresh
from edgelm.train.loop.state import States
from edgelm.train.rows.batches import IGNORED, Batch


@pytest.fixture
def same_as(undisturbed, metrics_of, state_of):
    """That a folder holds what an undisturbed run has left: every tensor, and all metrics but the clock's."""

    def check(folder: Path) -> None:
        assert state_of(folder) == state_of(undisturbed)
        assert metrics_of(folder) == metrics_of(undisturbed)

    return check


def stopped(made, step, tiny):
    """End a loop after an update, as a signal during it would."""
    tiny.end_at(made, step - 1)
    with pytest.raises(SystemExit) as ended:
        made.run()
    assert ended.value.code == 0


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(loop, same_as, state_of, undisturbed, tmp_path):
    loop("again").run()
    same_as(tmp_path / "again")
    loop("other", seed=1).run()
    assert state_of(tmp_path / "other") != state_of(undisturbed)


@pytest.mark.parametrize("step", [2, 5, 6, 11])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(step, loop, same_as, tmp_path, tiny, state_of):
    stopped(loop("a"), step, tiny)
    assert state_of(tmp_path / "a")[0] == step
    notes: list[str] = []
    again = loop("a")
    again.note = notes.append
    again.run()
    assert notes == [f"going on after update {step}"]
    same_as(tmp_path / "a")


def test_a_run_with_an_average_goes_on_to_the_same_bytes(loop, tmp_path, tiny, state_of, metrics_of):
    loop("whole", average=True, plain=True).run()
    stopped(loop("a", average=True, plain=True), 7, tiny)
    loop("a", average=True, plain=True).run()
    assert state_of(tmp_path / "a") == state_of(tmp_path / "whole")
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "whole")
    assert set(metrics_of(tmp_path / "a")[-1]["held_average"]) == {"c4", "alpaca"}


def test_a_finished_run_is_not_run_again(loop, same_as, tmp_path):
    loop("a").run()
    again, told = loop("a"), []
    again.told = told.append
    again.run()
    assert not told
    same_as(tmp_path / "a")


def test_asking_the_process_to_end_saves_a_state_and_exits_with_0(loop, same_as, state_of, tmp_path):
    made, before = loop("a"), signal.getsignal(signal.SIGTERM)
    made.told = lambda metrics: metrics["step"] == 5 and os.kill(os.getpid(), signal.SIGTERM)
    notes: list[str] = []
    made.note = notes.append
    with pytest.raises(SystemExit) as ended:
        made.run()
    assert ended.value.code == 0 and signal.getsignal(signal.SIGTERM) is before
    assert "the same command goes on" in notes[-1]
    assert state_of(tmp_path / "a")[0] == 6  # the update that it was in is finished
    loop("a").run()
    same_as(tmp_path / "a")


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_changes_nothing(kills, in_process, tiny, shards, same_as, tmp_path):
    """Kills at random calls of Python functions, wherever they are, each of a run that goes on after the last."""
    draw, folder = random.Random(kills), tmp_path / "a"
    calls = tiny.calls_of_a_run(shards, tmp_path / "counted", {})
    while kills:
        code = in_process(tiny.until_killed, shards, folder, draw.randrange(calls // 2), None, {})
        assert code in (0, -signal.SIGKILL)
        kills -= code != 0
        if code == 0:  # it came to its end in between: another run
            same_as(folder)
            shutil.rmtree(folder)
    assert in_process(tiny.until_killed, shards, folder, None, None, {}) == 0
    same_as(folder)


@pytest.mark.parametrize("fsyncs", range(6))  # of metrics, tensors and facts, in the first two saves
def test_a_kill_inside_a_save_changes_nothing(fsyncs, in_process, tiny, shards, same_as, tmp_path):
    assert in_process(tiny.until_killed, shards, tmp_path / "a", None, fsyncs, {}) == -signal.SIGKILL
    left = States(tmp_path / "a" / STATES).newest(lambda state: True, pytest.fail)
    assert (left.step if left else None) == (None if fsyncs < 3 else 3)
    assert in_process(tiny.until_killed, shards, tmp_path / "a", None, None, {}) == 0
    same_as(tmp_path / "a")
    assert not list((tmp_path / "a" / STATES).glob(".*"))  # half a state


def test_parts_of_a_batch_are_the_batch(loop, state_of, metrics_of, tmp_path):
    """Passes hold unequal numbers of tokens with loss, so that a mean of their means would differ."""
    loop("whole", micro=8, answers_only=True).run()
    for micro in (1, 3):
        loop(f"by {micro}", micro=micro, answers_only=True).run()
        pairs = zip(metrics_of(tmp_path / "whole"), metrics_of(tmp_path / f"by {micro}"), strict=True)
        assert all(abs(one["loss"] - other["loss"]) < 1e-5 for one, other in pairs)
    made = loop("counts", answers_only=True)
    counts = {made.batches.answers(first, 1) for first in range(8)}
    assert len(counts) > 3


class Kept:
    """Stands in for an optimiser, and keeps the gradients that it is given."""

    def __init__(self, model):
        self.param_groups, self.model, self.gradients = [{}], model, []

    def step(self):
        self.gradients = [parameter.grad.clone() for parameter in self.model.parameters()]

    def zero_grad(self):
        pass


def test_the_gradient_of_a_batch_does_not_depend_on_its_parts(loop):
    found = []
    for micro in (8, 3, 1):
        made = loop("none", micro=micro, answers_only=True, clip=1e9)
        kept = Kept(made.model)
        made._update(Objective(made.model), [("kept", kept, 1.0)], 0)
        found.append(kept.gradients)
    for other in found[1:]:
        assert all(torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(found[0], other, strict=True))


def test_a_run_prolonged_from_its_level_part_is_the_longer_run(loop, state_of, metrics_of, tmp_path):
    loop("direct", steps=20).run()
    loop("a", steps=12).run()  # level until update 8
    loop("a", steps=20).run()
    assert state_of(tmp_path / "a") == state_of(tmp_path / "direct")
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "direct")


def test_a_shorter_run_after_a_longer_one_is_the_shorter_run(loop, same_as, undisturbed, tmp_path):
    loop("a", steps=20).run()
    loop("a").run()
    same_as(tmp_path / "a")
    loop("b").run()
    loop("b", decay=10).run()
    loop("b").run()
    same_as(tmp_path / "b")


def test_a_longer_run_that_was_interrupted_leaves_the_shorter_one_possible(loop, same_as, tiny, tmp_path):
    loop("a").run()
    stopped(loop("a", steps=20), 10, tiny)
    loop("a").run()
    same_as(tmp_path / "a")


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_state(loop, tmp_path, metrics_of):
    made = loop("a")

    def spoil(metrics):
        if metrics["step"] == 5:
            made.model.model.norm.weight.data[3] = float("nan")

    made.told = spoil
    with pytest.raises(BadOption, match="no number at update 6") as raised:
        made.run()
    assert raised.value.exit_code == 2 and BAD in raised.value.why
    bad = json.loads((tmp_path / "a" / BAD).read_bytes())
    assert bad["step"] == 6 and bad["samples"] == list(range(40, 48))
    assert bad["documents"] == made.batches.documents(40, 8)
    assert len(metrics_of(tmp_path / "a")) == 5
    left = States(tmp_path / "a" / STATES).newest(lambda state: True, pytest.fail)
    assert left.step == 3 and all(tensor.isfinite().all() for tensor in left.tensors().values())


@pytest.mark.parametrize("evaluate", [1, 100])
def test_weights_that_blow_up_are_said_so(evaluate, loop, tmp_path):
    """Whichever shows it first: the next batch, or the look at the held-out text."""
    with pytest.raises(BadOption, match=r"is no number at update [12]"):
        loop("a", adamw=1e30, muon=1e30, warmup=0, evaluate=evaluate, save=100).run()
    assert (tmp_path / "a" / BAD).is_file() and not list((tmp_path / "a" / STATES).glob("*"))


def test_a_full_disk_at_a_save_leaves_the_older_states(loop, same_as, state_of, tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def full(file: int) -> None:
        calls.append(file)
        if len(calls) > 4:  # in the middle of the second save
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoSpace) as raised:
            loop("a").run()
    assert raised.value.exit_code == 2
    assert [path.name for path in (tmp_path / "a" / STATES).iterdir()] == ["step-00000003"]
    loop("a").run()
    same_as(tmp_path / "a")


def test_a_full_disk_at_a_line_of_metrics_is_said(loop, same_as, tmp_path, monkeypatch):
    made = loop("a")

    def full(metrics):
        if metrics["step"] == 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    made.told = full
    with pytest.raises(NoSpace):
        made.run()
    loop("a").run()
    same_as(tmp_path / "a")


@pytest.mark.parametrize("how", ["cut", "changed", "no facts", "half facts"])
def test_a_damaged_state_is_passed_over(how, loop, same_as, tiny, tmp_path):
    stopped(loop("a"), 7, tiny)
    newest = tmp_path / "a" / STATES / "step-00000007"
    tensors, facts = newest / "tensors.safetensors", newest / "state.json"
    if how == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif how == "changed":
        content = bytearray(tensors.read_bytes())
        content[-5] ^= 1
        tensors.write_bytes(content)
    elif how == "no facts":
        facts.unlink()
    else:
        facts.write_bytes(facts.read_bytes()[:20])
    notes: list[str] = []
    again = loop("a")
    again.note = notes.append
    again.run()
    assert notes[-1] == "going on after update 6"
    if how in ("cut", "changed"):
        assert str(newest) in notes[0] and "damaged" in notes[0]
    same_as(tmp_path / "a")


def test_a_state_of_another_model_is_refused(loop, tiny, tmp_path):
    loop("a").run()
    made = loop("a", steps=30)
    made.model = fresh(replace(tiny.SHAPE, ffn=64), Tuning(0), tiny.TOKENIZER, 0)
    with pytest.raises(BadOption, match="another model"):
        made.run()


class OneBatch:
    """Batches that are always the same, of documents that repeat eight tokens drawn at random."""

    def __init__(self, like):
        self.context, self.rows, ids = (
            like.context,
            like.rows,
            torch.randint(5, 60, (8, 8)).repeat(1, like.context // 8),
        )
        labels = ids.roll(-1, 1)
        labels[:, -1] = IGNORED
        places = torch.arange(like.context).expand(8, -1).contiguous()
        self.batch = Batch(ids, labels, places, torch.ones_like(ids))

    def __call__(self, first, count):
        return Batch(*(tensor[first % 8 : first % 8 + count] for tensor in vars(self.batch).values()))

    def answers(self, first, count):
        return 8 * (self.context - 1)


def test_one_batch_is_learned_by_heart(loop, metrics_of, tmp_path):
    torch.manual_seed(0)
    made = loop("a", steps=100, muon=2e-2, adamw=2e-2, save=1000, evaluate=1000)
    made.batches = OneBatch(made.batches)
    made.run()
    assert metrics_of(tmp_path / "a")[-1]["loss"] < 0.1


@pytest.mark.slow
def test_compiled_layers_train_as_plain_ones(loop, metrics_of, tmp_path):
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("there is no C++ compiler")
    made, notes = loop("compiled", compile=True, steps=20), []
    made.note, made.held.measure = notes.append, lambda *_, **__: {}  # whose shapes would be compiled too
    made.run()
    assert not notes
    loop("plain", steps=20).run()
    for one, other in zip(metrics_of(tmp_path / "compiled"), metrics_of(tmp_path / "plain"), strict=True):
        assert abs(one["loss"] - other["loss"]) < 1e-3


def test_rates_go_up_stay_level_and_go_down():
    settings = Settings(steps=20, rows=1, micro=1, warmup=4, decay=5, muon=1, adamw=1)
    shares = [settings.share(update) for update in range(20)]
    assert shares[:5] == [0.25, 0.5, 0.75, 1, 1]
    assert shares[4:16] == [1] * 12
    assert shares[15:] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert settings.level == range(4, 16)
    longer = Settings(steps=40, rows=1, micro=1, warmup=4, decay=5, muon=1, adamw=1)
    assert all([longer.share(update) for update in range(step)] == shares[:step] for step in settings.level)


def test_rates_without_warming_up_and_without_an_end():
    settings = Settings(steps=5, rows=1, micro=1, warmup=0, decay=0, muon=1, adamw=1)
    assert [settings.share(update) for update in range(5)] == [1] * 5


def test_metrics_say_what_each_update_was(loop, tmp_path):
    made, told = loop("a"), []
    made.told = told.append
    made.run()
    rows = [json.loads(line) for line in (tmp_path / "a" / METRICS).read_text().splitlines()]
    assert rows == json.loads(json.dumps(told))
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["tokens"] for row in rows] == [256 * step for step in range(1, 13)]
    assert [row["step"] for row in rows if "held" in row] == [6, 12]
    assert rows[-1]["lr"] == pytest.approx(5e-3 / 4) and rows[5]["lr"] == 5e-3
    assert all(row["mfu"] is None and row["grad_norm"] > 0 and row["memory_mb"] > 0 for row in rows)


def test_the_last_states_and_that_of_the_end_of_the_level_part_are_kept(loop, tmp_path):
    loop("a", steps=20, save=2).run()  # level until update 16
    assert sorted(path.name for path in (tmp_path / "a" / STATES).iterdir()) == [
        f"step-000000{step}" for step in (14, 16, 18, 20)
    ]
    marked = json.loads((tmp_path / "a" / STATES / "step-00000016" / "state.json").read_bytes())
    assert marked["marked"] and (marked["steps"], marked["warmup"], marked["decay"]) == (20, 2, 4)
    assert load((tmp_path / "a" / STATES / "step-00000020/tensors.safetensors").read_bytes())
