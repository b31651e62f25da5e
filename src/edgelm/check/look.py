"""What the checker looks at: a package whose parts may be missing, damaged or hostile, read part by part.

Each attribute raises an `InputError` if its part is unsound. The check that owns the part comes first and reports it;
others that need the part meet the same error, which is said once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgelm.check.fetch import HOSTS, Fetch
from edgelm.checkpoint import CARD, Card, Checkpoint, digest_of, read_config, validate
from edgelm.errors import BadFile, EdgelmError, InputError
from edgelm.files import sha256_bytes, sha256_file, tree_files
from edgelm.links import Link, read_links
from edgelm.plugins import available, parse
from edgelm.report import MAX_ANSWERS, MAX_ROWS, REPORT, Answer, Report, answers_log
from edgelm.rules import Rules, Track
from edgelm.shapes import Shape
from edgelm.submission import MANIFEST, MAX_MODELS, MODELS, Submission

if TYPE_CHECKING:
    from edgelm.check.fingerprint import Fingerprint

MAX_PACKAGE = 128 * 2**30  # bytes: three 8B models in FP32, or in FP16 with their bundles, stay below


class Package:
    """An opened submission beside the rules that it is held against. `track` is None if it cannot be told.

    Args:
        submission: what is looked at.
        rules: those in force.
        track: that it is meant for; None for the one that it names.
        values: whether the weights themselves are read.
        fetch: how links are fetched; None if they are not.
        bases: known models by name, of which weights may descend.
        beside: other submissions to compare it with.
        max_bytes: that the files may have together.
        digests: sha256 of every file, if it is known already.
        hosts: where files may lie that it only links.
    """

    def __init__(
        self, submission: Submission, rules: Rules, track: str | None, values: bool = False, *,
        fetch: Fetch | None = None, bases: Mapping[str, Fingerprint] | None = None,
        beside: Sequence[Submission] = (), max_bytes: int = MAX_PACKAGE, digests: Mapping[str, str] | None = None,
        hosts: Sequence[str] = HOSTS,
    ) -> None:  # fmt: skip
        self.submission, self.in_force, self.values = submission, rules, values
        self.fetch, self.bases, self.beside, self.max_bytes = fetch, bases or {}, beside, max_bytes
        self.path, self.hosts = submission.path, tuple(hosts)
        self._track = track
        if digests is not None:
            self.digests = dict(digests)

    @cached_property
    def files(self) -> list[str]:
        """All plain files of the package, relative."""
        return tree_files(self.path)

    @cached_property
    def names(self) -> frozenset[str]:
        """The same, to be asked for one of them."""
        return frozenset(self.files)

    @cached_property
    def digests(self) -> dict[str, str]:
        """The sha256 of every file as it is found."""
        return {name: sha256_file(self.path / name) for name in self.files}

    @cached_property
    def links(self) -> list[Link]:
        """The files that lie elsewhere."""
        return read_links(self.path)

    @cached_property
    def linked(self) -> set[str]:
        """The paths of files that lie elsewhere; none if the list of them cannot be read."""
        try:
            return {link.path for link in self.links}
        except InputError:
            return set()

    @cached_property
    def rules(self) -> Rules:
        """What it is held against: the rules in force, or the known ones it was packed under if theirs are other slots.

        That it was packed under others is the one thing wrong with it then, and by those in force everything would be.
        """
        try:
            manifest = self.submission.manifest
        except InputError:
            return self.in_force
        own = known_rules(manifest.rules) or self.in_force
        return self.in_force if _slots(own, manifest.track) == _slots(self.in_force, manifest.track) else own

    @cached_property
    def track(self) -> Track | None:
        """The track it was checked for, or else the one that it names."""
        try:
            return self.rules.track(self._track or self.submission.manifest.track)
        except InputError:
            return None

    @property
    def models(self) -> Iterator[Model]:
        """The models of the track's slots; if the manifest cannot be read, those in the first folders below `models/`.

        They are made one by one, anew each time: what is read of one is dropped before the next is looked at.
        """
        try:
            places: Mapping[str, Any] = self.submission.manifest.models
            slots = self.track.slots if self.track else tuple(places)
        except InputError:
            folders = (path.name for path in sorted(self.path.glob(f"{MODELS}/*")) if path.is_dir())
            places = {name: f"{MODELS}/{name}" for name in islice(folders, MAX_MODELS)}
            slots = tuple(places)
        for slot, place in places.items():
            if slot in slots and isinstance(place, str):
                yield Model(self, slot, place)

    def relative(self, path: Path) -> str:
        """A path inside the package as findings name it."""
        return path.relative_to(self.path).as_posix()

    def named_in(self, text: str) -> str:
        """The file of the package that a text names; empty if none."""
        return max((name for name in (*self.files, MANIFEST) if name in text), key=len, default="")

    def cause(self, error: Exception) -> str:
        """What a finding says of an error: the same text wherever it is met, without the place of unpacking."""
        if isinstance(error, EdgelmError):
            text = f"{error.what}: {error.why}" if error.why else error.what
        else:
            text = f"not as expected: {type(error).__name__}: {error}"
        return text.replace(f"{self.path}/", "")


def known_rules(digest: str) -> Rules | None:
    """The rule set of that digest, of those that have a name here."""
    named: Iterator[Rules] = (parse("rules", name) for name in available("rules"))
    return next((rules for rules in named if rules.digest == digest), None)


def _slots(rules: Rules, track: str) -> tuple[str, ...]:
    return next((each.slots for each in rules.tracks if each.name == track), ())


class Supplied(NamedTuple):
    """What is kept of a supplied answer."""

    sample: str
    subset: str | None
    mark: int | None  # millionths
    text: str  # digest of it, without spaces around it


@dataclass(frozen=True)
class Model:
    """The model in one slot. Paths are relative to the package."""

    package: Package
    slot: str
    place: str
    _answers: dict[str, list[Supplied]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rules(self) -> Rules:
        """The rules that it is held against."""
        return self.package.rules

    def at(self, name: str) -> str:
        """The path of something of this model."""
        return f"{self.place}/{name}"

    def find(self, name: str) -> Path:
        """Where something of this model lies on disk."""
        return self.package.path / self.place / name

    @cached_property
    def raw_card(self) -> dict[str, Any]:
        """The card as written."""
        return read_config(self.find(CARD))

    @cached_property
    def card(self) -> Card:
        """The card."""
        return validate(Card, self.raw_card, self.at(CARD))

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, without its card."""
        return Checkpoint(self.find("checkpoint"))

    @property
    def shape(self) -> Shape:
        """The dimensions that its configuration describes."""
        return self.checkpoint.shape

    @cached_property
    def digest(self) -> str:
        """The checkpoint's identity, from the digests of the package's files."""
        prefix = self.at("checkpoint/")
        found = {name: self.package.digests[prefix + name] for name in self.checkpoint.files}
        away = {link.path.removeprefix(prefix): link.sha256
                for link in self.package.links if link.path.startswith(prefix)}  # fmt: skip
        return digest_of(dict(sorted((away | found).items())))

    @property
    def has_report(self) -> bool:
        """Whether there is a report at all."""
        return self.find(f"report/{REPORT}").is_file()

    @cached_property
    def report(self) -> Report:
        """The report."""
        return Report.load(self.find("report"))

    def counts(self, task: str) -> bool:
        """Whether the rules rank a task, or average it into a ranked one."""
        return task in self.rules.tasks or task in self.rules.holdouts

    def answers(self, task: str) -> list[Supplied]:
        """The supplied answers to a task, of those that count read once; none if their file is absent."""
        if self.at(f"report/answers/{task}.jsonl") not in self.package.names:
            return []
        if task in self._answers:
            return self._answers[task]
        found = supplied(self.find("report"), task)
        if self.counts(task):
            self._answers[task] = found
        return found


def supplied(folder: Path, task: str) -> list[Supplied]:
    """What is kept of the answers in a report's folder.

    Raises:
        BadFile: one is damaged; also the last, which in the log of a run that goes on may be torn, and is written anew.
    """
    log, found, whole = answers_log(folder, task), [], 0
    for row, end in log.each(MAX_ANSWERS, MAX_ROWS):
        answer = validate(Answer, row, log.path)
        digest = sha256_bytes(answer.text.strip().encode())
        found.append(Supplied(answer.sample, answer.subset, answer.mark, digest))
        whole = end
    if log.path.exists() and whole < log.path.stat().st_size:
        raise BadFile(f"the last line of {log.path} is damaged", mend="evaluate again")
    return found
