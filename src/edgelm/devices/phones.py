"""Profiles of phones and boards: what their memory and processors reach, as published or as measured.

One file a profile, in `profiles/` beside this module and in the user's own folder, whose files come first. What a
profile says is an estimate until a measured pair has corrected it.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgelm.checkpoint import validate
from edgelm.errors import BadOption, UnknownName
from edgelm.files import read_json, write_json

OWN = "EDGELM_PROFILES"  # names the user's folder
_BUILT_IN = Path(__file__).parent / "profiles"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

Rate = Annotated[float, Field(gt=0, lt=1e18, allow_inf_nan=False)]
Factor = Annotated[float, Field(gt=0.001, lt=1000, allow_inf_nan=False)]


class Pair(BaseModel):
    """One model measured on the device and on another machine, and what the profile had foretold for the device."""

    model_config = ConfigDict(frozen=True)

    model: str
    checkpoint: str  # digest
    device: str  # as measured there
    decode: Rate  # tokens a second there
    prefill: Rate
    here: str = ""  # the other machine
    decode_here: float = Field(0.0, ge=0, allow_inf_nan=False)
    prefill_here: float = Field(0.0, ge=0, allow_inf_nan=False)
    decode_factor: Factor  # measured there / foretold by the uncorrected profile
    prefill_factor: Factor
    memory_factor: Factor = 1.0


class Profile(BaseModel):
    """A device: sizes in bytes, rates in bytes and operations a second."""

    model_config = ConfigDict(frozen=True)

    title: str = Field(min_length=1)
    dram: str
    memory: int = Field(gt=0)  # as sold
    usable: int = Field(gt=0)  # by one program
    nominal_bandwidth: Rate | None = None
    bandwidth: Rate  # that reading weights reaches
    matrix_rate: Rate  # that a product in F16 reaches on its processor
    source: str = Field(min_length=1)
    basis: Literal["estimate", "measured"] = "estimate"
    pairs: tuple[Pair, ...] = ()

    @property
    def decode_factor(self) -> float:
        """What measured pairs correct decoding by."""
        return _mean([pair.decode_factor for pair in self.pairs])

    @property
    def prefill_factor(self) -> float:
        """What they correct reading a prompt by."""
        return _mean([pair.prefill_factor for pair in self.pairs])

    @property
    def memory_factor(self) -> float:
        """What they correct memory by."""
        return _mean([pair.memory_factor for pair in self.pairs])

    def corrected(self, pair: Pair) -> Profile:
        """With one pair more; one of the same model on the same device is replaced."""
        others = [each for each in self.pairs if (each.checkpoint, each.device) != (pair.checkpoint, pair.device)]
        return self.model_copy(update={"pairs": (*others, pair)})


def _mean(factors: list[float]) -> float:
    """The geometric mean; of none, 1."""
    return math.exp(sum(map(math.log, factors)) / len(factors)) if factors else 1.0


def own_folder() -> Path:
    """Where the user's profiles lie: `EDGELM_PROFILES`, or `edgelm/profiles` among the user's settings."""
    if named := os.environ.get(OWN):
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(settings) / "edgelm" / "profiles"


def profiles() -> dict[str, Profile]:
    """All profiles by name.

    Raises:
        BadFile: a file is no profile.
    """
    found = {}
    for folder in (_BUILT_IN, own_folder()):
        for path in sorted(folder.glob("*.json")):
            found[path.stem] = validate(Profile, read_json(path), path)
    return found


def chosen(names: list[str]) -> dict[str, Profile]:
    """The profiles of these names; without names, all.

    Raises:
        UnknownName: there is none of a name.
        BadFile: a file is no profile.
    """
    known = profiles()
    for name in names:
        if name not in known:
            raise UnknownName("profile", name, known)
    return {name: known[name] for name in names} if names else known


def save(name: str, profile: Profile) -> Path:
    """Write a profile into the user's folder; where it is.

    Raises:
        BadOption: the name cannot be a file's, or the folder cannot be written.
    """
    require_name(name)
    path = own_folder() / f"{name}.json"
    write_json(path, profile.model_dump(mode="json"))
    return path


def require_name(name: str) -> None:
    """Refuse a name that a profile cannot have.

    Raises:
        BadOption: say so.
    """
    if not _NAME.fullmatch(name):
        raise BadOption(f"'{name}' is no name for a profile", mend="use small letters, digits and hyphens")
