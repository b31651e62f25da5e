"""A submission: what a team hands in, one folder (or one archive of it) with a manifest that lists every file.

    edgelm.json                 manifest
    results.csv                 the team's own figures, a claim
    source/                     runnable source with a README.md
    models/<slot>/card.json     where the model comes from
                 /checkpoint/   the weights, without their card
                 /report/       scores, speed and memory as the team measured them, with the answers
                 /bundle/       what goes onto the phone
                 /proof/        a screenshot of the running app, or error.txt

A folder is read where it lies. An archive is unpacked when a file itself is asked for; until then its manifest, cards
and reports are taken out, all in one pass: some archives can be read from front to back alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, field_validator

from edgelm.archives.unpack import read_entry, unpack
from edgelm.checkpoint import CARD, Card, Checkpoint, at_most, validate
from edgelm.errors import BadFile, MissingInput, UnknownName
from edgelm.files import MAX_RECORD, parse_json, read_bytes, sha256_bytes
from edgelm.report import MAX_ANSWERS, REPORT, Answer, Report, parse_answers

MANIFEST = "edgelm.json"
RESULTS = "results.csv"
SOURCE = "source"
README = "README.md"
LOCKS = re.compile(r"(requirements[^/]*\.txt|[^/]*\.lock|[^/]*lock\.(json|yaml|yml|toml)|environment\.ya?ml)$")
BUNDLE = "bundle"
COLUMNS = {
    "commonsenseqa": "CommonsenseQA", "bbh": "BIG-Bench-Hard", "gsm8k": "GSM8K", "longbench": "LongBench",
    "humaneval": "HumanEval", "chid": "CHID", "truthfulqa": "TruthfulQA",
}  # fmt: skip  # of the results file, by task, in percent
THROUGHPUT, MEMORY = "Throughput", "Memory-Usage"  # tokens a second, MiB
HEADER = ("Model", *COLUMNS.values(), THROUGHPUT, MEMORY)  # one row a slot; an untested cell is empty, never 0
MAX_ENTRIES = 100_000
MAX_BYTES = 256 * 2**30  # three 8B models in FP32 with their bundles stay below
MAX_MODELS = 16
MODELS = "models"  # the folder that all of them lie below
_RECORD = re.compile(rf"{MANIFEST}|{MODELS}/.+/({CARD}|report/{REPORT}|report/answers/[^/]+\.jsonl)")


def _inside(path: str) -> str:
    plain = PurePosixPath(path)
    if not plain.parts or path.startswith("/") or ".." in plain.parts or "\\" in path or "\0" in path:
        raise ValueError("a path below the package is needed, with / and without ..")
    if path != str(plain):
        raise ValueError(f"a path has one spelling, this one's is {str(plain)!r}")
    return path


def _model_folder(path: str) -> str:
    if not path.startswith(f"{MODELS}/"):
        raise ValueError(f"a folder below {MODELS}/ is needed")
    return path


InsidePath = Annotated[str, AfterValidator(_inside)]
ModelPath = Annotated[InsidePath, AfterValidator(_model_folder)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class FileEntry(_Record):
    """One file of the package, by which a changed or missing one is found."""

    path: InsidePath
    size: int = Field(ge=0)  # bytes
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Omitted(_Record):
    """A slot for which no model is brought, and why."""

    omitted: str


class Manifest(_Record):
    """The contents of `edgelm.json`. Unknown keys are kept; a known key of the wrong kind is refused."""

    format: Literal[1]
    team: str
    track: str
    rules: str  # digest of the rule set
    title: str
    method: str  # one paragraph
    contact: str
    models: Annotated[dict[str, ModelPath | Omitted], at_most(MAX_MODELS)]  # by slot: its folder, or why there is none
    files: Annotated[list[FileEntry], FailFast(), at_most(MAX_ENTRIES)]
    claims: InsidePath
    made_by: str

    @field_validator("models")
    @classmethod
    def _one_slot_each(cls, models: dict[str, str | Omitted]) -> dict[str, str | Omitted]:
        places = [place for place in models.values() if isinstance(place, str)]
        if len(set(places)) < len(places):
            raise ValueError("one model cannot fill two slots: each needs a folder of its own")
        return models


def answers_name(place: str, task: str) -> str:
    """The log of a task's answers, in the package, of the model whose folder is `place`."""
    return f"{place}/report/answers/{task}.jsonl"


