"""What a rule set says: a frozen record without behaviour beyond its own digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from edgelm.errors import BadOption, UnknownName
from edgelm.files import canonical_json, sha256_bytes

HOLDOUT = "holdout"  # the ranked task that hold-outs are averaged into, and the suite that their protocols name

VERSIONS = (
    "commonsenseqa-734a22", "gsm8k-1d7fe4", "chid-211ee7", "bbh-5b92b0", "longbench-400a2e", "humaneval-8e312c",
    "truthfulqa-5ddc62", "mmlu-4d595a", "ceval-5f30c7",
)  # fmt: skip


@dataclass(frozen=True)
class Track:
    """One of the competition's contests: its name and the models that a submission brings, by slot."""

    name: str
    derivation: Literal["compressed", "from-scratch"]
    slots: tuple[str, ...]


class Origin(NamedTuple):
    """A published checkpoint that a compressed model may come from. An empty `digest` leaves open which edition."""

    name: str  # as its publisher calls it, such as `microsoft/phi-2`
    digest: str  # of `Checkpoint.digest`

    def is_named(self, name: str) -> bool:
        """Whether a card's name is this one's, with or without the publisher, however it is capitalised."""
        return name.casefold().rpartition("/")[2] == self.name.casefold().rpartition("/")[2]


@dataclass(frozen=True)
class Rules:
    """A rule set. Subclasses are presets; every plain field can be overridden in a spec.

    `tasks` are ranked with weight 1 and `throughput` with weight 2; a place p earns `places` + 1 − p points.
    """

    name: str
    tracks: tuple[Track, ...]
    tasks: tuple[str, ...]  # that are ranked
    suite: str = "opencompass-0.3.1"  # whose rows and prompts count
    versions: tuple[str, ...] = VERSIONS  # that count, of these tasks; `suite/version` for one of another suite
    bases: tuple[str, ...] = ()  # SLOT/NAME or SLOT/NAME@DIGEST of what a slot may come from; one not named takes any
    holdouts: tuple[str, ...] = ("holdout",)  # what is averaged into the ranked task `holdout`
    places: int = 10  # that earn points
    least_score: int = 0  # percent; a score below it has no place on its task
    selection: Literal["pool", "double-pass", "guaranteed"] = "pool"  # which of a team's submissions count
    rank_ties: tuple[str, ...] = ()  # what separates equal totals, in turn: holdout, throughput, won, memory, receipt
    throughput_weight: int = 2  # a task has 1
    throughput_source: Literal["host", "phone"] = "host"  # where the whole track is measured
    memory_limit: int = 12 * 2**30  # bytes; a measured peak must be strictly below
    memory_meter: str = "host-peak"  # what measures it
    replacement_meter: str = ""  # what does for engines that the meter cannot see; none if empty
    prompt_tokens: int = 1500  # read when speed is measured
    generated_tokens: int = 500  # made then
    batch: int = 1  # of these at once
    repeats: int = 5  # of which the median counts
    dtypes: tuple[str, ...] = ("F16", "F32")  # that weights may have
    training_data: tuple[str, ...] = ("c4", "alpaca", "alpaca-zh")  # that models may have seen
    submissions: int = 3  # scored ones of a team in a track
    attempts: int = 20  # packages of a team in a track, those that the checker refuses included
    members: int = 5  # of a team, at most
    board_ranks: int = 15  # shown on the board, ties of the last included
    objection_days: int = 7  # between the provisional and the final board
    seats: int = 3  # ranks that are invited to stage 2, and must pass it
    moves_to: Literal["team", "submission"] = "team"  # whose best is examined when one of them fails

    def __post_init__(self) -> None:
        """Refuse numbers by which nothing could be ranked, and bases of no slot.

        Raises:
            BadOption: a number that must be 1 or more is not; a base does not begin with a slot.
        """
        for name in ("places", "board_ranks", "batch", "repeats"):
            value: int = getattr(self, name)
            if value < 1:
                raise BadOption(f"{name}={value} in the rules {self.name}", mend=f"give {name}=1 or more")
        slots = [slot for track in self.tracks for slot in track.slots]
        for entry in self.bases:
            if entry.partition("/")[0] not in slots:
                raise BadOption(f"bases={entry} in the rules {self.name}", mend=f"begin with one of {', '.join(slots)}")

    @cached_property
    def digest(self) -> str:
        """The identity of the rule set: sha256 of its canonical JSON."""
        return sha256_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The rule set as canonical JSON, by which it is published."""
        return canonical_json(asdict(self))

    @property
    def weights(self) -> dict[str, int]:
        """Weight of everything that is ranked, in the order of the board."""
        return {**dict.fromkeys(self.tasks, 1), "throughput": self.throughput_weight}

    @property
    def meters(self) -> tuple[str, ...]:
        """The meters by which memory may be measured, the one that counts first."""
        return tuple(meter for meter in (self.memory_meter, self.replacement_meter) if meter)

    def protocol(self, task: str) -> str | None:
        """The one protocol by which a task counts, such as `opencompass-0.3.1/gsm8k-1d7fe4`; None if left open."""
        for entry in self.versions:
            suite, _, version = entry.rpartition("/")
            if version.rpartition("-")[0] == task:
                return f"{suite or self.suite}/{version}"
        return None

    def accepted(self, slot: str) -> tuple[Origin, ...]:
        """The published checkpoints that a slot's model may come from; none if any will do."""
        split = (entry.partition("/") for entry in self.bases)
        named = (name.partition("@") for of, _, name in split if of == slot)
        return tuple(Origin(name, digest) for name, _, digest in named)

    def track(self, name: str) -> Track:
        """The track of that name.

        Raises:
            UnknownName: there is none.
        """
        for track in self.tracks:
            if track.name == name:
                return track
        raise UnknownName("track", name, [track.name for track in self.tracks])
