"""What a rule set says: a frozen record without behaviour beyond its own digest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from edgelm.errors import UnknownName
from edgelm.files import canonical_json, sha256_bytes


@dataclass(frozen=True)
class Track:
    """One of the competition's contests: its name and the models that a submission brings, by slot."""

    name: str
    derivation: Literal["compressed", "from-scratch"]
    slots: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """A rule set. Subclasses are presets; every plain field can be overridden in a spec.

    `tasks` are ranked with weight 1 and `throughput` with weight 2; a place p earns `places` + 1 − p points.
    """

    name: str
    tracks: tuple[Track, ...]
    tasks: tuple[str, ...]
    suite: str = "opencompass-0.3.1"  # whose rows and prompts count
    holdouts: tuple[str, ...] = ("holdout",)  # what is averaged into the ranked task `holdout`
    places: int = 10
    selection: Literal["pool", "double-pass", "guaranteed"] = "pool"
    throughput_weight: int = 2
    memory_limit: int = 12 * 2**30  # bytes; a measured peak must be strictly below
    memory_meter: str = "host-peak"
    prompt_tokens: int = 1500
    generated_tokens: int = 500
    batch: int = 1
    repeats: int = 5
    dtypes: tuple[str, ...] = ("F16", "F32")
    training_data: tuple[str, ...] = ("c4", "alpaca", "alpaca-zh")
    scored_slots: int = 3  # submissions a team may have scored in a track
    attempts: int = 20  # uploads, refused ones included
    max_members: int = 5
    board_ranks: int = 15
    objection_days: int = 7
    stage2_seats: int = 3

    @property
    def digest(self) -> str:
        """The identity of the rule set: sha256 of its canonical JSON."""
        return sha256_bytes(canonical_json(asdict(self)))

    @property
    def weights(self) -> dict[str, int]:
        """Weight of everything that is ranked, in the order of the board."""
        return {**dict.fromkeys(self.tasks, 1), "throughput": self.throughput_weight}

    def track(self, name: str) -> Track:
        """The track of that name.

        Raises:
            UnknownName: there is none.
        """
        for track in self.tracks:
            if track.name == name:
                return track
        raise UnknownName("track", name, [track.name for track in self.tracks])
