"""One model of a submission: a checkpoint with the reports, bundle and proof that belong to it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edgelm.bundle import BUNDLE_LIST
from edgelm.checkpoint import CARD, Card, Checkpoint, digest_of
from edgelm.errors import BadFile, BadOption, MissingInput, Unsupported
from edgelm.files import read_json, tree_files, write_json
from edgelm.pack.place import Places, Progress
from edgelm.report import Report, answers_log
from edgelm.submission import BUNDLE


class Entry(NamedTuple):
    """What fills one slot: a checkpoint, what was reported on it, what goes onto the phone, and that it runs there."""

    checkpoint: Path
    reports: tuple[Path, ...] = ()
    bundle: Path | None = None
    proof: Path | None = None  # folder with a screenshot, or error.txt


@dataclass(frozen=True)
class Model:
    """A slot's model, read and found to belong together."""

    slot: str
    checkpoint: Checkpoint
    digests: Mapping[str, str]  # of the checkpoint's files
    card: Card
    report: Report | None
    answers: Mapping[str, Path]  # by task
    folders: Mapping[str, Path]  # `bundle` and `proof`, as far as given

    @classmethod
    def open(cls, slot: str, entry: Entry, progress: Progress | None) -> Model:
        """The model of an entry; the checkpoint's bytes are read here, and at no other place.

        Raises:
            MissingInput: a folder lacks what it must hold.
            BadOption: a report or bundle is of another checkpoint.
        """
        checkpoint = Checkpoint(entry.checkpoint)
        digests = checkpoint.file_digests(progress)
        digest = digest_of(digests)
        report: Report | None = None
        answers: dict[str, Path] = {}
        for folder in entry.reports:
            found = Report.load(folder)
            _require_same(f"the report {folder}", found.checkpoint, digest, "run edgelm evaluate or measure again")
            report = report | found if report else found
            answers |= {task: _answers(folder, task) for task in found.tasks}
        if entry.bundle is not None:
            _require_same(f"the bundle {entry.bundle}", _bundled(entry.bundle), digest, "run edgelm deploy again")
        if entry.proof is not None and not entry.proof.is_dir():
            raise MissingInput(f"there is no folder {entry.proof}", mend="give the one with a screenshot or error.txt")
        folders = {name: path for name, path in ((BUNDLE, entry.bundle), ("proof", entry.proof)) if path is not None}
        return cls(slot, checkpoint, digests, _card(slot, checkpoint), report, answers, folders)

    @property
    def place(self) -> str:
        """Its folder in the package."""
        return f"models/{self.slot}"

    def write(self, places: Places) -> None:
        """Put the model into its folder of the package."""
        for name, digest in self.digests.items():
            places.put(self.checkpoint.path / name, f"{self.place}/checkpoint/{name}", sha256=digest)
        folder = places.folder / self.place
        card = self.card.model_dump(mode="json", exclude_defaults=True)
        write_json(folder / CARD, card | {"data": [source.model_dump(mode="json") for source in self.card.data]})
        if self.report:
            self.report.save(folder / "report")
        for task, origin in self.answers.items():  # never linked: evaluate may write to it again
            name = answers_log(folder / "report", task).path.relative_to(places.folder).as_posix()
            places.put(origin, name, link=False)
        for part, path in self.folders.items():
            for name in tree_files(path, links=True):
                places.put(path / name, f"{self.place}/{part}/{name}")


def _answers(report: Path, task: str) -> Path:
    path = answers_log(report, task).path
    if not path.is_file():
        raise MissingInput(f"{report} lacks the answers of {task}", mend="run edgelm evaluate again")
    return path


def _require_same(what: str, found: object, digest: str, mend: str) -> None:
    if found != digest:
        raise BadOption(f"{what} was made from another checkpoint", why=f"digests {str(found)[:12]} and {digest[:12]}",
                        mend=mend)  # fmt: skip


def _bundled(folder: Path) -> object:
    """The digest of the checkpoint that a bundle was made from."""
    bundle = read_json(folder / BUNDLE_LIST)
    if not isinstance(bundle, dict):
        raise BadFile(f"{folder / BUNDLE_LIST} holds no JSON object", mend="run edgelm deploy again")
    return bundle.get("checkpoint")


def _card(slot: str, checkpoint: Checkpoint) -> Card:
    """The checkpoint's card, with what headers and configuration say."""
    found = {"slot": slot, "prompting": checkpoint.prompting, "parameters": checkpoint.parameters,
             "dtype": "+".join(checkpoint.dtypes)}  # fmt: skip
    with contextlib.suppress(Unsupported):
        found["context_length"] = checkpoint.shape.context
    return checkpoint.card.model_copy(update=found)
