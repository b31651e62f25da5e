"""Several processes train as one: two started by torchrun, with gloo on the CPU, against one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadOption
from edgelm.plugins import spec_of
from edgelm.train.loop.distributed import World, fill, spread, synchronised, whole, world
from edgelm.train.run import train

pytestmark = pytest.mark.slow

PLAN = [
    {"out": "ddp", "settings": {}},
    {"out": "fsdp", "settings": {"how": "fsdp"}},
    {"out": "average", "settings": {"how": "fsdp", "plain": True, "average": True}},
    {"out": "two-one", "settings": {}, "stop": 6},  # one process goes on
    {"out": "fsdp-one", "settings": {"how": "fsdp"}, "stop": 6},
    {"out": "one-two", "settings": {}},  # which one process has begun
    {"out": "one-fsdp", "settings": {"how": "fsdp"}},
]


@pytest.fixture(scope="module")
def two(tiny, shards, recipe, suite, tmp_path_factory):
    """The folder in which two processes have worked through the plan, and through a whole recipe."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(shards, folder / "shards")
    for name in ("one-two", "one-fsdp"):
        begun = tiny.loop(shards, folder / name)
        tiny.end_at(begun, 6)
        with pytest.raises(SystemExit):
            begun.run()
    (folder / "plan.json").write_text(json.dumps(PLAN))
    specs = [spec_of(step) for step in recipe()]
    (folder / "recipe.json").write_text(json.dumps({"specs": specs, "data": str(suite)}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for what in ("plan", "recipe"):
        done = subprocess.run([*command, tiny.__file__, what, str(folder)], env=environment, capture_output=True,
                              text=True, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folder


def close(folder: Path, other: Path, metrics_of) -> None:
    """That two runs have the same curve of the loss and end with the same weights, but for rounding."""
    one, two = metrics_of(folder), metrics_of(other)
    assert [row["step"] for row in one] == [row["step"] for row in two] == list(range(1, 13))
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], abs=1e-4)
    for source, held in one[-1]["held"].items():
        assert held["loss"] == pytest.approx(two[-1]["held"][source]["loss"], abs=1e-5)
        assert held["tokens"] == two[-1]["held"][source]["tokens"]
    weights = [load_file(each / "states/step-00000012/tensors.safetensors") for each in (folder, other)]
    assert set(weights[0]) == set(weights[1])
    for name, tensor in weights[0].items():
        assert torch.allclose(tensor, weights[1][name], rtol=0, atol=2e-4), name


@pytest.mark.parametrize("name", ["ddp", "fsdp", "one-two", "one-fsdp"])
def test_two_processes_train_as_one(name, two, undisturbed, metrics_of):
    close(two / name, undisturbed, metrics_of)


@pytest.mark.parametrize("name", ["two-one", "fsdp-one"])
def test_one_process_goes_on_where_two_were_ended(name, two, tiny, undisturbed, metrics_of, tmp_path):
    shutil.copytree(two / name, tmp_path / "a")
    assert len(metrics_of(tmp_path / "a")) == 7
    tiny.loop(two / "shards", tmp_path / "a").run()
    close(tmp_path / "a", undisturbed, metrics_of)


def test_shares_of_weights_are_averaged_as_whole_ones(two, tiny, shards, tmp_path, metrics_of):
    tiny.loop(shards, tmp_path / "a", plain=True, average=True).run()
    close(two / "average", tmp_path / "a", metrics_of)
    for source, held in metrics_of(tmp_path / "a")[-1]["held_average"].items():
        assert held["loss"] == pytest.approx(metrics_of(two / "average")[-1]["held_average"][source]["loss"], abs=1e-5)


def test_a_whole_run_by_two_processes_is_that_of_one(two, trained, recipe, suite, metrics_of):
    made = Checkpoint(two / "model")
    for one, other in zip(metrics_of(made.path), metrics_of(trained.path), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
    assert made.card.steps[2]["processes"] == 2 and made.card.steps[:2] == trained.card.steps[:2]
    assert train(recipe(), suite, made.path).digest == made.digest  # one process has nothing to add


def test_without_torchrun_the_world_is_one_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with world("cpu") as here:
        assert (here.rank, here.size, here.first, here.name) == (0, 1, True, "cpu")
        here.barrier()
        assert here.total(torch.tensor([2.0, 3.0])).tolist() == [2.0, 3.0]


def test_devices_that_are_not_there_are_named(monkeypatch):
    with pytest.raises(BadOption, match="no device 'tpu'"), world("tpu"):
        pass
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadOption, match="no GPU"), world("cuda"):
        pass
    with world("auto") as here:
        assert here.device.type == "cpu"


def test_one_process_spreads_nothing():
    model, layers = torch.nn.Linear(2, 2), torch.nn.ModuleList()
    here = World(0, 1, torch.device("cpu"))
    assert spread(model, layers, here, "ddp", torch.float32) is model
    with synchronised(model, last=False):
        pass
    tensor = torch.zeros(3)
    assert whole(tensor) is tensor
    fill(tensor, torch.ones(3))
    assert tensor.tolist() == [1, 1, 1]
