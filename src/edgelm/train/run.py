"""Train a model from scratch: tokenizer, corpus, pretraining and fine-tuning, from a data folder to a checkpoint.

What a step has made stays in `work/` below the output, and a step that is complete is not done again: the same command
goes on where an earlier one was ended, however it was ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption, MissingInput
from edgelm.train.base import Progress, Step, Work, silent
from edgelm.train.corpus import Corpus
from edgelm.train.export import Stored
from edgelm.train.finish import CONFIG, finish
from edgelm.train.keeping import Record, claimed, listing
from edgelm.train.loop.distributed import Spread, world
from edgelm.train.pretrain import Pretrain
from edgelm.train.rows.shards import Shards
from edgelm.train.sft import Sft
from edgelm.train.steps import complete, name_of
from edgelm.train.tokenizer import Tokenizer, digest


def train(
    steps: Sequence[Step],
    data: Path | None,
    out: Path,
    progress: Progress = silent,
    *,
    note: Callable[[str], object] = silent,
    told: Callable[[str, Mapping[str, Any]], object] = silent,
    device: str = "cpu",
    how: Spread = "ddp",
    workers: int = 1,
    stored: Stored = "fp16",
    offline: bool | None = None,
    until: str | None = None,
) -> Checkpoint | None:
    """Train a model, or go on training it; `out` becomes a checkpoint when all is done.

    The same steps, data and number of threads give the same bytes on a CPU.

    Args:
        steps: at most one of each kind, in any order; those left out run with their defaults, `sft` only if given.
        data: the data folder, with `alpaca/` and `c4/`; the cache alone if not given.
        out: the folder to make; `work/` in it keeps what the steps make.
        progress: told what is being done, how much is done, and of how much.
        note: told in words what a person should know.
        told: told a step's name and the metrics of each update.
        device: `cpu`, `cuda` or `auto`; under `torchrun` each process takes its own.
        how: `ddp` or `fsdp`, where there are several processes.
        workers: processes that prepare text.
        stored: the type of the weights that are written.
        offline: never use the network; as `EDGELM_OFFLINE` says if not given.
        until: the name of the step after which to stop for now; nothing is returned then.

    Raises:
        BadOption: `out` is taken, a step comes twice, or settings do not go together or are not those of the run there.
        MissingInput: there is no training data, or it lacks rows or fields.
        BadFile: a data file, or what a step has left, is damaged.
        NoSpace: the disk is full; what was finished stays.
        SystemExit: (0) the process was asked to end, and can go on from where it was.
    """
    recipe = complete(steps)
    folder = DataFolder(data, offline=offline)
    with world(device) as here, claimed(out, here):
        ears = (progress, note, told) if here.first else (silent, silent, silent)
        work = Work(out, folder, recipe, *ears, workers, here, how)
        if how == "fsdp" and here.size == 1:
            raise BadOption("one process has nobody to share a model with", mend="--processes 2 or more, or --dist ddp")
        for step in recipe:
            work.done[name_of(step)] = _done(step, work)
            if name_of(step) == until:
                return None
        if here.first:
            finish(work, [*work.done.values()], stored)
        here.barrier()
    return Checkpoint(out)


def _done(step: Step, work: Work) -> dict[str, Any]:
    """What a step has done, now or before; the first process decides which."""
    assert work.here is not None
    base = work.done["pretrain"] if isinstance(step, Sft) else None  # which may have gone on since
    record = Record(work.folder(name_of(step)), step, _inputs(step, work), base) if work.here.first else None
    known = work.here.told(record.done if record and record.complete else None)
    if known is not None:
        return known
    if record and isinstance(step, Pretrain):
        _require_no_shorter(step, record)
        if any(isinstance(other, Sft) for other in work.recipe):
            _require_questions(Shards(work.folder("corpus")))
    together = isinstance(step, Pretrain | Sft)  # the first process alone prepares text; the model all of them train
    if record:
        (work.out / CONFIG).unlink(missing_ok=True)  # what is trained further is no checkpoint meanwhile
        record.begin()
    work.here.barrier()
    done: dict[str, Any] = {}
    if isinstance(step, Tokenizer) and work.here.first:
        done = step.run(work, lambda: work.step(Corpus).documents(work, most=step.text))
    elif together or work.here.first:
        done = step.run(work)
    if record:
        record.end(done)
    return work.here.told(done)


def _require_no_shorter(step: Pretrain, record: Record) -> None:
    """Refuse fewer updates than a finished run has behind it, before anything of its model is touched.

    Raises:
        BadOption: say how many there are.
    """
    done = record.done
    if done and step.updates(done["parameters"]) < done["updates"]:
        raise BadOption(f"{record.folder} is finished with {done['updates']} updates, more than are asked for",
                        mend="another -o, or as many tokens or more")  # fmt: skip


def _require_questions(shards: Shards) -> None:
    """Refuse a corpus without chats before hours of pretraining, if there is going to be fine-tuning.

    Raises:
        MissingInput: there are none.
    """
    if not shards.chat.any():
        raise MissingInput("the corpus has no question with an answer, which sft will want",
                           mend="put Alpaca into alpaca/ of the data folder, or leave sft away")  # fmt: skip


def _inputs(step: Step, work: Work) -> dict[str, Any]:
    """What a step reads, so that it is done again only where that has changed."""
    corpus = work.step(Corpus)
    if isinstance(step, Tokenizer):
        return {"corpus": corpus, "data": listing(work.data, corpus.files)} if step.path is None \
            else {"path": digest(step.path)}  # fmt: skip
    if isinstance(step, Corpus):
        return {"tokenizer": digest(work.folder("tokenizer")), "data": listing(work.data, corpus.files)}
    if isinstance(step, Pretrain):
        return {"corpus": Shards(work.folder("corpus")).digest}
    return {"pretrain": work.step(Pretrain).identity, "corpus": Shards(work.folder("corpus")).digest}
