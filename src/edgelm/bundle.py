"""A bundle: the folder that goes onto a device, with `bundle.json`, which lists its files by digest."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from edgelm.checkpoint import at_most, validate
from edgelm.errors import BadFile, MissingInput
from edgelm.files import read_json, sha256_file
from edgelm.shapes import Shape, shape_of

BUNDLE_LIST = "bundle.json"
MODEL = "model.gguf"
_MAX_FILES = 10_000


class Listed(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)  # bytes


class Listing(BaseModel):
    """The contents of `bundle.json`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    format: int
    target: str  # the spec that made it
    name: str  # of the checkpoint
    checkpoint: str  # digest of the checkpoint it was made from
    config: dict[str, Any]  # its `config.json`
    files: Annotated[dict[str, Listed], at_most(_MAX_FILES)]
    tools: Annotated[dict[str, str], at_most(_MAX_FILES)]
    made_by: str


class Bundle:
    """A bundle in a folder; only its list is read until `verify` is called.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not (self.path / BUNDLE_LIST).is_file():
            raise MissingInput(f"{self.path} is no bundle", why=f"it has no {BUNDLE_LIST}",
                               mend="make one: edgelm deploy CHECKPOINT android -o BUNDLE")  # fmt: skip

    @cached_property
    def listing(self) -> Listing:
        """What `bundle.json` says.

        Raises:
            BadFile: it is no list of a bundle.
        """
        return validate(Listing, read_json(self.path / BUNDLE_LIST), str(self.path / BUNDLE_LIST))

    @property
    def shape(self) -> Shape:
        """The model's shape."""
        return shape_of(self.listing.config)

    @property
    def model(self) -> Path:
        """Its GGUF file.

        Raises:
            MissingInput: this bundle has none.
        """
        if MODEL not in self.listing.files:
            raise MissingInput(f"{self.path} holds no {MODEL}", why=f"it was made by {self.listing.target}",
                               mend="give a bundle of gguf, android or linux-aarch64")  # fmt: skip
        return self.path / MODEL

    def verify(self, *names: str) -> None:
        """Compare files with their digests; all of them if none is named.

        Raises:
            BadFile, MissingInput: a file is another than the one listed, or is not there.
        """
        for name in names or self.listing.files:
            file, listed = self.path / name, self.listing.files[name]
            if not file.is_file():
                raise MissingInput(f"{file} is missing", why=f"{BUNDLE_LIST} lists it", mend="make the bundle anew")
            if file.stat().st_size != listed.size or sha256_file(file) != listed.sha256:
                raise BadFile(f"{file} is not the file that {BUNDLE_LIST} lists", mend="make the bundle anew")

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether a folder is a bundle."""
        return (Path(path) / BUNDLE_LIST).is_file()
