"""All that is ever shown: the answers to every call and page that only reads, to everybody who may ask."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .calls import CALLS
from .conftest import ASKERS, World
from .page_calls import PAGES

# What shows more when it is asked for more.
_MORE = (
    "/boards/{track}?format=csv", "/boards/{track}?revision=1", "/boards/{track}?limit=100",
    "/boards/{track}/standings?revision=1", "/board/{track}?every=true", "/submissions?team=red",
    "/admin/reviews?state=open", "/console/reviews?state=open", "/admin/audit?limit=1000",
    "/console/boards/{track}/freeze?reason=so", "/console/boards/{track}/publish?state=provisional&reason=so",
    "/console/boards/{track}/publish?state=final&reason=so", "/submission/{running}", "/submissions/{running}",
    "/submissions/{running}/log", "/console/submissions/{running}", "/openapi.json",
)  # fmt: skip
_PREVIEWS = ({"kind": "publish", "body": {"track": "compression", "state": "provisional"}, "reason": "so"},
             {"kind": "void", "body": {"track": "compression", "task": "gsm8k"}, "reason": "so"})  # fmt: skip
_walked: dict[Path, list[Seen]] = {}


@dataclass(frozen=True)
class Seen:
    """An answer: to what, to whom."""

    path: str
    asker: str
    status: int
    kind: str  # of its content
    data: bytes  # of an archive, what is in it
    headers: Mapping[str, str]

    @cached_property
    def text(self) -> str:
        """It as text."""
        return self.data.decode(errors="replace")

    @property
    def body(self) -> Any:
        """What is in it, if it is JSON and no refusal; else None."""
        return json.loads(self.data) if self.kind == "application/json" and self.status == 200 else None


def walk(world: World) -> list[Seen]:
    """Ask for everything as everybody, once."""
    if world.saved not in _walked:
        _walked[world.saved] = list(read_all(world, ASKERS))
    return _walked[world.saved]


def read_all(world: World, askers: Sequence[str]) -> Iterator[Seen]:
    """Ask for everything as some."""
    reading = [(name.split()[1], row.names) for table in (CALLS, PAGES) for name, row in table.items()
               if name.startswith("GET ")]  # fmt: skip
    for path, names in [*reading, *((path, {}) for path in _MORE)]:
        given = {name: value.format_map(world.names) for name, value in names.items()}
        query = "?fence=1&offset=0" if path.startswith("/jobs/") else ""
        for asker in askers:
            yield _seen(path, asker, world.ask(asker, "GET", path + query, **given))
    for body in _PREVIEWS:
        for asker in askers:
            path = "/admin/revisions/preview"
            yield _seen(path, asker, world.ask(asker, "POST", path, body))


def _seen(path: str, asker: str, answer: Any) -> Seen:
    kind = answer.headers.get("content-type", "").partition(";")[0]
    data = answer.content
    if kind == "application/zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = b"".join(archive.read(name) for name in archive.namelist())
    return Seen(path, asker, answer.status_code, kind, data, answer.headers)
