"""Fine-tuning: the chats of the corpus and drills made from its text, through the loop of pretraining."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelm.errors import MissingInput
from edgelm.folders import new_folder
from edgelm.train.base import Work
from edgelm.train.corpus import Corpus
from edgelm.train.drills.rows import drills
from edgelm.train.loop.held import HeldOut
from edgelm.train.overlap.index import OverlapIndex
from edgelm.train.pretrain import Pretrain
from edgelm.train.rows.batches import Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards, ShardWriter, write_index
from edgelm.train.stage import common, corpus, here_of, train, trained
from edgelm.train.text.encoding import Encoder

if TYPE_CHECKING:
    from edgelm.train.sft import Sft

SMALLEST = 8192  # tokens of an update where nothing is said: fewer are noise
GRAMS = 8  # units that a drill may not share with a benchmark: fewer than a document of the corpus
DRILLED = 30_000_000  # bytes of each data set that drills are made from


def fine_tune(step: Sft, work: Work) -> dict[str, Any]:
    """Train the step's model; what the card says of it."""
    here, base = here_of(work), work.step(Pretrain)
    context = step.context or base.row
    if here.first:
        _write_rows(step, work, corpus(work), context)
    here.barrier()
    shards = Shards(work.folder("sft") / "rows")
    batches = Batches(shards, pack(shards.lengths, context), context, step.seed, answers_only=True)
    model, shape = trained(base, work, work.done["pretrain"])
    batch = step.batch or min(base.tuning.batch, max(SMALLEST, base.tuning.batch // 8))
    updates = max(1, round(step.epochs * len(batches.rows) / max(1, batch // context)))
    settings = common(step, here, updates, batch, context)
    settings = replace(
        settings, warmup=round(step.warmup * settings.steps), decay=settings.steps, adamw=step.peak(shape.parameters),
        wd=0.0, clip=step.clip, plain=True, average=step.average,
    )  # fmt: skip
    held = HeldOut(Shards(work.folder("corpus"), "held"), context, answers_only=True, chats_only=True)
    made = train("sft", work, model, shape, batches, held, settings, tensorboard=step.tensorboard)
    return made | {"chats": shards.documents - _drilled(shards), "drills": _drilled(shards)}


def _write_rows(step: Sft, work: Work, shards: Shards, context: int) -> None:
    """Write the rows to learn: the corpus's chats that fit into a row, and drills; at once or not at all."""
    folder = work.folder("sft") / "rows"
    if folder.is_dir():  # of this step with the same settings, which the run has made sure of
        return
    chats = np.flatnonzero(shards.chat & (shards.lengths <= context))
    if not len(chats):
        raise MissingInput("the corpus has no question with an answer to fine-tune on",
                           mend="put Alpaca into alpaca/ of the data folder, or leave sft away")  # fmt: skip
    encoder = Encoder(work.folder("tokenizer"))
    with new_folder(folder) as partial, ShardWriter(partial, "train", shards.vocab) as writer:
        for chat in chats.tolist():
            writer.add(shards.read(chat, 0, int(shards.lengths[chat])), int(shards.given[chat]),
                       int(shards.source[chat]), True)  # fmt: skip
        for ids, given in _drills(step, work, encoder, len(chats)):
            if len(ids) <= context:
                writer.add(ids, given, len(shards.sources), True)
        _write_index(partial, shards, writer.close())


def _drills(step: Sft, work: Work, encoder: Encoder, chats: int) -> Any:
    """Ids of drills and how many of them are given, so many that they are the share asked for."""
    wanted = round(step.drills / (1 - step.drills) * chats)
    if not wanted:
        return []
    index = OverlapIndex.build(work.data, n=GRAMS)
    return encoder.encode(drills(work.step(Corpus).documents(work, most=DRILLED), wanted, step.seed, index))


def _write_index(folder: Path, shards: Shards, entries: list[dict[str, Any]]) -> None:
    sources = [*shards.sources, {"name": "drills", "held_documents": 0, "held_tokens": 0, "held_bytes": 0}]
    about = {"vocab": shards.vocab, "sources": sources, "corpus": shards.digest}
    write_index(folder, about | {"train": entries, "held": []})


def _drilled(shards: Shards) -> int:
    """How many rows are drills: those of the last source."""
    return int((shards.source == len(shards.sources) - 1).sum())
