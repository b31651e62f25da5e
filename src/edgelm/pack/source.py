"""The source of a submission: a team's folder as it is, or a README with the commands that the cards' recipes name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from edgelm.chat import Prompting
from edgelm.checkpoint import Card, Checkpoint, Source, validate
from edgelm.data.texts import BUILT_IN
from edgelm.errors import MissingInput
from edgelm.files import write_bytes
from edgelm.pack.model import Model
from edgelm.pack.place import Places, walk
from edgelm.plugins import available
from edgelm.submission import README, SOURCE

LEFT_OUT = {".git", "__pycache__", ".venv"}  # of a source folder
WRAPPERS = "opencompass"  # where in the source the files for OpenCompass lie, by slot
# What makes the files by which another program runs a checkpoint, by name: the checkpoint, the digests of its files,
# what it is called, where it lies as seen from those files, and how it is asked.
Wrapper = Callable[[Checkpoint, Mapping[str, str], str, str, Prompting | None], Mapping[str, bytes]]


def source_files(folder: Path) -> dict[str, Path]:
    """The files of a source folder by their names in the package's.

    Raises:
        MissingInput: there is no README.md among them.
    """
    found = {name: folder / name for name in walk(folder, LEFT_OUT)}
    if README not in found:
        raise MissingInput(f"{folder} holds no {README}", mend="write the commands that rebuild the models")
    return found


def write_source(places: Places, source: Mapping[str, Path] | None, models: Iterable[Model]) -> None:
    """Put the source into the package; without one, the README that the cards give."""
    if source is None:
        write_bytes(places.folder / SOURCE / README, _readme(models).encode())
        return
    for name, origin in source.items():  # never linked: it is edited in place
        places.put(origin, f"{SOURCE}/{name}", link=False)


def write_wrappers(folder: Path, wrapper: Wrapper, models: Iterable[Model]) -> None:
    """Put each model's files for OpenCompass into the source, where the team brings none of that name."""
    for model in models:
        here = folder / SOURCE / WRAPPERS / model.slot
        place = f"../../../{model.place}/checkpoint"
        files = wrapper(model.checkpoint, model.digests, model.slot, place, model.card.prompting)
        for name, data in files.items():
            if not (here / name).exists():
                write_bytes(here / name, data)


def _readme(models: Iterable[Model]) -> str:
    """How to make each checkpoint again, from its card."""
    lines = ["# How these checkpoints were made", ""]
    for model in models:
        made_by = f" (with {model.card.made_by})" if model.card.made_by else ""
        commands = [shlex.join(["edgelm", *words]) for words in _commands(model.slot, model.card)]
        lines += [f"## {model.slot}{made_by}", "", "```", *(commands or ["# its card records no recipe"]), "```", ""]
        texts = dict.fromkeys(f"- {text.name}, sha256 {text.sha256}" for text in model.card.data if text.sha256)
        lines += ["Text, by its uncompressed bytes; `DATA` is a folder with it:", "", *texts, ""] if texts else []
    return "\n".join(lines)


class _Run(BaseModel):
    """One run of `edgelm compress`, as cards keep it."""

    steps: list[str]
    texts: list[Source]
    tokens: int
    sequence: int
    seed: int
    dtype: str

    @property
    def words(self) -> list[str]:
        """Its steps and options on the command line."""
        names = [text.name for text in self.texts if text.name != BUILT_IN]
        files = any("." in name for name in names)  # data sets of a data folder have names without an ending
        given = [word for name in names for word in ("--calib", name)] if files else ["--data", "DATA"]
        return [*self.steps, *(given if names else []), "--calib-tokens", str(self.tokens),
                "--seq", str(self.sequence), "--seed", str(self.seed), "--dtype", self.dtype]  # fmt: skip


class _History(BaseModel):
    """What else a card keeps of how its checkpoint was made."""

    options: list[_Run] = []


def _commands(slot: str, card: Card) -> Iterator[list[str]]:
    """The verbs with their steps and options: training, if the recipe begins with it, then each run of compress."""
    trained = [step for step in card.recipe if step.partition(":")[0] in available("train")]
    compressed = [step for step in card.recipe if step not in trained]
    history = validate(_History, card.model_extra or {}, f"the card of {slot}")
    runs = [run.words for run in history.options] or ([compressed] if compressed else [])
    outs = [f"out/{slot}-{number}" for number in range(len(runs))] + [f"out/{slot}"]
    if trained:
        yield ["train", *trained, "--data", "DATA", "-o", outs[0]]
    for base, words, out in zip([outs[0] if trained else card.base or "BASE", *outs[1:]], runs, outs[1:], strict=False):
        yield ["compress", base, *words, "-o", out]
