"""The steps of a run in order: those left out with their defaults, and what follows from one for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgelm.errors import BadOption, Unsupported
from edgelm.train.base import SHAPES
from edgelm.train.corpus import Corpus
from edgelm.train.pretrain import Pretrain
from edgelm.train.sft import Sft
from edgelm.train.tokenizer import Tokenizer

ORDER: tuple[type[Any], ...] = (Tokenizer, Corpus, Pretrain, Sft)
ALWAYS = 3  # the steps that every run has


def complete(steps: Sequence[Any]) -> tuple[Any, ...]:
    """All steps of a run in order; the tokenizer has the shape's vocabulary if it says none.

    Raises:
        BadOption: a step comes twice.
    """
    foreign = [step for step in steps if not isinstance(step, ORDER)]
    if foreign:
        raise Unsupported(f"the step '{name_of(foreign[0])}' has no place in a run", why="a run is "
                          + ", ".join(map(_name, ORDER)), mend="leave it away")  # fmt: skip
    recipe = []
    for number, kind in enumerate(ORDER):
        found = [step for step in steps if isinstance(step, kind)]
        if len(found) > 1:
            raise BadOption(f"the step '{_name(kind)}' comes {len(found)} times", mend="give it once")
        if found or number < ALWAYS:
            recipe.append(found[0] if found else kind())
    tokenizer, pretrain = recipe[0], recipe[2]
    if tokenizer.vocab is None:
        recipe[0] = replace(tokenizer, vocab=SHAPES[pretrain.shape].vocab)
    return tuple(recipe)


def name_of(step: Any) -> str:
    """What a step is called in specs, and where it keeps its work."""
    return _name(type(step))


def _name(kind: type[Any]) -> str:
    return kind.__name__.lower()
