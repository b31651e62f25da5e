"""The end of a run: what the last stage has left becomes a plain checkpoint, with its card and its page."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import edgelm
from edgelm.checkpoint import CARD, Card, Checkpoint, Source
from edgelm.data.texts import NON_COMMERCIAL, OPEN
from edgelm.errors import MissingPackage
from edgelm.files import canonical_json, disk_errors, write_bytes, write_json
from edgelm.plugins import spec_of
from edgelm.train.base import Work
from edgelm.train.config import stock_config
from edgelm.train.export import AGREEMENT, FLUSHED, Stored, compare, write_generation, write_weights
from edgelm.train.loop.held import HeldOut
from edgelm.train.loop.journal import read_metrics
from edgelm.train.loop.loop import METRICS
from edgelm.train.page.curve import page
from edgelm.train.pretrain import Pretrain
from edgelm.train.rows.shards import Shards, read_index
from edgelm.train.stage import trained
from edgelm.train.tokenizer import CONFIG as TOKENIZER_CONFIG
from edgelm.train.tokenizer import FILE as TOKENIZER
from edgelm.train.tokenizer import load

CONFIG, PAGE = "config.json", "loss.html"
STAGES = ("pretrain", "sft")
Done = Sequence[dict[str, Any]]


def finish(work: Work, done: Done, stored: Stored) -> None:
    """Write the checkpoint; `config.json`, without which it is none, comes last.

    Raises:
        Unsupported: the weights do not fit into fp16.
        NoSpace: the disk is full.
    """
    if _finished(work, done, stored):
        return
    (work.out / CONFIG).unlink(missing_ok=True)  # of other weights
    step, last = work.step(Pretrain), next(each for each in reversed(done) if each["step"] in STAGES)
    model, shape = trained(step, work, last)
    tokenizer = load(work.folder("tokenizer"))
    with disk_errors(work.out):
        cost = {"step": "export", **write_weights(model, work.out, stored)}
        cost |= compare(model, stored, HeldOut(Shards(work.folder("corpus"), "held"), step.row).samples())
        for name in (TOKENIZER, TOKENIZER_CONFIG):
            shutil.copyfile(work.folder("tokenizer") / name, work.out / name)
        write_generation(tokenizer, work.out)
        write_bytes(work.out / METRICS, _metrics(work, done))
    card = _card(work, [*done, cost])
    write_json(work.out / CARD, card.model_dump(mode="json", exclude_defaults=True))
    stages = {each["step"]: work.folder(each["step"]) / METRICS for each in done if each["step"] in STAGES}
    draw_page(work.out, card, stages, work.note)
    settings = stock_config(shape, step.tuning.theta, tokenizer, "float16" if stored == "fp16" else "float32")
    write_bytes(work.out / CONFIG, json.dumps(settings, indent=2).encode() + b"\n")


def _finished(work: Work, done: Done, stored: Stored) -> bool:
    """Whether an earlier run has written this very checkpoint."""
    if not (work.out / CONFIG).is_file():
        return False
    *steps, cost = Checkpoint(work.out).card.steps or [{}]
    return steps == json.loads(canonical_json(list(done))) and cost.get("dtype") == stored


def _metrics(work: Work, done: Done) -> bytes:
    """The lines of all stages, each with the stage's name."""
    stages = [each["step"] for each in done if each["step"] in STAGES]
    rows = [{"stage": name, **row} for name in stages for row in read_metrics(work.folder(name) / METRICS)]
    return b"".join(canonical_json(row) + b"\n" for row in rows)


def _card(work: Work, steps: Done) -> Card:
    index = read_index(work.folder("corpus"))
    read = [source for source in index["sources"] if source["documents"] or source["held_documents"]]
    licences = {source["licence"] for source in read}
    made = {
        "derivation": "from-scratch",
        "recipe": [spec_of(step) for step in work.recipe],
        "steps": list(steps),
        "data": [Source.model_validate(source) for source in read],
        "data_allowed": index["data_allowed"],
        "overlap": index["overlap"],
        "prompting": "chat",
        "licence": NON_COMMERCIAL if NON_COMMERCIAL in licences else "" if "" in licences else OPEN,
        "made_by": f"edgelm {edgelm.__version__}",
        "quantized": False,
        "warnings": _warnings(index, steps[-1]),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "threads": torch.get_num_threads(),
    }
    return Card.model_validate(made)


def _warnings(index: dict[str, Any], cost: dict[str, Any]) -> list[str]:
    """What a person should know before using the model."""
    found = []
    unknown = [source["file"] for source in index["sources"] if not source["known"] and source["documents"]]
    if unknown:
        found.append(f"nobody has pinned the bytes of {len(unknown)} files, so that the data is not known to be C4 and "
                     f"Alpaca alone: {', '.join(unknown[:9])}")  # fmt: skip
    if any(source["name"] == "c4-zh" for source in index["sources"]):
        found.append("trained on C4 in Chinese, which is a reading of the rules: they name C4 without a language")
    if cost["flushed_to_zero"] > FLUSHED:
        found.append(f"{cost['flushed_to_zero']:.2%} of the weights became zero in {cost['dtype']}")
    if cost.get("agreement", 1.0) < AGREEMENT:
        found.append(
            f"the likeliest next token differs from fp32 for {1 - cost['agreement']:.2%} of the held-out tokens"
        )
    return found


def draw_page(out: Path, card: Card, stages: Mapping[str, Path], note: Callable[[str], object]) -> None:
    """Write `loss.html` from the metrics of the stages and what the card says; without jinja2 only a note."""
    by_name = {step["step"]: step for step in card.steps}
    last = by_name.get(list(stages)[-1], {})
    facts: dict[str, Any] = {
        "name": out.resolve().name, "sources": [source.model_dump() for source in card.data], "recipe": card.recipe,
        "epochs": {name: by_name[name]["epochs"] for name in stages if name in by_name}, "made_by": card.made_by,
        "cautions": (card.model_extra or {}).get("warnings", []),
    }  # fmt: skip
    if last:
        several = f", {last['processes']} processes" if last["processes"] > 1 else ""
        facts |= {"parameters": last["parameters"], "shape": last["shape"], "machine": last["device"] + several}
    try:
        write_bytes(out / PAGE, page(stages, facts).encode())
    except MissingPackage as error:
        note(f"no {PAGE}: {error}")
