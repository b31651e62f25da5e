"""Train a model from scratch: tokenizer, corpus and pretraining in one run, from a data folder to a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import edgelm
from edgelm.checkpoint import Card, Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.data.texts import NON_COMMERCIAL, OPEN, TextSource
from edgelm.errors import BadOption
from edgelm.folders import new_folder
from edgelm.plugins import spec_of
from edgelm.train.base import Progress, Step, Work, silent
from edgelm.train.corpus import Corpus
from edgelm.train.pretrain import Pretrain
from edgelm.train.tokenizer import Tokenizer

S = TypeVar("S")


def train(steps: Sequence[Step], data: Path, out: Path, progress: Progress = silent) -> Checkpoint:
    """Train a model and write it as a new checkpoint folder, which appears whole or not at all.

    The same steps, data and number of threads give the same bytes on a CPU.

    Args:
        steps: at most one of each kind, in any order; those left out run with their defaults.
        data: the data folder, with `alpaca/` and `c4/`.
        out: the folder to make.
        progress: told what is being done, how much is done, and of how much.

    Raises:
        BadOption: `out` is taken, a step comes twice, or settings do not go together.
        MissingInput: there is no training data, or it lacks rows or fields.
        BadFile: a data file is damaged or not in its format.
    """
    corpus = _one(steps, Corpus)
    recipe: list[Step] = [_one(steps, Tokenizer), corpus, _one(steps, Pretrain)]
    with new_folder(out) as partial:
        work = Work(partial, corpus.read(DataFolder(data)), progress)
        done = [step.run(work) for step in recipe]
        card = Card(
            derivation="from-scratch",
            recipe=[spec_of(step) for step in recipe],
            steps=done,
            data=work.sources,
            prompting="chat",
            licence=_licence(work.texts),
            made_by=f"edgelm {edgelm.__version__}",
        )
        Checkpoint(partial).write_card(card)
    return Checkpoint(out)


def _licence(texts: Sequence[TextSource]) -> str:
    """The licence of a model made from these texts: not free for all uses if one is not, unknown if one is unknown."""
    licences = {text.licence for text in texts}
    if NON_COMMERCIAL in licences:
        return NON_COMMERCIAL
    return "" if "" in licences else OPEN


def _one(steps: Sequence[Step], kind: type[S]) -> S:
    found = [step for step in steps if isinstance(step, kind)]
    if len(found) > 1:
        name = kind.__name__.lower()
        raise BadOption(f"the step '{name}' comes {len(found)} times", mend="give it once")
    return found[0] if found else kind()
