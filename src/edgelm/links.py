"""Links to large files that lie elsewhere: the contents of `links.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from edgelm.checkpoint import at_most, validate
from edgelm.files import read_json
from edgelm.submission import MAX_ENTRIES, InsidePath

LINKS = "links.json"


class Link(BaseModel):
    """One file that lies elsewhere."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    path: InsidePath
    url: str
    size: int = Field(default=-1)  # bytes
    sha256: str = ""
    revision: str = ""


class _Links(BaseModel):
    links: Annotated[list[Link], FailFast(), at_most(MAX_ENTRIES)]


def read_links(folder: Path) -> list[Link]:
    """The links of a package in a folder; none if it has no `links.json`.

    Raises:
        BadFile: the file is no list of links.
    """
    path = folder / LINKS
    return validate(_Links, {"links": read_json(path)}, LINKS).links if path.is_file() else []
