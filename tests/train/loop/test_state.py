"""States: whole or not there, the newest and the marked ones."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import SafetensorError

from edgelm.errors import BadFile, BadOption, NoSpace
from edgelm.train.base import Tuning
from edgelm.train.loop.average import Average
from edgelm.train.loop.model import fresh
from edgelm.train.loop.optim import optimisers
from edgelm.train.loop.state import States, restore, snapshot, weights


def anything(state):
    return True


def save(states, *steps, mark=()):
    for step in steps:
        states.save(step, {"model.a": torch.full((3,), float(step))}, {"steps": 9}, mark=step in mark)


def kept(states):
    return sorted(int(path.name.removeprefix("step-")) for path in states.folder.iterdir())


def test_the_newest_and_every_marked_state_stay(tmp_path):
    states = States(tmp_path / "states", keep=2)
    save(states, 1, 2, 3, 4, 5, mark=(2,))
    assert kept(states) == [2, 4, 5]
    newest = states.newest(anything, pytest.fail)
    assert newest.step == 5 and newest.facts["steps"] == 9
    assert newest.tensors()["model.a"].tolist() == [5, 5, 5]
    assert states.newest(lambda state: state.step < 5, pytest.fail).step == 4
    assert states.newest(lambda state: False, pytest.fail) is None
    assert States(tmp_path / "none").newest(anything, pytest.fail) is None


def test_a_state_of_the_same_step_takes_the_place_of_the_old_one(tmp_path):
    states = States(tmp_path)
    save(states, 3)
    states.save(3, {"model.a": torch.zeros(3)}, {}, mark=False)
    assert states.newest(anything, pytest.fail).tensors()["model.a"].tolist() == [0, 0, 0]


def test_what_is_later_is_forgotten_with_what_kills_have_left(tmp_path):
    states = States(tmp_path)
    save(states, 1, 2, 3, mark=(3,))
    (tmp_path / ".step-00000004.partial-x").mkdir()
    states.forget_after(2)
    assert kept(states) == [1, 2]


def test_damaged_states_are_told_and_passed_over(tmp_path):
    states, notes = States(tmp_path), []
    save(states, 1, 2, 3)
    (tmp_path / "step-00000003/tensors.safetensors").write_bytes(b"short")
    (tmp_path / "step-00000002/state.json").write_text("[]")
    (tmp_path / "step-00000009").mkdir()
    assert states.newest(anything, notes.append).step == 1
    assert len(notes) == 1 and "step-00000003 is damaged" in notes[0]


def test_a_full_disk_leaves_older_states_and_nothing_half(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    states = States(tmp_path)
    save(states, 1)
    monkeypatch.setattr("edgelm.stock.save_file", refuse)
    with pytest.raises(NoSpace) as raised:
        save(states, 2)
    assert raised.value.exit_code == 2 and kept(states) == [1]


@pytest.fixture
def trained(tiny):
    """`trained(seed, plain)`: a model and its optimisers after an update with gradients of ones, and an average."""

    def make(seed=0, plain=False):
        model = fresh(tiny.SHAPE, Tuning(0), tiny.TOKENIZER, seed)
        named = optimisers(model, muon=1e-2, adamw=1e-2, decay=0.1, plain=plain)
        average = Average(model)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        for _, optimizer, _ in named:
            optimizer.step()
            optimizer.zero_grad()
        return model, named, average

    return make


@pytest.mark.parametrize("plain", [False, True])
def test_a_snapshot_puts_everything_back(plain, trained, tmp_path):
    whole = snapshot(*trained(0, plain))
    States(tmp_path).save(1, whole, {}, mark=False)
    state = States(tmp_path).newest(anything, pytest.fail)
    other = trained(1, plain)
    assert not all(torch.equal(each, whole[name]) for name, each in snapshot(*other).items())
    restore(*other, state)
    again = snapshot(*other)
    assert set(again) == set(whole) and all(torch.equal(again[name], each) for name, each in whole.items())
    model = other[0]
    assert all(torch.equal(weights(state)[name], each) for name, each in model.named_parameters())
    assert set(weights(state, average=True)) == set(weights(state))


def test_a_snapshot_of_another_optimiser_or_model_is_refused(trained, tiny, tmp_path):
    states = States(tmp_path)
    states.save(1, snapshot(*trained(0, plain=True)), {}, mark=False)
    with pytest.raises(BadFile, match="no optimiser of this run has"):
        restore(*trained(0, plain=False), states.newest(anything, pytest.fail))
    states.save(2, {"model.a": torch.zeros(1)}, {}, mark=False)
    with pytest.raises(BadOption, match="another model"):
        restore(*trained(0), states.newest(anything, pytest.fail))


def test_facts_are_plain_json(tmp_path):
    save(States(tmp_path), 7)
    facts = json.loads((tmp_path / "step-00000007/state.json").read_bytes())
    assert set(facts) == {"steps", "step", "sha256", "marked"} and facts["step"] == 7
