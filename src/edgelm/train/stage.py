"""One stage of training from the settings of its step: the model, the batches and the loop put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from edgelm.errors import BadFile, BadOption, Unsupported
from edgelm.shapes import Shape
from edgelm.stock import is_out_of_memory
from edgelm.train.base import Work, silent
from edgelm.train.loop.distributed import World
from edgelm.train.loop.held import HeldOut
from edgelm.train.loop.journal import read_metrics
from edgelm.train.loop.loop import METRICS, STATES, Loop, Settings
from edgelm.train.loop.model import fresh
from edgelm.train.loop.speed import Meter
from edgelm.train.loop.state import States, weights
from edgelm.train.page import sinks
from edgelm.train.rows.batches import Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards, read_index
from edgelm.train.tokenizer import digest, load

if TYPE_CHECKING:
    from edgelm.train.pretrain import Pretrain
    from edgelm.train.sft import Sft

PASS = {"cpu": 8192, "cuda": 65_536}  # tokens of a pass where nothing is said
RECENT = 20  # updates over which the card's loss is a mean
LEAST_WARMUP = 100  # updates, where a tenth of all is as many


def pretrain(step: Pretrain, work: Work) -> dict[str, Any]:
    """Train the step's model on the whole corpus; what the card says of it."""
    here = here_of(work)
    tokenizer = load(work.folder("tokenizer"))
    shards = corpus(work)
    shape = replace(step.dimensions, vocab=shards.vocab)
    tuning, answers_only = step.tuning, step.tuning.loss == "answers"
    batches = Batches(shards, pack(shards.lengths, step.row), step.row, step.seed, answers_only)
    updates = step.updates(shape.parameters)
    warmup = max(round(tuning.warmup * updates), min(LEAST_WARMUP, updates // 10)) if tuning.warmup else 0
    settings = common(step, here, updates, tuning.batch, step.row)
    settings = replace(
        settings, warmup=warmup, decay=round(tuning.decay * updates), muon=tuning.muon, adamw=tuning.adamw,
        wd=step.wd, clip=step.clip, z=step.z, plain=step.optimizer == "adamw",
    )  # fmt: skip
    model = fresh(shape, tuning, tokenizer, step.seed)
    held = HeldOut(Shards(work.folder("corpus"), "held"), step.row, answers_only=answers_only)
    return train("pretrain", work, model, shape, batches, held, settings, tensorboard=step.tensorboard)


def corpus(work: Work) -> Shards:
    """The training part of the corpus, held against the tokenizer and its own digests.

    Raises:
        BadFile: it is damaged, or was made with another tokenizer.
    """
    folder = work.folder("corpus")
    if read_index(folder)["tokenizer"] != digest(work.folder("tokenizer")):
        raise BadFile(f"{folder} was made with another tokenizer than {work.folder('tokenizer')}",
                      why="the digest in its index.json is not that of tokenizer.json",
                      mend=f"remove {folder} and run again, or put the tokenizer back")  # fmt: skip
    shards = Shards(folder)
    if here_of(work).first:
        shards.verify()
    return shards


def common(step: Pretrain | Sft, here: World, updates: int, batch: int, context: int) -> Settings:
    """The settings that follow from where a stage runs; schedule and rates are the step's.

    Raises:
        BadOption: the rows of an update cannot be shared out evenly.
    """
    rows = max(1, batch // context)
    if step.batch is None:
        rows = -(-rows // here.size) * here.size
    if rows % here.size:
        raise BadOption(f"an update of {rows} rows cannot be shared by {here.size} processes",
                        why=f"batch={batch} is {rows} rows of {context} tokens",
                        mend=f"batch={-(-rows // here.size) * here.size * context}")  # fmt: skip
    micro = (step.micro or PASS[here.device.type]) // context
    gpu = here.device.type == "cuda"
    bf16 = step.precision == "bf16" or (step.precision == "auto" and gpu)
    return Settings(
        steps=updates, rows=rows, micro=max(1, min(micro, rows // here.size)), warmup=0, decay=0, muon=0.0, adamw=0.0,
        dtype=torch.bfloat16 if bf16 else torch.float32,
        compile=step.compile == "yes" or (step.compile == "auto" and gpu),
        save=step.save or max(1, updates // 20), evaluate=step.evaluate or max(1, updates // 20),
    )  # fmt: skip


def train(
    name: str, work: Work, model: Any, shape: Shape, batches: Batches, held: HeldOut, settings: Settings, *,
    tensorboard: bool,
) -> dict[str, Any]:  # fmt: skip
    """Run the loop of a stage; what the card says of it.

    Raises:
        BadOption: an update holds more rows than the corpus has.
        Unsupported: the device's memory is too small.
    """
    here, context = here_of(work), batches.context
    if settings.rows > len(batches.rows):
        raise BadOption(f"an update of {settings.rows} rows is more than the {len(batches.rows)} rows of the corpus",
                        mend=f"{name}:batch={len(batches.rows) * context} or less, or more data")  # fmt: skip

    folder = work.folder(name)
    sink = sinks.tensorboard(folder / "tensorboard") if tensorboard and here.first else silent

    def told(metrics: Any) -> None:
        sink(metrics)
        work.progress(name, metrics["step"], settings.steps)
        work.told(name, metrics)

    loop = Loop(model, batches, held, settings, folder, here, Meter(shape, context, here), work.how, told, work.note)
    try:
        loop.run()
    except Exception as error:
        if is_out_of_memory(error):
            raise _too_large(name, settings.micro, context, here) from error
        raise
    metrics = read_metrics(folder / METRICS)
    recent = [each["loss"] for each in metrics[-RECENT:]]
    last = metrics[-1]
    kept = {"kept": "average" if _mean(last["held_average"]) < _mean(last["held"]) else "last",
            "held_average": last["held_average"]} if settings.average else {}  # fmt: skip
    return {
        "step": name, "parameters": shape.parameters, "shape": _described(shape),
        "updates": settings.steps, "tokens": last["tokens"],
        "epochs": round(batches.epochs(settings.steps * settings.rows), 3), "context": context,
        "loss": round(math.fsum(recent) / len(recent), 4), "held": last["held"], **kept,
        "precision": str(settings.dtype).removeprefix("torch."), "device": here.name, "processes": here.size,
    }  # fmt: skip


def _too_large(name: str, rows: int, context: int, here: World) -> Unsupported:
    smaller = f"micro={rows // 2 * context}" if rows > 1 else f"context={context // 2}"
    return Unsupported(f"the memory of {here.name} is too small for passes of {rows * context:,} tokens",
                       mend=f"{name}:{smaller}; the last saved state is kept")  # fmt: skip


def _described(shape: Shape) -> str:
    return (f"{shape.family}, {shape.layers} layers × {shape.width} × {shape.ffn}, {shape.heads} heads on "
            f"{shape.kv_heads}, vocabulary {shape.vocab:,}")  # fmt: skip


def _mean(held: Mapping[str, Mapping[str, float]]) -> float:
    """The mean loss of all held-out tokens; 0 if there are none."""
    tokens = sum(each["tokens"] for each in held.values())
    return sum(each["loss"] * each["tokens"] for each in held.values()) / max(1, tokens)


def trained(step: Pretrain, work: Work, done: Mapping[str, Any]) -> tuple[Any, Shape]:
    """The model that a finished stage has left, with its last weights or their average, and its shape.

    Args:
        step: the settings of pretraining.
        work: the run.
        done: what the stage says of itself.

    Raises:
        BadFile: the stage's last state is damaged or gone.
    """
    folder, updates = work.folder(done["step"]), done["updates"]
    tokenizer = load(work.folder("tokenizer"))
    shape = replace(step.dimensions, vocab=Shards(work.folder("corpus")).vocab)
    state = States(folder / STATES).newest(lambda state: state.step == updates, work.note)
    if state is None:
        raise BadFile(f"{folder} has lost the state after its last update, {updates}",
                      mend=f"remove {folder} and run again")  # fmt: skip
    model = fresh(shape, step.tuning, tokenizer, step.seed)
    kept = weights(state, average=done.get("kept") == "average")
    model.load_state_dict(kept, strict=False)  # a tied head has no tensor of its own
    return model, shape


def here_of(work: Work) -> World:
    """What a run trains on; one process on the CPU if nobody has said."""
    return work.here or World(0, 1, torch.device("cpu"))