class Submission:
    """A submission on disk, of an archive copies that are unpacked while this object lives. Attributes are read late.

    Raises:
        MissingInput: there is no such folder or file.
        BadFile: a file that is no archive, or one that is not safe to unpack (when its contents are first needed).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.origin = Path(path)
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None  # all of it
        self._taken: tempfile.TemporaryDirectory[str] | None = None  # its records
        if not self.origin.exists():
            raise MissingInput(
                f"there is no submission {self.origin}", mend="give the folder or archive that pack wrote"
            )

    @cached_property
    def path(self) -> Path:
        """The folder: the submission itself, or where its archive was unpacked."""
        if self.origin.is_dir():
            return self.origin
        self._unpacked = self._copy()
        return Path(self._unpacked.name)

    @cached_property
    def _records(self) -> Path:
        """The folder of an archive's manifest, cards and reports."""
        self._taken = self._copy(_RECORD.fullmatch)
        return Path(self._taken.name)

    def _copy(self, only: Callable[[str], object] = lambda name: True) -> tempfile.TemporaryDirectory[str]:
        folder = tempfile.TemporaryDirectory(prefix="edgelm-submission-")
        try:
            unpack(self.origin, Path(folder.name), max_bytes=MAX_BYTES, max_entries=MAX_ENTRIES, only=only)
        except BaseException:
            folder.cleanup()
            raise
        return folder

    def close(self) -> None:
        """Remove the unpacked copies, as far as there are any."""
        for copy in (self._unpacked, self._taken):
            if copy is not None:
                copy.cleanup()
        self._unpacked = self._taken = None
        for made in ("path", "_records"):
            self.__dict__.pop(made, None)

    def __enter__(self) -> Submission:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, name: str, most: int = MAX_RECORD) -> bytes:
        """The bytes of a file of the package; for one alone that is no record an archive is read as it is.

        Raises:
            MissingInput: there is no such file.
            BadFile: it has more than `most` bytes, is no plain file, or a link out of the package.
        """
        if not self.origin.is_dir() and self._unpacked is None:
            if not _RECORD.fullmatch(name):
                return read_entry(self.origin, name, most=most, max_entries=MAX_ENTRIES)
            return self._record(name, most)
        path = self.path / name
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.path)):
            raise BadFile(f"{path} is a link out of the package", mend="pack from plain files: edgelm pack")
        return read_bytes(path, most)

    def _record(self, name: str, most: int) -> bytes:
        """One of an archive's records, which errors name by its place in the archive."""
        path, where = self._records / name, self.origin / name
        if not path.is_file():
            raise MissingInput(f"there is no file {where}", mend="check the path")
        if path.stat().st_size > most:
            raise BadFile(f"{where} has more than {most:,} bytes", mend="remove what is not asked for")
        return path.read_bytes()

    def _where(self, name: str) -> Path:
        """A file of the package as errors name it."""
        return (self.origin if self._unpacked is None else self.path) / name

    @cached_property
    def _manifest_bytes(self) -> bytes:
        return self.read(MANIFEST)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            MissingInput: there is none.
            BadFile: it is not JSON, or a field is of the wrong kind.
        """
        return validate(Manifest, parse_json(self._manifest_bytes, self._where(MANIFEST)), MANIFEST)

    @cached_property
    def digest(self) -> str:
        """The submission's identity: sha256 of the manifest's bytes, which names every other file by its digest."""
        return sha256_bytes(self._manifest_bytes)

    @property
    def slots(self) -> list[str]:
        """The slots that hold a model, in the manifest's order."""
        return [slot for slot, place in self.manifest.models.items() if isinstance(place, str)]

    @property
    def omitted(self) -> dict[str, str]:
        """The reasons why slots hold no model."""
        return {slot: place.omitted for slot, place in self.manifest.models.items() if isinstance(place, Omitted)}

    def _place(self, slot: str) -> str:
        """The folder of one slot's model, relative to the package.

        Raises:
            UnknownName: the manifest has no such slot.
            MissingInput: the slot is declared omitted.
        """
        if slot not in self.manifest.models:
            raise UnknownName("slot", slot, self.manifest.models)
        place = self.manifest.models[slot]
        if isinstance(place, Omitted):
            raise MissingInput(f"slot '{slot}' brings no model", why=place.omitted, mend=f"use {self.slots}")
        return place

    def model_folder(self, slot: str) -> Path:
        """The folder of one slot's model.

        Raises:
            UnknownName: the manifest has no such slot.
            MissingInput: the slot is declared omitted.
        """
        return self.path / self._place(slot)

    def card(self, slot: str) -> Card:
        """The card of one slot's model.

        Raises:
            MissingInput: there is none.
            BadFile: with the field that is wrong.
        """
        name = f"{self._place(slot)}/{CARD}"
        return validate(Card, parse_json(self.read(name), self._where(name)), self._where(name))

    def checkpoint(self, slot: str) -> Checkpoint:
        """The checkpoint of one slot, with its card (which lies beside the checkpoint's folder, not in it)."""
        checkpoint = Checkpoint(self.model_folder(slot) / "checkpoint")
        checkpoint.card = self.card(slot)
        return checkpoint

    def report_folder(self, slot: str) -> Path:
        """The folder of one slot's report; it need not exist."""
        return self.model_folder(slot) / "report"

    def report_bytes(self, slot: str) -> bytes:
        """The contents of one slot's `report.json`.

        Raises:
            MissingInput: there is none.
            BadFile: it cannot be read.
        """
        name = f"{self._place(slot)}/report/{REPORT}"
        try:
            return self.read(name)
        except MissingInput:
            where, mend = self._where(name).parent, "run edgelm evaluate or measure, then edgelm pack"
            raise MissingInput(f"{where} holds no finished report", mend=mend) from None

    def report(self, slot: str) -> Report:
        """The report of one slot.

        Raises:
            MissingInput: there is none.
            BadFile: it is damaged.
        """
        where = self._where(f"{self._place(slot)}/report/{REPORT}")
        return validate(Report, parse_json(self.report_bytes(slot), where), where)

    def answers_bytes(self, slot: str, task: str) -> bytes:
        """The log of one slot's answers to a task.

        Raises:
            MissingInput: there is none.
            BadFile: it is too large, or lies outside the package.
        """
        return self.read(answers_name(self._place(slot), task), MAX_ANSWERS)

    def answers(self, slot: str, task: str) -> list[Answer]:
        """All of them, in the order written.

        Raises:
            MissingInput, BadFile: see `answers_bytes`; one of them is damaged.
        """
        return parse_answers(self.answers_bytes(slot, task), answers_name(self._place(slot), task))
