"""The full search: the best choices of a quick one are built untrained, and what they really cost decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress, Step
from edgelm.compress.heal import Heal
from edgelm.compress.repair import Repair
from edgelm.compress.search.found import Found
from edgelm.compress.stream.saved import work_folder
from edgelm.errors import Unsupported
from edgelm.files import read_json, write_json
from edgelm.folders import require_fresh

BUILT = 8  # choices
Make = Callable[[Sequence[Step], Path], Checkpoint]


def full(
    found: Found,
    out: Path,
    make: Make,
    settings: Mapping[str, Any],
    progress: Progress = lambda what, done, total: None,
    most: int = BUILT,
) -> Found:
    """Build the best choices without repair or training, and leave the one nearest to the base in `out`.

    Two of them are on the disk at the most. A search that was killed goes on where it was when it is started again.

    Args:
        found: by the quick search.
        out: must not exist, or be empty.
        make: compresses the base by a recipe into a new folder, and measures what it cost for the card.
        settings: all that the results depend on besides: others make a killed search begin anew.
        progress: told what is being done.
        most: how many are built.

    Raises:
        Unsupported: none of them can be built; the last one's reason.
        BadOption: `out` is taken.
    """
    require_fresh(out)
    tried = found.ranked[:most]
    recipes = [found.recipe(choice) for choice in tried]
    with work_folder(
        out.parent / f"{out.name}.search", {"recipes": recipes, **settings}, "candidate-*/config.json"
    ) as work:
        for number, choice in enumerate(tried):
            progress("build candidates", number, len(tried))
            _measure(work, number, _unfinished(found.space.steps(choice.candidate.shape)), make)
            made = found.measured([_kl(work, place) for place in range(len(tried))])
            best = recipes.index(made.line) if made.ranked else -1
            for place in range(len(tried)):
                if place != best:
                    shutil.rmtree(_folder(work, place), ignore_errors=True)
        if not made.ranked:
            raise Unsupported("no candidate can be built", why=read_json(_said(work, len(tried) - 1))["why"],
                              mend="give another limit, or a recipe")  # fmt: skip
        _finish(made, _folder(work, best), out, make)
    return made


def _finish(made: Found, best: Path, out: Path, make: Make) -> None:
    """Let the best one be `out`, repaired and trained if the recipe says so."""
    if _unfinished(made.steps) != made.steps:
        make(made.steps, out)
        return
    if out.is_dir():
        out.rmdir()
    best.rename(out)


def _unfinished(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if not isinstance(step, Heal | Repair)]


def _measure(work: Path, number: int, steps: Sequence[Step], make: Make) -> None:
    """Build a candidate, unless that was done, and write down its KL from the base; None if it cannot be built."""
    said, folder = _said(work, number), _folder(work, number)
    if said.is_file():
        return
    try:
        made = Checkpoint(folder) if folder.is_dir() else make(steps, folder)  # a folder is there whole or not
        write_json(said, {"kl": (made.card.model_extra or {})["quality"]["kl"]})
    except Unsupported as error:
        write_json(said, {"kl": None, "why": str(error)})


def _kl(work: Path, number: int) -> float | None:
    """What was written down; None also of those that are still to be built."""
    said = _said(work, number)
    kl: float | None = read_json(said)["kl"] if said.is_file() else None
    return kl


def _folder(work: Path, number: int) -> Path:
    return work / f"candidate-{number}"


def _said(work: Path, number: int) -> Path:
    return work / f"candidate-{number}.json"
