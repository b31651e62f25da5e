"""Train a model from scratch: tokenizer, corpus and pretraining in one run, from a data folder to a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import edgelm
from edgelm.checkpoint import Card, Checkpoint
from edgelm.errors import BadOption
from edgelm.files import new_folder
from edgelm.plugins import spec_of
from edgelm.train.base import Progress, Step, Work, silent
from edgelm.train.corpus import Corpus
from edgelm.train.pretrain import Pretrain
from edgelm.train.sources import NON_COMMERCIAL
from edgelm.train.tokenizer import Tokenizer

S = TypeVar("S")


def train(steps: Sequence[Step], data: Path, out: Path, progress: Progress = silent) -> Checkpoint:
    """Train a model and write it as a new checkpoint folder, which appears whole or not at all.

    The same steps, data and number of threads give the same bytes on a CPU.

    Args:
        steps: at most one of each kind, in any order; those left out run with their defaults.
        data: the folder with `alpaca/` and `c4/`.
        out: the folder to make.
        progress: told what is being done, how much is done, and of how much.

    Raises:
        BadOption: `out` is taken, a step comes twice, or settings do not go together.
        MissingInput: there is no training data, or it lacks rows or columns.
        BadFile: a data file is not in its format.
    """
    corpus = _one(steps, Corpus)
    recipe: list[Step] = [_one(steps, Tokenizer), corpus, _one(steps, Pretrain)]
    with new_folder(out) as partial:
        documents, sources = corpus.read(data)
        work = Work(partial, documents, progress, sources=sources)
        done = [step.run(work) for step in recipe]
        card = Card(
            derivation="from-scratch",
            recipe=[spec_of(step) for step in recipe],
            steps=done,
            data=work.sources,
            prompting="chat",
            licence=next((source.licence for source in sources if source.licence == NON_COMMERCIAL), "Apache-2.0"),
            made_by=f"edgelm {edgelm.__version__}",
        )
        Checkpoint(partial).write_card(card)
    return Checkpoint(out)


def _one(steps: Sequence[Step], kind: type[S]) -> S:
    found = [step for step in steps if isinstance(step, kind)]
    if len(found) > 1:
        name = kind.__name__.lower()
        raise BadOption(f"the step '{name}' comes {len(found)} times", mend="give it once")
    return found[0] if found else kind()
