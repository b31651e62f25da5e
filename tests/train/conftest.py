"""Fixtures for the tests of training: a tiny loop, processes that run it, and the miniature as training text."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parent))  # so that processes that tests start find `tiny_loop` too
TIMING = {"seconds", "tokens_per_s", "data_wait_s", "memory_mb", "mfu", "mfu_causal"}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module `tiny_loop`."""
    import tiny_loop

    return tiny_loop


@pytest.fixture(scope="session")
def shards(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 300 short documents, 20 of them held out."""
    folder = tmp_path_factory.mktemp("shards")
    tiny.write_shards(folder)
    return folder


@pytest.fixture
def loop(tiny: ModuleType, shards: Path, tmp_path: Path) -> Callable[..., Any]:
    """`loop("a", steps=20)`: a tiny loop that works in the folder `a`."""
    return lambda name, **given: tiny.loop(shards, tmp_path / name, **given)


@pytest.fixture(scope="session")
def undisturbed(tiny: ModuleType, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 12 updates that nothing has disturbed."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("undisturbed")
    tiny.loop(shards, folder).run()
    return folder


@pytest.fixture(scope="session")
def in_process() -> Callable[..., int]:
    """`in_process(function, …)`: the exit code of a process of its own that calls it; a signal is below nought."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["edgelm.train.loop.loop", "edgelm.train.loop.model"]
    )  # once, and not by each process

    def call(function: Callable[..., None], *arguments: Any) -> int:
        process = context.Process(target=function, args=arguments)
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    return call


@pytest.fixture(scope="session")
def metrics_of() -> Callable[[Path], list[dict[str, Any]]]:
    """`metrics_of(folder)`: the lines of its `metrics.jsonl`, without what depends on the clock."""

    def read(folder: Path) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key not in TIMING} for row in rows]

    return read


@pytest.fixture(scope="session")
def state_of() -> Callable[[Path], tuple[int, bytes]]:
    """`state_of(folder)`: the step and all bytes of the newest state of a run."""

    def read(folder: Path) -> tuple[int, bytes]:
        newest = max((folder / "states").glob("step-*"))
        return json.loads((newest / "state.json").read_bytes())["step"], (newest / "tensors.safetensors").read_bytes()

    return read


TINY = {"tokenizer": "vocab=512", "corpus": "held_out=0.1", "pretrain": "shape=tiny,steps=6,batch=512,context=128"}
SFT = "epochs=0.1,batch=256"


@pytest.fixture(scope="session")
def recipe() -> Callable[..., list[Any]]:
    """`recipe("pretrain:seed=1", "sft")`: the steps of a tiny run, changed so; fine-tuning only if it is named."""
    from edgelm.plugins import parse
    from edgelm.recipe import merged

    def make(*changes: str) -> list[Any]:
        usual = [f"{name}:{options}" for name, options in TINY.items()]
        named = [f"sft:{SFT}"] if any(change.startswith("sft") for change in changes) else []
        return [parse("train", spec) for spec in merged([*usual, *named, *changes])]

    return make


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature suite with 300 questions and answers to train on."""
    from edgelm.data.miniature import write

    folder = tmp_path_factory.mktemp("suite") / "data"
    write(folder, rows=5, train_rows=300)
    return folder


@pytest.fixture(scope="session")
def trained(recipe: Callable[..., list[Any]], suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The checkpoint that the tiny recipe gives."""
    from edgelm.train.run import train

    torch.set_num_threads(1)
    return train(recipe(), suite, tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="session")
def tuned(recipe: Callable[..., list[Any]], suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The checkpoint that the tiny recipe gives with fine-tuning and drills."""
    from edgelm.train.run import train

    torch.set_num_threads(1)
    return train(recipe("sft:drills=0.2"), suite, tmp_path_factory.mktemp("tuned") / "model")


@pytest.fixture
def begun(trained: Any, tmp_path: Path) -> Path:
    """A copy of the output of a finished run, to go on from."""
    return shutil.copytree(trained.path, tmp_path / "begun")
