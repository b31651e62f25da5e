"""A tiny run of the training loop, for tests and for the processes that they start.

`torchrun … tiny_loop.py plan FOLDER` runs what `FOLDER/plan.json` lists, one run of the loop an entry, in one world;
`recipe` in place of `plan` runs the whole recipe of `FOLDER/recipe.json`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from edgelm.plugins import parse
from edgelm.shapes import Shape
from edgelm.train.base import Tuning
from edgelm.train.loop.distributed import World, world
from edgelm.train.loop.held import HeldOut
from edgelm.train.loop.loop import Loop, Settings
from edgelm.train.loop.model import fresh
from edgelm.train.loop.speed import Meter
from edgelm.train.rows.batches import Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards, ShardWriter, write_index
from edgelm.train.run import train

VOCAB, CONTEXT = 64, 32
SHAPE = Shape("llama", 2, 32, 2, 1, 16, 48, VOCAB, CONTEXT, tied=True)
TOKENIZER = SimpleNamespace(bos_token_id=0, eos_token_id=1, pad_token_id=2)
ALONE = World(0, 1, torch.device("cpu"))


def write_shards(folder: Path, documents: int = 300) -> None:
    """Sequences in steps of three, some of them answers whose first half is given, and as many as fit held out."""
    draw = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for part, count in (("train", documents), ("held", 20)):
        with ShardWriter(folder, part, VOCAB) as writer:  # type: ignore[arg-type]
            for number in range(count):
                length, start = int(draw.integers(3, 40)), int(draw.integers(VOCAB))
                chat = number % 4 == 0
                writer.add((np.arange(length) * 3 + start) % (VOCAB - 5) + 5, length // 2 if chat else 1, chat, chat)
            made[part] = writer.close()
    sources = [
        {"name": name, "held_documents": 10, "held_tokens": 400, "held_bytes": 1600} for name in ("c4", "alpaca")
    ]
    write_index(folder, {"tokenizer": "x", "vocab": VOCAB, "sources": sources, **made})


def loop(shards: Path, out: Path, here: World = ALONE, *, answers_only: bool = False, **given: Any) -> Loop:
    """The loop of a tiny model; `given` are fields of its settings, and `seed`, `how`."""
    seed, how = given.pop("seed", 0), given.pop("how", "ddp")
    read = Shards(shards)
    batches = Batches(read, pack(read.lengths, CONTEXT), CONTEXT, seed, answers_only)
    model = fresh(SHAPE, Tuning(batch=0, init=0.1, theta=10.0), TOKENIZER, seed)
    usual = {"steps": 12, "rows": 8, "micro": 4, "warmup": 2, "decay": 4, "muon": 5e-3, "adamw": 5e-3,
             "save": 3, "evaluate": 6}  # fmt: skip
    return Loop(model, batches, HeldOut(Shards(shards, "held"), CONTEXT, answers_only=answers_only),
                Settings(**usual | given), out, here, Meter(SHAPE, CONTEXT, here), how)  # fmt: skip


def end_at(made: Loop, step: int) -> None:
    """Let a loop be asked to stop after a step."""
    made.told = lambda metrics: made.stop() if metrics["step"] == step else None


def until_killed(shards: Path, out: Path, calls: int | None, fsyncs: int | None, given: dict[str, Any]) -> None:
    """Run the loop, and die in the middle of it: at a call of some Python function, or of fsync, by its number."""
    made = loop(shards, out, **given)
    if fsyncs is not None:
        real, left = os.fsync, iter(range(fsyncs))

        def fsync(file: int) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            real(file)

        os.fsync = fsync
    if calls is not None:
        sys.setprofile(_killing(calls))
    made.run()
    sys.setprofile(None)


def recipe_until_killed(specs: list[str], data: Path, out: Path, calls: int | None) -> None:
    """Run a whole recipe, and die in the middle of it: at a call of some Python function, by its number."""
    torch.set_num_threads(1)
    if calls is not None:
        sys.setprofile(_killing(calls))
    train([parse("train", spec) for spec in specs], data, out)
    sys.setprofile(None)


def calls_of_a_run(shards: Path, out: Path, given: dict[str, Any]) -> int:
    """How many calls of Python functions a whole run makes."""
    made, count = loop(shards, out, **given), 0

    def seen(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(seen)
    try:
        made.run()
    finally:
        sys.setprofile(None)
    return count


def _killing(calls: int) -> Callable[[Any, str, Any], None]:
    left = calls

    def seen(frame: Any, event: str, _: Any) -> None:
        nonlocal left
        left -= event == "call"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return seen


def main(what: str, folder: Path) -> None:
    """Run the plan or the recipe of a folder in the world that torchrun has made: a process has no second one."""
    torch.set_num_threads(1)
    if what == "recipe":
        asked = json.loads((folder / "recipe.json").read_bytes())
        train([parse("train", spec) for spec in asked["specs"]], Path(asked["data"]), folder / "model")
        return
    with world("cpu") as here:
        for entry in json.loads((folder / "plan.json").read_bytes()):
            made = loop(folder / "shards", folder / entry.pop("out"), here, **entry.pop("settings"))
            if stop := entry.pop("stop", None):
                end_at(made, stop)
            try:
                made.run()
            except SystemExit as ended:
                assert ended.code == 0, ended
            here.barrier()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
